"""What a bundle has more where one of its kernels is split over threads: the pool's files, and text of model.c."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import indent

from codegen.engines.cpu.source import fill
from codegen.engines.cpu.toolchain import runtime_source

POOL_FILES = ("pool.c", "pool.h", "pool_cpus.h")
POOL_PIECES = ("pool_cpus.h", "pool.c")  # of a threaded model.c, beside which pool.h lies
POOL_FLAGS = ("-pthread",)


def pool_files(threads: int) -> dict[str, str]:
    """The pool's sources by file name, for a program without a model.c; none for one thread."""
    return {name: runtime_source(name) for name in POOL_FILES} if threads > 1 else {}


def pool_flags(files: Iterable[str]) -> tuple[str, ...]:
    """Compiler flags that a program of these files needs for its threads."""
    return POOL_FLAGS if "pool.h" in files else ()


def pool_text(threads: int, unload: str = "bundle_unload") -> dict[str, str]:
    """Template values for model.c, where `handle` is one; `unload` is the function that frees its memory."""
    if threads == 1:
        return {
            "include_pool": "",
            "pool_member": "",
            "started": "    return code;",
            "stop_pool": "",
            "count_threads": "    (void)handle;\n    return 1;",
        }
    return {
        "include_pool": '#define POOL_LINKAGE static\n#include "pool.h"',
        "pool_member": "    pool *threads;",
        "started": indent(fill(_START, threads=threads, unload=unload).rstrip(), " " * 4),
        "stop_pool": "    pool_free(handle->threads);",
        "count_threads": "    return pool_threads(handle->threads);",
    }


_START = """
    handle->threads = pool_new($threads);
    if (handle->threads)
        return code;
    $unload(&handle->memory);
    return refuse(error, PLATFORM_NO_RESOURCES, "threads",
                  "$threads cannot be started; allow this process more of them");
"""
