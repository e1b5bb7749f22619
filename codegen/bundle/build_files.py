"""Makefile, build.sh and CMakeLists.txt of a bundle: how people build it where this project is not installed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from codegen.bundle.frames import QUEUE_FLAGS, QUEUE_SOURCE
from codegen.bundle.manifest import PROGRAMS
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.toolchain import KERNEL_FLAGS
from codegen.errors import ToolchainError
from codegen.target import Target

MODEL_SOURCES = ("model.c", "gpu_plan.c", "cpu_plan.c")  # the others where there is a plan for the CPU too
COMMON_HEADERS = (
    "model.h",
    "model_info.h",
    "bench_report.h",
    "frame_queue.h",
    "platform.h",
    "stream_report.h",
)
VIRTUAL = "virtual"  # directory of the virtual board's sources, and its platform's name
# Fused operations would change what the virtual board's arithmetic gives.
VIRTUAL_FLAGS = ("-O3", "-ffp-contract=off")
NATIVE_COMPILER = "cc"
_SAFE = re.compile(r"[A-Za-z0-9_.,=+/-]+")


@dataclass(frozen=True)
class Build:
    """How the programs of a bundle with these files are built: flags as shell words, sources by program, and those of
    the model that all programs have.
    """

    compiler: str
    flags: str
    kernel_flags: str
    platform: str
    programs: Mapping[str, str]
    models: tuple[str, ...]
    headers: str
    is_virtual: bool

    def line(self, program: str) -> str:
        """One compiler line for this program."""
        words = (
            self.compiler,
            self.kernel_flags,
            *self.own_flags(program),
            self.flags,
            "-o",
            program,
            self.programs[program],
            *self.models,
        )
        return " ".join(word for word in (*words, f"platform_{self.platform}.c", "-lm") if word)

    def own_flags(self, program: str) -> tuple[str, ...]:
        """Compiler flags that a program needs beside those of all."""
        has_queue = QUEUE_SOURCE in self.programs[program].split()
        return tuple(flag for flag in QUEUE_FLAGS if has_queue and flag not in self.kernel_flags.split())

    @property
    def is_native(self) -> bool:
        """Whether it is built on the machine that it is for."""
        return self.compiler == NATIVE_COMPILER

    @property
    def objects(self) -> str:
        """The model's object files."""
        return " ".join(_object(name) for name in self.models)

    def virtual_line(self, program: str, compiler: str) -> str:
        """The same for the virtual board on this machine."""
        sources = f"{self.programs[program]} {' '.join(self.models)} {VIRTUAL}/*.c"
        flags = " ".join((self.kernel_flags, *self.own_flags(program), *VIRTUAL_FLAGS, "-I."))
        return f"{compiler} {flags} -o {program}-{VIRTUAL} {sources} -lm"


def build_of(target: Target, platform: str, files: Collection[str]) -> Build:
    """Raises ToolchainError where a compiler flag of the target has characters that a shell would interpret."""
    compiler, flags = _compiler_and_flags(target)
    return Build(
        compiler=compiler,
        flags=flags,
        kernel_flags=" ".join((*KERNEL_FLAGS, *pool_flags(files))),
        platform=platform,
        programs={
            name: " ".join(sources) for name, sources in PROGRAMS.items() if set(sources) <= set(files)
        },
        models=tuple(name for name in MODEL_SOURCES if name in files),
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
        """,
        compiler=build.compiler,
        flags=build.flags,
        platform=build.platform,
        headers=build.headers,
        programs=" ".join(build.programs),
    )
    rules = [
        fill(
            """
            $object: $source $$(HEADERS)
            \t$$(CC) $kernel_flags $$(CFLAGS) -c -o $$@ $source
            """,
            object=_object(source),
            source=source,
            kernel_flags=build.kernel_flags,
        )
        for source in build.models
    ]
    rules += [
        fill(
            """
            $program: $sources platform_$$(PLATFORM).c $objects $$(HEADERS)
            \t$$(CC) $flags $$(CFLAGS) -o $$@ $sources $objects platform_$$(PLATFORM).c -lm
            """,
            program=program,
            sources=sources,
            objects=build.objects,
            flags=" ".join((build.kernel_flags, *build.own_flags(program))),
        )
        for program, sources in build.programs.items()
    ]
    made = [*build.programs, build.objects]
    phony = ["all", "clean"]
    if build.is_virtual:
        rules.append(_virtual_rules(build))
        made += [f"{program}-{VIRTUAL}" for program in build.programs]
        phony.append("on-this-machine")
    end = f"clean:\n\trm -f {' '.join(made)}\n\n.PHONY: {' '.join(phony)}\n"
    return "\n".join([head, *rules, end])


def build_script_text(build: Build) -> str:
    """The same for a machine without make."""
    lines = [f"$CC {build.kernel_flags} $CFLAGS -c -o {_object(source)} {source}" for source in build.models]
    lines += [
        f"$CC {' '.join((build.kernel_flags, *build.own_flags(program)))} $CFLAGS -o {program} {sources} "
        f'{build.objects} "platform_$PLATFORM.c" -lm'
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
        """,
        programs=", ".join(build.programs),
        compiler=build.compiler,
        flags=build.flags,
        platform=build.platform,
    ) + "".join(f"{line}\n" for line in lines)


