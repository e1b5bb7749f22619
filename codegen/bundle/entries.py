"""How kernels stand in a translation unit with others: marked so that each is compiled as if it were alone."""

from __future__ import annotations

from collections.abc import Mapping

ENTRY_ATTRIBUTES = """\
/*
 * Whatever a kernel calls becomes a part of it, however large the unit has grown: past a size of the unit compilers
 * stop inlining, and kernels lose their constants and their registers. No kernel becomes a part of what calls it.
 */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define KERNEL_ENTRY __attribute__((noipa, flatten))
#elif defined(__GNUC__)
#define KERNEL_ENTRY __attribute__((noinline, flatten))
#else
#define KERNEL_ENTRY
#endif
"""
_PARAMETERS = (
    "const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part"
)


def one_unit(sources: Mapping[str, str]) -> str:
    """C text of all kernels, given by entry, as static functions of one translation unit.

    The declarations before them make the entries static: a definition takes the linkage that was declared.
    """
    return _unit(sources, "static ")


def kernel_file(entry: str, source: str) -> str:
    """C text of one kernel as a file of its own, compiled as `one_unit` would compile it; its entry is extern."""
    return _unit({entry: source}, "")


def _unit(sources: Mapping[str, str], linkage: str) -> str:
    declarations = "".join(f"KERNEL_ENTRY {linkage}void {entry}({_PARAMETERS});\n" for entry in sources)
    return "\n".join([ENTRY_ATTRIBUTES, declarations, *sources.values()])
