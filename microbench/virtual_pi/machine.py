"""What a board says of itself, as data: the files of a virtual Pi are made of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from microbench.errors import BoardError

VIRTUAL = "Virtual "  # how the model of each begins: nobody takes its times for silicon's
SERIAL = "00000000c0ffee01"
_FILE = Path(__file__).with_name("boards.toml")
_WORD = 4
_V3D_BUS, _BUS_BYTES = 0x7E000000, 0x01000000
_IMPLEMENTER_ARM = "0x41"
_REVISION_CODE = "Revision"


@dataclass(frozen=True)
class Machine:
    """A board model: its name, revision code, `uname -m`, its CPU's part number, where its peripherals are."""

    model: str
    revision: int
    machine: str
    part: str
    hardware: str
    features: str
    peripherals: int

    def cpuinfo(self, cores: int) -> str:
        """The text of /proc/cpuinfo."""
        core = (
            f"Features\t: {self.features}\nCPU implementer\t: {_IMPLEMENTER_ARM}\nCPU architecture: "
            f"{'8' if self.machine == 'aarch64' else '7'}\nCPU variant\t: 0x0\nCPU part\t: {self.part}\n\n"
        )
        listed = "".join(f"processor\t: {number}\n{core}" for number in range(cores))
        board = (
            f"Hardware\t: {self.hardware}\n{_REVISION_CODE}\t: {self.revision:06x}\nSerial\t\t: {SERIAL}\n"
        )
        return f"{listed}{board}Model\t\t: {VIRTUAL}{self.model}\n"

    def device_tree(self) -> dict[str, bytes]:
        """Properties below /proc/device-tree, numbers big-endian (Devicetree Specification)."""
        return {
            "model": f"{VIRTUAL}{self.model}\0".encode(),
            "serial-number": f"{SERIAL}\0".encode(),
            "#address-cells": _cells(1),
            "soc/#address-cells": _cells(1),
            "soc/#size-cells": _cells(1),
            "soc/ranges": _cells(_V3D_BUS, self.peripherals, _BUS_BYTES),
        }


def machine_of(profile_name: str) -> Machine:
    """The board model of a profile; raises BoardError listing those there are."""
    known = _machines()
    if profile_name not in known:
        raise BoardError(f"there is no virtual Pi of device {profile_name!r}; there are: {', '.join(known)}")
    return known[profile_name]


@cache
def _machines() -> dict[str, Machine]:
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {name: Machine(**values) for name, values in content.items()}


def _cells(*values: int) -> bytes:
    return b"".join(value.to_bytes(_WORD, "big") for value in values)
