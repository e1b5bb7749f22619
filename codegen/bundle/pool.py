"""What a bundle has more where one of its kernels is split over threads: the pool's files, and text of model.c."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import indent

from codegen.cpu.source import fill
from codegen.cpu.toolchain import runtime_source

POOL_FILES = ("pool.c", "pool.h")
POOL_FLAGS = ("-pthread",)


def pool_files(threads: int) -> dict[str, str]:
    """The pool's sources by file name; none for one thread."""
    return {name: runtime_source(name) for name in POOL_FILES} if threads > 1 else {}


def pool_flags(files: Iterable[str]) -> tuple[str, ...]:
    """Compiler flags that a program of these files needs for its threads."""
    return POOL_FLAGS if "pool.c" in files else ()


def pool_text(threads: int) -> dict[str, str]:
    """Template values for model.c, where `handle` is one: all but `started` are empty for one thread."""
    if threads == 1:
        return {"include_pool": "", "pool_member": "", "started": "        return handle;", "stop_pool": ""}
    return {
        "include_pool": '#include "pool.h"',
        "pool_member": "    pool *threads;",
        "started": indent(fill(_START, threads=threads).rstrip(), " " * 8),
        "stop_pool": "    pool_free(handle->threads);",
    }


_START = """
    handle->threads = pool_new($threads);
    if (handle->threads)
        return handle;
    bundle_unload(&handle->memory);
    if (error && error_size)
        snprintf(error, error_size, "$threads threads cannot be started; allow this process more of them");
"""
