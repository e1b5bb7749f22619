"""How kernels stand in a translation unit with others: marked so that each is compiled as if it were alone. They can
therefore be taken out again, and one that was compiled before need not be once more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

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
    declarations = "".join(f"KERNEL_ENTRY static void {entry}({_PARAMETERS});\n" for entry in sources)
    numbered = [f"/* Kernel {number} */\n{source}" for number, source in enumerate(sources.values())]
    return "\n".join([_BEGIN + ENTRY_ATTRIBUTES, declarations, *numbered, _END])


@dataclass(frozen=True)
class Parts:
    """A translation unit without its kernels, which it declares only, and their files: compiled and linked together
    they are the unit.
    """

    rest: str
    kernels: tuple[str, ...]


def parts_of(unit: str) -> Parts:
    """The parts of a C text with what `one_unit` made in it."""
    found = re.search(rf"{re.escape(_BEGIN)}(.*?){re.escape(_END)}", unit, re.DOTALL)
    if found is None:
        return Parts(unit, ())
    entries, *sources = re.split(r"/\* Kernel \d+ \*/\n", found[1])
    names = re.findall(r"KERNEL_ENTRY static void (\w+)\(", entries)
    kernels = [_Alone.of(name, source) for name, source in zip(names, sources, strict=True)]
    declared = "".join(
        f'void {name}({_PARAMETERS}) __asm__("{kernel.symbol}");\n'
        for name, kernel in zip(names, kernels, strict=True)
    )
    files = tuple(dict.fromkeys(kernel.file for kernel in kernels))
    return Parts(unit[: found.start()] + declared + unit[found.end() :], files)


def separate_kernel(entry: str, source: str) -> str:
    """C text of one kernel as a file of its own, compiled as `one_unit` would compile it: equal for kernels that differ
    in their names alone, linked with others or, as what `measured_kernel` points at, with measure.c.
    """
    return _Alone.of(entry, source).file


@dataclass(frozen=True)
class _Alone:
    """A kernel by a name that says no more than the text does: `symbol` where it is linked."""

    source: str
    symbol: str

    @staticmethod
    def of(entry: str, source: str) -> _Alone:
        named = source.strip().replace(entry, _OWN_NAME)
        return _Alone(named, f"kernel_{hashlib.sha256(named.encode()).hexdigest()[:24]}")

    @property
    def file(self) -> str:
        return "\n".join(
            [
                ENTRY_ATTRIBUTES,
                f'KERNEL_ENTRY void {_OWN_NAME}({_PARAMETERS}) __asm__("{self.symbol}");',
                self.source,
                f"__attribute__((weak)) void (*const measured_kernel)({_PARAMETERS}) = {_OWN_NAME};\n",
            ]
        )


_OWN_NAME = "the_kernel"
_BEGIN, _END = "/* Kernels */\n", "/* No more kernels */\n"
