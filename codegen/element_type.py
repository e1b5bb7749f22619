"""Types of the elements of tensors: built-ins and those of plug-ins, through the same entry points.

`explore.element_types`: an iterable of `ElementType`s, as `ELEMENT_TYPES` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points

import numpy as np

from codegen.errors import ElementTypeError

ENTRY_POINT_GROUP = "explore.element_types"


@dataclass(frozen=True)
class ElementType:
    """An element type: `name` is also numpy's. C code keeps elements as `c_type` and computes with `c_value`s."""

    name: str
    size_bytes: int
    c_type: str
    c_value: str
    is_floating: bool = False

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of numpy's arrays of such elements."""
        return np.dtype(self.name)

    def load(self, element: str) -> str:
        """The C expression for the value of an element, an lvalue of type `c_type`."""
        return element if self.c_type == self.c_value else f"({self.c_value})({element})"

    def store(self, element: str, value: str) -> str:
        """The C statement that writes a value, an expression of type `c_value`, to an element; it rounds to the
        nearest even where the element is a narrower floating type.
        """
        if self.name == "bool":  # any other conversion would keep the low bits alone
            return f"{element} = ({value}) != 0;"
        return f"{element} = {value if self.c_type == self.c_value else f'({self.c_type})({value})'};"


def _integer(name: str, size_bytes: int) -> ElementType:
    value = "int64_t" if size_bytes == 8 else "int32_t"
    return ElementType(name, size_bytes, f"{name}_t", f"u{value}" if name.startswith("u") else value)


FLOAT32 = ElementType("float32", 4, "float", "float", is_floating=True)
ELEMENT_TYPES: tuple[ElementType, ...] = (
    FLOAT32,
    ElementType("float64", 8, "double", "double", is_floating=True),
    ElementType("float16", 2, "_Float16", "float", is_floating=True),
    *(
        _integer(f"{sign}int{8 * size_bytes}", size_bytes)
        for sign in ("", "u")
        for size_bytes in (1, 2, 4, 8)
    ),
    ElementType("bool", 1, "uint8_t", "int32_t"),
)


@cache
def element_types() -> Mapping[str, ElementType]:
    """Every registered element type by name; raises ElementTypeError where two have one name."""
    found: dict[str, ElementType] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        for element in _loaded(point):
            if element.name in found:
                raise ElementTypeError(
                    f"two element types are named {element.name!r} (second: entry point {point.name!r}, "
                    f"{point.value}); rename the plug-in's"
                )
            found[element.name] = element
    return found


def element_type(name: str) -> ElementType:
    """The element type of that name; raises ElementTypeError listing the known ones."""
    known = element_types()
    if name not in known:
        raise ElementTypeError(f"unknown element type {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


def _loaded(point: EntryPoint) -> tuple[ElementType, ...]:
    try:
        return tuple(point.load())
    except (ImportError, AttributeError, TypeError) as error:
        raise ElementTypeError(
            f"entry point {point.name!r} ({point.value}) gives no element types: {error}; reinstall its package"
        ) from error
