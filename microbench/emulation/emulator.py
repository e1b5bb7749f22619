"""An executor that runs programs for ARM under qemu-user with the board's own core, and counts instructions."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codegen.engines.cpu.toolchain import compile_shared
from codegen.target import Target
from microbench.boards.execution import Finished, LocalExecutor
from microbench.errors import BoardError
from microbench.virtual.build import THIS_MACHINE

COUNT = "instructions.txt"
CANDIDATE_LIMIT_S = 300.0  # of this machine's time, for a program that is emulated
_SOURCES = tuple(Path(__file__).with_name(name) for name in ("count_instructions.c", "qemu_plugin.h"))
_VERSION = re.compile(r"version (\d+)\.")
_LAST_VERSION = 8
_CORES_32 = {"arm1176jzf-s": "arm1176", "cortex-a7": "cortex-a7"}
_CORES_64 = {"cortex-a53": "cortex-a53", "cortex-a57": "cortex-a57", "cortex-a72": "cortex-a72"}
_NEWEST_32 = "max"  # of the 32-bit emulator's cores the only one with the instructions of ARMv8


@dataclass(frozen=True)
class Emulation:
    """Which emulator runs a target's programs, and as which core."""

    program: str
    core: str


def emulation_of(target: Target) -> Emulation:
    """Raises BoardError for a target that is not 32- or 64-bit ARM, or whose core the emulator does not know."""
    triple = target.compiler[0] if target.compiler else ""
    if triple.startswith("aarch64") and target.cpu in _CORES_64:
        return Emulation("qemu-aarch64", _CORES_64[target.cpu])
    if triple.startswith("arm"):
        if target.cpu in _CORES_32:
            return Emulation("qemu-arm", _CORES_32[target.cpu])
        if target.cpu in _CORES_64:
            return Emulation("qemu-arm", _NEWEST_32)
    raise BoardError(
        f"device {target.name!r} ({target.cpu}, compiled for {triple or 'this machine'}) cannot be emulated: "
        f"take one with a core of {', '.join((*_CORES_32, *_CORES_64))}"
    )


@cache
def why_no_counting(program: str) -> str | None:
    """Why instructions cannot be counted with an emulator here, or None: it is absent or has no such plugins."""
    if shutil.which(program) is None:
        return f"no {program} installed (Debian: qemu-user)"
    told = subprocess.run((program, "--help"), capture_output=True, text=True, check=False)
    if "-plugin" not in told.stdout:
        return f"{program} was built without plugins (Debian: qemu-user, not qemu-user-static)"
    said = subprocess.run((program, "--version"), capture_output=True, text=True, check=False)
    version = _VERSION.search(said.stdout)
    if version is None or int(version[1]) > _LAST_VERSION:
        return f"{program} has plugins of another interface: QEMU up to {_LAST_VERSION} has version 1 of it"
    return None


class EmulatedExecutor:
    """`microbench.boards.execution.Executor` under qemu-user; `instructions` is the count of the last program.

    Raises BoardError where the emulator is missing, has no plugins or wants another version of them.
    """

    def __init__(self, target: Target) -> None:
        self._emulation = emulation_of(target)
        reason = why_no_counting(self._emulation.program)
        if reason is not None:
            raise BoardError(f"device {target.name!r} cannot be emulated: {reason}")
        sources = {path.name: path.read_text(encoding="utf-8") for path in _SOURCES}
        self._plugin = compile_shared(sources, THIS_MACHINE, ("-O2", "-fvisibility=hidden"))
        self._program = Path(str(shutil.which(self._emulation.program)))
        self.instructions = 0

    @property
    def core(self) -> str:
        """The core that is emulated, as the emulator calls it."""
        return self._emulation.core

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `Executor`."""
        plugin = f"{self._plugin},out={COUNT}"
        words = ("-cpu", self.core, "-plugin", plugin, str(executable), *arguments)
        finished = LocalExecutor().execute(self._program, words, files, (*outputs, COUNT), limit_s)
        count = finished.outputs.get(COUNT, b"").strip()
        if finished.ended.is_good and not count.isdigit():
            raise BoardError(
                f"{self._emulation.program} counted nothing: it did not load {self._plugin.name}; take QEMU 7 or 8"
            )
        self.instructions = int(count) if count.isdigit() else 0
        return finished
