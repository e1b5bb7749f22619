"""A kernel as a file of its own whose entry keeps its name, for tests that disassemble it or call it."""

from __future__ import annotations

from codegen.bundle.entries import one_unit


def kernel_file(entry: str, source: str) -> str:
    """C text, compiled as `one_unit` would compile the kernel; its entry is extern."""
    return one_unit({entry: source}).replace("KERNEL_ENTRY static void", "KERNEL_ENTRY void", 1)
