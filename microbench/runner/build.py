"""Builds the runner for a machine: one static executable, its GPU linked in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from codegen.engines.cpu.toolchain import compile_executable, compiler_identity, runtime_source
from codegen.target import Target
from microbench.profile import DeviceProfile
from microbench.virtual.build import SIMULATOR_FLAGS, THIS_MACHINE, simulator_sources, software_name

Backend = Literal["virtual", "mailbox", "none"]

SOURCE_DIRECTORY = Path(__file__).parent
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-static", "-pthread")


def runner_sources(backend: Backend, software: str) -> dict[str, str]:
    """The runner's C files by name; `software` is what it will say gives its GPU's times."""
    sources = {
        name: text for name, text in c_files(SOURCE_DIRECTORY).items() if not name.startswith("backend_")
    }
    own = f"backend_{backend}.c"
    sources[own] = (SOURCE_DIRECTORY / own).read_text(encoding="utf-8")
    sources["software.h"] = f"#define RUNNER_SOFTWARE {json.dumps(software, ensure_ascii=True)}\n"
    return _joined(sources, _backend_sources(backend))


def runner_revision(backend: Backend) -> str:
    """Twelve hexadecimal digits that change whenever the runner's sources do, and with nothing else."""
    digest = hashlib.sha256()
    for name, text in sorted(runner_sources(backend, "").items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:12]


def c_files(directory: Path) -> dict[str, str]:
    """Text of a directory's C files and headers by name."""
    paths = sorted((*directory.glob("*.c"), *directory.glob("*.h")))
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def build_runner(backend: Backend, software: str, target: Target = THIS_MACHINE) -> Path:
    """The cached executable; raises ToolchainError where it cannot be compiled."""
    flags = (*FLAGS, *(SIMULATOR_FLAGS if backend == "virtual" else ()))
    return compile_executable(runner_sources(backend, software), target, flags)


def device_runner(backend: Backend, profile: DeviceProfile) -> Path:
    """The runner for boards of a profile: a simulator's for this machine; raises as `build_runner`."""
    if backend == "virtual":
        return build_runner(backend, software_name())
    target = profile.target() if profile.compiler_target else THIS_MACHINE
    return build_runner(backend, f"runner built by {compiler_identity(target.compiler[0])}", target)


def content_sha256(path: Path) -> str:
    """What an uploaded executable is named by."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _backend_sources(backend: Backend) -> Mapping[str, str]:
    if backend == "virtual":
        return simulator_sources()
    if backend == "mailbox":
        platform = {name: runtime_source(name) for name in ("platform.h", "platform_mailbox.c")}
        return _joined(c_files(SOURCE_DIRECTORY / "mailbox"), platform)
    return {}


def _joined(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    both = sorted(set(ours) & set(theirs))
    if both:
        raise AssertionError(f"two C files have one name: {', '.join(both)}")
    return {**ours, **theirs}
