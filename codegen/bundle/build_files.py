"""Makefile and build.sh of a bundle: how people build it where this project is not installed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from codegen.bundle.manifest import CLASSIFY_SOURCE
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.toolchain import KERNEL_FLAGS
from codegen.errors import ToolchainError
from codegen.target import Target

BENCH_SOURCES = ("main.c", "bench_report.c")
COMMON_HEADERS = ("model.h", "model_info.h", "bench_report.h", "platform.h")
VIRTUAL = "virtual"  # directory of the virtual board's sources, and its platform's name
# Fused operations would change what the virtual board's arithmetic gives.
VIRTUAL_FLAGS = ("-O3", "-ffp-contract=off")
_SAFE = re.compile(r"[A-Za-z0-9_.,=+/-]+")


@dataclass(frozen=True)
class Build:
    """How the programs of a bundle with these files are built: flags as shell words, sources by program."""

    compiler: str
    flags: str
    kernel_flags: str
    platform: str
    programs: Mapping[str, str]
    headers: str
    is_virtual: bool

    def line(self, program: str) -> str:
        """One compiler line for this program."""
        words = (
            self.compiler,
            self.kernel_flags,
            self.flags,
            "-o",
            program,
            self.programs[program],
            "model.c",
        )
        return " ".join(word for word in (*words, f"platform_{self.platform}.c", "-lm") if word)

    def virtual_line(self, program: str, compiler: str) -> str:
        """The same for the virtual board on this machine."""
        sources = f"{self.programs[program]} model.c {VIRTUAL}/*.c"
        flags = f"{self.kernel_flags} {' '.join(VIRTUAL_FLAGS)} -I."
        return f"{compiler} {flags} -o {program}-{VIRTUAL} {sources} -lm"


def build_of(target: Target, platform: str, files: Collection[str]) -> Build:
    """Raises ToolchainError where a compiler flag of the target has characters that a shell would interpret."""
    compiler, flags = _compiler_and_flags(target)
    programs = {"bench": " ".join(BENCH_SOURCES)}
    if CLASSIFY_SOURCE in files:
        programs["classify"] = CLASSIFY_SOURCE
    return Build(
        compiler=compiler,
        flags=flags,
        kernel_flags=" ".join((*KERNEL_FLAGS, *pool_flags(files))),
        platform=platform,
        programs=programs,
        headers=" ".join(sorted(name for name in files if name.endswith(".h") and "/" not in name)),
        is_virtual=any(name.startswith(f"{VIRTUAL}/") for name in files),
    )


def makefile_text(build: Build) -> str:
    """Builds the programs; CC, CFLAGS and PLATFORM can be given on the command line."""
    head = fill(
        """
        # make                                          with the compiler the plan was made for
        # make CC=gcc CFLAGS="-O3 -mcpu=native"         with the board's own
        # make PLATFORM=none                            without a GPU
        # `make clean` comes between two ways.
        CC = $compiler
        CFLAGS = $flags
        PLATFORM = $platform
        HEADERS = $headers

        all: $programs

        model.o: model.c $$(HEADERS)
        \t$$(CC) $kernel_flags $$(CFLAGS) -c -o $$@ model.c
        """,
        compiler=build.compiler,
        flags=build.flags,
        platform=build.platform,
        headers=build.headers,
        programs=" ".join(build.programs),
        kernel_flags=build.kernel_flags,
    )
    rules = [
        fill(
            """
            $program: $sources platform_$$(PLATFORM).c model.o $$(HEADERS)
            \t$$(CC) $kernel_flags $$(CFLAGS) -o $$@ $sources model.o platform_$$(PLATFORM).c -lm
            """,
            program=program,
            sources=sources,
            kernel_flags=build.kernel_flags,
        )
        for program, sources in build.programs.items()
    ]
    made = [*build.programs, "model.o"]
    phony = ["all", "clean"]
    if build.is_virtual:
        rules.append(_virtual_rules(build))
        made += [f"{program}-{VIRTUAL}" for program in build.programs]
        phony.append("on-this-machine")
    end = f"clean:\n\trm -f {' '.join(made)}\n\n.PHONY: {' '.join(phony)}\n"
    return "\n".join([head, *rules, end])


def build_script_text(build: Build) -> str:
    """The same for a machine without make."""
    lines = [
        f'$CC {build.kernel_flags} $CFLAGS -o {program} {sources} model.o "platform_$PLATFORM.c" -lm'
        for program, sources in build.programs.items()
    ]
    return fill(
        """
        #!/bin/sh
        # Builds $programs. CC, CFLAGS and PLATFORM may be set: CC=gcc CFLAGS="-O3 -mcpu=native" ./build.sh
        set -eu
        cd "$$(dirname "$$0")"
        CC=$${CC:-"$compiler"}
        CFLAGS=$${CFLAGS:-"$flags"}
        PLATFORM=$${PLATFORM:-$platform}
        $$CC $kernel_flags $$CFLAGS -c -o model.o model.c
        """,
        programs=" and ".join(build.programs),
        compiler=build.compiler,
        flags=build.flags,
        platform=build.platform,
        kernel_flags=build.kernel_flags,
    ) + "".join(f"{line}\n" for line in lines)


def _virtual_rules(build: Build) -> str:
    names = " ".join(f"{program}-{VIRTUAL}" for program in build.programs)
    rules = [
        f"# The virtual board in the GPU's stead, on this machine.\nHOST_CC = cc\n\non-this-machine: {names}\n"
    ]
    for program, sources in build.programs.items():
        needs = f"{sources} model.c $(HEADERS) $(wildcard {VIRTUAL}/*)"
        rules.append(f"{program}-{VIRTUAL}: {needs}\n\t{build.virtual_line(program, '$(HOST_CC)')}\n")
    return "\n".join(rules)


def _compiler_and_flags(target: Target) -> tuple[str, str]:
    triple, *flags = target.compiler or ("",)
    for word in (triple, *flags):
        if word and not _SAFE.fullmatch(word):
            raise ToolchainError(
                f"device {target.name!r}: compiler flag {word!r} has characters that a shell would interpret; "
                "mend compiler_target or compiler_flags of its profile"
            )
    compiler = f"python3 -m ziglang cc -target {triple}" if triple else "cc"
    return compiler, " ".join(flags)
