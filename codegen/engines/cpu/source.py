"""Pieces of C text: templates and literals."""

from __future__ import annotations

import math
import struct
from string import Template
from textwrap import dedent

BARRIER = '__asm__ volatile("" ::: "memory");'
"""Compilers keep nothing of memory in registers over it."""


def fill(template: str, **values: int | str) -> str:
    """A dedented C template with every `$name` replaced; a name without a value raises KeyError."""
    text = Template(dedent(template).strip("\n") + "\n")
    return text.substitute({name: str(value) for name, value in values.items()})


def element_pointer(pointer: str, c_type: str, *, written: bool = False) -> str:
    """A pointer to floats, which is what kernels are given, as one to the elements that lie there."""
    if c_type == "float":
        return pointer
    return f"({'' if written else 'const '}{c_type} *){pointer}"


def element_header(c_type: str) -> str:
    """What the file of a kernel begins with that names the C type of its elements."""
    return "" if c_type == "float" else "#include <stdint.h>\n"


def float_literal(value: float) -> str:
    """The C99 literal of the float32 nearest to `value`, exact (hexadecimal digits)."""
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    if math.isnan(single) or math.isinf(single):
        raise ValueError(f"{value} has no C literal")
    return f"{single.hex()}f"


def round_up(value: int, multiple: int) -> int:
    """The least multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple
