"""Makefile and build.sh of a bundle: how people build it where this project is not installed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.toolchain import KERNEL_FLAGS
from codegen.errors import ToolchainError
from codegen.target import Target

SOURCES = ("main.c", "bench_report.c", "model.c")
COMMON_HEADERS = ("model.h", "model_info.h", "bench_report.h", "platform.h")
_SAFE = re.compile(r"[A-Za-z0-9_.,=+/-]+")


def makefile_text(target: Target, platform: str, headers: Sequence[str]) -> str:
    """Builds `bench`; CC, CFLAGS and PLATFORM can be given on the command line."""
    compiler, flags = _compiler_and_flags(target)
    return fill(
        """
        # make                                          with the compiler the plan was made for
        # make CC=gcc CFLAGS="-O3 -mcpu=native"         with the board's own
        # make PLATFORM=none                            without a GPU
        CC = $compiler
        CFLAGS = $flags
        PLATFORM = $platform
        SOURCES = $sources platform_$$(PLATFORM).c

        bench: $$(SOURCES) $headers
        \t$$(CC) $kernel_flags $$(CFLAGS) -o $$@ $$(SOURCES) -lm

        clean:
        \trm -f bench

        .PHONY: clean
        """,
        compiler=compiler,
        flags=flags,
        platform=platform,
        sources=" ".join(SOURCES),
        headers=" ".join(headers),
        kernel_flags=" ".join((*KERNEL_FLAGS, *pool_flags(headers))),
    )


def build_script_text(target: Target, platform: str, headers: Sequence[str]) -> str:
    """The same for a machine without make."""
    compiler, flags = _compiler_and_flags(target)
    return fill(
        """
        #!/bin/sh
        # Builds bench. CC, CFLAGS and PLATFORM may be set: CC=gcc CFLAGS="-O3 -mcpu=native" ./build.sh
        set -eu
        cd "$$(dirname "$$0")"
        exec $${CC:-$compiler} $kernel_flags $${CFLAGS:-$flags} -o bench \\
            $sources "platform_$${PLATFORM:-$platform}.c" -lm
        """,
        compiler=compiler,
        flags=flags,
        platform=platform,
        sources=" ".join(SOURCES),
        kernel_flags=" ".join((*KERNEL_FLAGS, *pool_flags(headers))),
    )


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
