"""The board's clock drops by half."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.explorer.faults.fault import PlainFault
from tests.explorer.faults.firmware import ToldMachine
from tests.explorer.faults.rig import Event, Rig, SteppedRun
from tests.explorer.faults.steps import BETWEEN, CHECK, KERNEL, LATER, REHEARSAL, WITHIN, Step

FULL_HZ, HALF_HZ = 1_000_000_000, 500_000_000

PROFILE = """\
name = "loopback"
title = "a computer of this machine's kind, reached over SSH"
board = "ssh"
cpu = "native"
cores = 2
compiler_target = "{machine}-linux-musl"
compiler_flags = ["-O2", "-static"]

[threads]
wake_s = {{ value = 110e-6, unit = "s", source = "assumed" }}
spin_s = {{ value = 50e-6, unit = "s", source = "assumed" }}
"""


class ClockHalves(PlainFault):
    """The board tells half its clock: until one more sample was taken, or until the run has ended."""

    steps = (WITHIN, KERNEL, BETWEEN, LATER, REHEARSAL, CHECK)

    def __init__(self, stays: bool) -> None:
        self.name = (
            "the clock drops by half and stays there" if stays else "the clock drops by half for a moment"
        )
        self._stays = stays

    @contextmanager
    def prepared(self, rig: Rig) -> Iterator[Rig]:
        profile = rig.place / "loopback.toml"
        profile.write_text(PROFILE.format(machine=platform.machine()))
        shown = replace(rig, device=str(profile), machine=rig.place / "machine")
        _machine(shown).make(FULL_HZ)
        yield shown

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        _machine(rig).set_clock(HALF_HZ)
        return "go"

    def notice(self, rig: Rig, event: Event) -> None:
        if event.what in ("stored", "ran") and not self._stays:
            self.mend(rig)

    def mend(self, rig: Rig) -> None:
        _machine(rig).set_clock(FULL_HZ)


def _machine(rig: Rig) -> ToldMachine:
    assert rig.machine is not None
    return ToldMachine(rig.machine)


CLOCK_FAULTS = (ClockHalves(stays=False), ClockHalves(stays=True))
