"""A machine that takes itself for a Raspberry Pi and tells the clock that a test sets, to a runner built to look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PLACES = {
    "hello.c": ('#define ROOT ""', "#define ROOT "),
    "conditions.h": ('#define SYSTEM_DIRECTORY "/sys"', "#define SYSTEM_DIRECTORY "),
}
MODEL = "Raspberry Pi of a test"


@dataclass(frozen=True)
class ToldMachine:
    """The files that a system shows of its board, in a directory of their own."""

    root: Path

    def make(self, clock_hz: int) -> None:
        """Writes them all."""
        for name in ("proc/device-tree", "sys/devices/system/cpu/cpu0/cpufreq"):
            (self.root / name).mkdir(parents=True)
        (self.root / "proc/device-tree/model").write_text(f"{MODEL}\0")
        (self.root / "proc/cpuinfo").write_text("model name : a processor of a test\n")
        self.set_clock(clock_hz)

    def set_clock(self, clock_hz: int) -> None:
        """From now on the clock reads so; whoever reads meanwhile sees the old or the new."""
        place = self.root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
        fresh = place.with_suffix(".new")
        fresh.write_text(f"{clock_hz // 1000}\n")
        fresh.replace(place)

    def sources(self, runner: Mapping[str, str]) -> dict[str, str]:
        """A runner that looks here; raises ValueError where it does not look where it did."""
        changed = dict(runner)
        for name, (old, new) in PLACES.items():
            if changed.get(name, "").count(old) != 1:
                raise ValueError(f"{name} no longer says {old}: say here where the runner looks")
            place = self.root if name == "hello.c" else self.root / "sys"
            changed[name] = changed[name].replace(old, new + json.dumps(str(place)))
        return changed
