"""Compiles the simulator for this machine, once: cached under the hash of sources, flags and compiler."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from codegen.engines.cpu.machine import instruction_sets
from codegen.engines.cpu.toolchain import compile_relocatable, compile_shared
from codegen.errors import ToolchainError
from codegen.target import Target

SOURCE_DIRECTORY = Path(__file__).parent
SIMULATOR_FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra")

THIS_MACHINE = Target(name="simulator", qpus=0, cpu="generic", compiler=("",), cores=1)


@cache
def simulator_sources() -> Mapping[str, str]:
    """C files and headers of the virtual GPU by name, without the bundle's platform layer."""
    paths = sorted((*SOURCE_DIRECTORY.glob("*.c"), *SOURCE_DIRECTORY.glob("*.h")))
    return {
        path.name: path.read_text(encoding="utf-8") for path in paths if path.name != "platform_virtual.c"
    }


def platform_source() -> str:
    """The C file that gives a bundle the virtual GPU as its platform (see platform.h)."""
    return (SOURCE_DIRECTORY / "platform_virtual.c").read_text(encoding="utf-8")


@cache
def simulator_hash() -> str:
    """Twelve hexadecimal digits that change whenever the simulator's sources do."""
    digest = hashlib.sha256()
    for name, text in sorted(simulator_sources().items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:12]


def machine_flags() -> tuple[str, ...]:
    """What makes the simulator faster on this machine and changes no result.

    AVX2 has instructions for what every operation of the lanes does; it has none that fuses two of them.
    """
    return ("-mavx2",) if "avx2" in instruction_sets() else ()


def library_path(flags: tuple[str, ...] = ()) -> Path:
    """The simulator as a shared object; raises ToolchainError where it cannot be compiled."""
    return compile_shared(simulator_sources(), THIS_MACHINE, (*SIMULATOR_FLAGS, *flags))


def object_path() -> Path:
    """The simulator as one object file, which bundles of every profile are linked with; raises as `library_path`.

    A bundle may be taken to another machine: none of `machine_flags`.
    """
    return compile_relocatable(simulator_sources(), THIS_MACHINE, SIMULATOR_FLAGS)


def compile_ahead() -> None:
    """Compiles the simulator both ways while other things are done, where it is not there yet.

    Nothing is raised: whoever needs it and finds that it cannot be compiled is told so.
    """
    threading.Thread(target=_compile_both, name="simulator", daemon=True).start()


def _compile_both() -> None:
    with suppress(ToolchainError, OSError):
        library_path(machine_flags())
        object_path()


def software_name() -> str:
    """What gives simulated times their identity: the simulator's sources and nothing of the machine it runs on."""
    return f"virtual VideoCore IV {simulator_hash()}"