def cmake_text(build: Build) -> str:
    """The same for CMake, where the model is a library of its own too; PLATFORM=virtual is the virtual board."""
    flags = [*build.kernel_flags.split(), *(build.flags.split() if build.is_native else ())]
    programs = "".join(
        f"\nadd_executable({program} {sources})\n"
        f"target_link_libraries({program} PRIVATE {' '.join(('model', *build.own_flags(program)))})\n"
        for program, sources in build.programs.items()
    )
    return (
        fill(
            _CMAKE,
            platform=build.platform,
            models=" ".join(build.models),
            flags=" ".join(flags),
            sources=fill(_CMAKE_VIRTUAL, directory=VIRTUAL, flags=" ".join(VIRTUAL_FLAGS)).strip()
            if build.is_virtual
            else "target_sources(model PRIVATE platform_${PLATFORM}.c)",
            threads="find_package(Threads REQUIRED)\ntarget_link_libraries(model PUBLIC Threads::Threads)\n"
            if "-pthread" in flags
            else "",
        )
        + programs
    )


_CMAKE = """
    # cmake -S . -B build && cmake --build build      builds for this machine, or for that of a toolchain file:
    # cmake -S . -B build -DCMAKE_C_FLAGS=-mcpu=native -DPLATFORM=none
    # PLATFORM: mailbox (a Raspberry Pi's GPU), none, or virtual where the bundle has that directory.
    cmake_minimum_required(VERSION 3.13)
    project(model C)

    if(NOT CMAKE_BUILD_TYPE)
      set(CMAKE_BUILD_TYPE Release)
    endif()
    set(PLATFORM $platform CACHE STRING "what reaches the GPU")

    add_library(model STATIC $models)
    target_compile_options(model PUBLIC $flags)
    target_include_directories(model PUBLIC $${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(model PUBLIC m)
    $sources
    $threads
"""

_CMAKE_VIRTUAL = """
if(PLATFORM STREQUAL "$directory")
  file(GLOB PLATFORM_SOURCES $${CMAKE_CURRENT_SOURCE_DIR}/$directory/*.c)
  target_compile_options(model PUBLIC $flags)
else()
  set(PLATFORM_SOURCES platform_$${PLATFORM}.c)
endif()
target_sources(model PRIVATE $${PLATFORM_SOURCES})
"""


def _object(source: str) -> str:
    return source.removesuffix(".c") + ".o"


def _virtual_rules(build: Build) -> str:
    names = " ".join(f"{program}-{VIRTUAL}" for program in build.programs)
    rules = [
        f"# The virtual board in the GPU's stead, on this machine.\nHOST_CC = cc\n\non-this-machine: {names}\n"
    ]
    for program, sources in build.programs.items():
        needs = f"{sources} {' '.join(build.models)} $(HEADERS) $(wildcard {VIRTUAL}/*)"
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
    compiler = f"python3 -m ziglang cc -target {triple}" if triple else NATIVE_COMPILER
    return compiler, " ".join(flags)
