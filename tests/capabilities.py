"""The one list of what tests need of a machine, and of it what a runner of continuous integration may lack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import pytest

from tests import probes

_LACKS = "lacks "


@dataclass(frozen=True)
class Capability:
    """One thing that a machine has or lacks; `probe` says what of it is missing.

    `may_be_lacking` is the reason why a runner may do without; where there is none, `--strict-skips` demands it.
    """

    name: str
    purpose: str
    probe: probes.Probe
    package: str = ""  # Debian's
    may_be_lacking: str = ""


CAPABILITIES = (
    Capability(
        "ssh server",
        "boards over SSH are tried against a real OpenSSH server on loopback",
        probes.ssh_server,
        package="openssh-server",
    ),
    Capability(
        "postgresql server",
        "the store is tried on a real PostgreSQL server",
        probes.postgresql_server,
        package="postgresql",
    ),
    Capability(
        "arm emulator",
        "programs compiled for ARM are run",
        probes.programs("qemu-arm", "qemu-aarch64"),
        package="qemu-user",
    ),
    Capability(
        "llvm",
        "compiled kernels are disassembled by llvm-objdump and timed by llvm-mca",
        probes.programs("llvm-objdump", "llvm-mca"),
        package="llvm",
    ),
    Capability(
        "c compiler",
        "bundles are compiled and linked by the system's compiler, beside zig",
        probes.programs("cc", "nm"),
        package="gcc",
    ),
    Capability(
        "node",
        "a program in JavaScript computes plans from their files alone",
        probes.programs("node"),
        package="nodejs",
    ),
    Capability(
        "make",
        "bundles are built by their Makefile",
        probes.programs("make"),
        package="make",
    ),
    Capability(
        "cmake",
        "bundles are built by their CMakeLists.txt",
        probes.programs("cmake"),
        package="cmake",
    ),
    Capability(
        "dpkg-deb",
        "the runner's package is made and read",
        probes.programs("dpkg-deb"),
        package="dpkg",
    ),
    Capability(
        "lintian",
        "the runner's package is judged by Debian's rules",
        probes.programs("lintian"),
        package="lintian",
    ),
    Capability(
        "report extra",
        "reports are executed and turned into pages",
        probes.report_extra,
    ),
    Capability(
        "browser",
        "pages are looked at in a browser",
        probes.programs("chromium", "chromedriver"),
        package="chromium, chromium-driver",
    ),
    Capability(
        "axe-core",
        "pages are judged by the rules of accessibility",
        probes.axe_core,
    ),
    Capability(
        "ortools",
        "compositions are compared with those of CP-SAT",
        probes.ortools,
        may_be_lacking="its protobuf is older than the one that tests are run with",
    ),
    Capability(
        "instruction counting",
        "executed instructions are counted, and a core's cycles modelled, by plugins of the emulator",
        probes.instruction_counting,
        may_be_lacking="from QEMU 9 on the interface of plugins is another one",
    ),
    Capability(
        "virtual pi",
        "runs over SSH are tried on a whole virtual Pi",
        probes.virtual_pi,
        may_be_lacking="from QEMU 9 on the interface of plugins is another one",
    ),
    Capability(
        "peers for arm64",
        "another engine's build for AArch64 runs by a modelled clock",
        probes.peers_for_arm64,
        may_be_lacking="packages and wheels are fetched from where they are published",
    ),
    Capability(
        "mount namespace",
        "a program meets a full disk of its own",
        probes.mount_namespace,
        may_be_lacking="containers without user namespaces refuse it, whoever asks",
    ),
    Capability(
        "mountable tmpfs",
        "a board's disk is full",
        probes.mountable_tmpfs,
        may_be_lacking="root alone may mount, and in most containers not even root",
    ),
    Capability(
        "trained networks",
        "networks with trained weights are imported and evaluated",
        probes.directory(probes.NETWORKS),
        may_be_lacking="they are no part of the project: hundreds of megabytes",
    ),
    Capability(
        "silicon vectors",
        "arithmetic is compared with what silicon answered",
        probes.directory(probes.SILICON_VECTORS),
        may_be_lacking="they are no part of the project: their licence is their publisher's",
    ),
    Capability(
        "no firmware",
        "what a machine without a firmware says of itself",
        probes.no_firmware,
        may_be_lacking="the runner may be a Raspberry Pi",
    ),
)
_BY_NAME = {capability.name: capability for capability in CAPABILITIES}


@cache
def lack_of(name: str) -> str | None:
    """What is missing of a capability of the list, and the package that has it, or None."""
    capability = _BY_NAME[name]
    missing = capability.probe()
    if missing is None or not capability.package:
        return missing
    return f"{missing} (Debian: {capability.package})"


def need(name: str) -> None:
    """Skips the test where this machine lacks a capability of the list."""
    missing = lack_of(name)
    if missing is not None:
        pytest.skip(f"{_LACKS}{name}: {missing}")


def missing_requirements() -> list[str]:
    """Every capability that no runner may lack and this machine does."""
    required = (capability.name for capability in CAPABILITIES if not capability.may_be_lacking)
    return [f"{name}: {missing}" for name in required if (missing := lack_of(name)) is not None]


def unexcused(reasons: Iterable[str]) -> list[str]:
    """Those reasons of skipped tests that no lacking capability of the list accounts for."""
    told = {reason.removeprefix("Skipped: "): reason for reason in reasons}
    excuses = [
        f"{_LACKS}{capability.name}: {lack_of(capability.name)}"
        for capability in CAPABILITIES
        if capability.may_be_lacking and any(said.startswith(f"{_LACKS}{capability.name}: ") for said in told)
    ]
    return sorted(reason for said, reason in told.items() if said not in excuses)
