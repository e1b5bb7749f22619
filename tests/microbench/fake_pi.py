"""A Raspberry Pi in a directory: the runner for its mailbox runs here, and every call to the firmware is recorded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codegen.engines.cpu.toolchain import compile_executable, runtime_source
from codegen.target import Target
from microbench.runner.build import FLAGS, runner_sources
from microbench.virtual.build import THIS_MACHINE
from tests.microbench.local_runner import PipeTransport
from tests.microbench.v3d_registers import IDENTITY, V3dRegisters

ALLOCATE, LOCK, UNLOCK, RELEASE, EXECUTE, ENABLE = 0x3000C, 0x3000D, 0x3000E, 0x3000F, 0x30011, 0x30012
WRAPPED = ("-Wl,--wrap=open", "-Wl,--wrap=ioctl")
PERIPHERALS = 0x20000000  # of a Raspberry Pi 1 or Zero
MEMORY_BYTES = 16 << 20
WAIT_S = 60.0


def runner_of_fake_pi(target: Target = THIS_MACHINE) -> Path:
    """The runner with the mailbox, and a firmware linked in."""
    firmware = Path(__file__).with_name("fake_firmware.c").read_text()
    sources = {**runner_sources("mailbox", "mailbox 1"), "fake_firmware.c": firmware}
    return compile_executable(sources, target, (*FLAGS, *WRAPPED))


def user_of_fake_pi(target: Target = THIS_MACHINE) -> Path:
    """A program that takes GPU memory as bundles do, then does as its argument says: `leave`, `hang` or `crash`."""
    names = ("fake_firmware.c", "gpu_user.c")
    sources = {name: Path(__file__).with_name(name).read_text() for name in names}
    sources |= {name: runtime_source(name) for name in ("platform.h", "platform_mailbox.c")}
    return compile_executable(sources, target, (*FLAGS, *WRAPPED))


@dataclass(frozen=True)
class Call:
    """One call to the firmware: who asked, the tag, the first word."""

    pid: int
    tag: int
    word: int


@dataclass(frozen=True)
class FakePi:
    """The machine's files, and what was asked of its firmware."""

    directory: Path
    emulator: tuple[str, ...] = ()

    def start(self, program: Path, *launch: str, holder: str = "somebody") -> PipeTransport:
        """A runner that takes this directory for the machine."""
        wrapper = self.directory / f"runner{''.join(launch)}"
        wrapper.write_text(
            f'#!/bin/sh\nFAKE_PI={self.directory} exec {" ".join(self.emulator)} {program} "$@" {" ".join(launch)}\n'
        )
        wrapper.chmod(0o700)
        return PipeTransport(wrapper, self.directory / "there", holder=holder)

    def calls(self, *tags: int) -> list[Call]:
        """In their order; of these tags only, where any are given."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.directory / "calls").read_text().splitlines()
            calls = [Call(int(pid), int(tag, 16), int(word)) for pid, tag, word in map(str.split, lines)]
            return [call for call in calls if not tags or call.tag in tags]
        return []

    @contextlib.contextmanager
    def hanging(self, tag: int) -> Iterator[None]:
        """Calls of this tag do not return meanwhile."""
        mark = self.directory / f"hang-{tag:x}"
        mark.touch()
        try:
            yield
        finally:
            mark.unlink()

    def guardians(self) -> list[int]:
        """Processes that watch over runners of this machine."""
        return [pid for pid, name in self._processes() if name == "runner-guardian"]

    def _processes(self) -> Iterator[tuple[int, str]]:
        wanted = f"FAKE_PI={self.directory}".encode()
        for place in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if place.name.isdecimal() and wanted in (place / "environ").read_bytes().split(b"\0"):
                    yield int(place.name), (place / "comm").read_text().strip()

    def registers(self, identity: int = IDENTITY, ends: int = 1 << 30) -> V3dRegisters:
        """The V3D block, where the device tree says it is."""
        return V3dRegisters(self.directory / "dev" / "mem", PERIPHERALS + 0xC00000, identity, ends)


def fake_pi(directory: Path) -> FakePi:
    """A machine whose firmware answers and whose device tree is a Pi Zero's."""
    (directory / "dev").mkdir(parents=True)
    (directory / "run").mkdir()
    (directory / "dev" / "vcio").touch()
    with (directory / "dev" / "mem").open("wb") as memory:
        memory.truncate(MEMORY_BYTES)
    tree = directory / "proc" / "device-tree"
    (tree / "soc").mkdir(parents=True)
    for name in ("#address-cells", "soc/#address-cells", "soc/#size-cells"):
        (tree / name).write_bytes(words(1))
    (tree / "soc" / "ranges").write_bytes(words(0x7E000000, PERIPHERALS, 0x02000000))
    return FakePi(directory)


def words(*values: int) -> bytes:
    """As the device tree has them."""
    return b"".join(value.to_bytes(4, "big") for value in values)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError naming what did not come about."""
    until_s = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(what)
        time.sleep(0.01)
