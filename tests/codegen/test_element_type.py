"""Element types are numpy's, and C code that copies elements by their load and store texts keeps every value."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest

from codegen import element_type as module
from codegen.element_type import ELEMENT_TYPES, ElementType, element_type, element_types
from codegen.engines.cpu.toolchain import compile_shared
from codegen.errors import ElementTypeError
from codegen.tensor import TensorType
from tests.codegen.cpu_run import HOST

NAMES = [element.name for element in ELEMENT_TYPES]
COPY = """
void copy_{name}(const {c_type} *source, {c_type} *target, int count)
{{
    for (int i = 0; i < count; ++i) {{
        {c_value} value = {load};
        {store}
    }}
}}
"""


def test_the_table_is_registered() -> None:
    assert set(NAMES) <= set(element_types())
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_numpys(name: str) -> None:
    element = element_type(name)
    assert element.dtype == np.dtype(name)
    assert element.size_bytes == element.dtype.itemsize
    assert element.is_floating == np.issubdtype(element.dtype, np.floating)
    assert TensorType((2, 3), name).size_bytes == 6 * element.size_bytes


def test_an_unknown_one_lists_the_known_ones() -> None:
    with pytest.raises(ElementTypeError, match=r"'float8'; known: bool, float16"):
        _ = TensorType((1,), "float8").size_bytes


class _Point:
    value, group = "somewhere:TYPES", ""

    def __init__(self, name: str, found: object) -> None:
        self.name, self._found = name, found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Point]]:
    points: list[_Point] = []
    monkeypatch.setattr(module, "entry_points", lambda group: points)
    element_types.cache_clear()
    yield points
    element_types.cache_clear()


def test_a_package_may_add_one(registered: list[_Point]) -> None:
    packed = ElementType("bfloat16", 2, "uint16_t", "float", is_floating=True)
    registered += [_Point("builtin", ELEMENT_TYPES), _Point("other", [packed])]
    assert TensorType((4, 4), "bfloat16").size_bytes == 32


def test_two_of_one_name_are_refused(registered: list[_Point]) -> None:
    registered += [_Point("a", ELEMENT_TYPES), _Point("b", ELEMENT_TYPES[:1])]
    with pytest.raises(ElementTypeError, match="two element types are named 'float32'"):
        element_types()


def test_a_package_that_does_not_load_is_refused(registered: list[_Point]) -> None:
    registered.append(_Point("broken", ImportError("nothing there")))
    with pytest.raises(ElementTypeError, match=r"'broken' .*nothing there"):
        element_types()


@pytest.fixture(scope="module")
def copies() -> ctypes.CDLL:
    bodies = (
        COPY.format(
            name=e.name,
            c_type=e.c_type,
            c_value=e.c_value,
            load=e.load("source[i]"),
            store=e.store("target[i]", "value"),
        )
        for e in ELEMENT_TYPES
    )
    return ctypes.CDLL(str(compile_shared({"copies.c": "#include <stdint.h>\n" + "".join(bodies)}, HOST)))


def extremes(element: ElementType) -> np.ndarray:
    if element.name == "bool":
        return np.array([False, True])
    if element.is_floating:
        found = np.finfo(element.name)
        ends = [found.min, found.max, found.tiny, found.smallest_subnormal, np.inf, -np.inf, np.nan]
    else:
        ends = [np.iinfo(element.name).min, np.iinfo(element.name).max]
    return np.array([0, 1, 2, *ends], dtype=element.name)


@pytest.mark.parametrize("name", NAMES)
def test_loads_and_stores_in_c_keep_every_value(copies: ctypes.CDLL, name: str) -> None:
    element = element_type(name)
    source = extremes(element)
    target = np.ones_like(source)
    assert len(source.tobytes()) == len(source) * element.size_bytes
    function = getattr(copies, f"copy_{name}")
    function(ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(target.ctypes.data), len(source))
    assert np.array_equal(source, target, equal_nan=element.is_floating)


def test_a_narrower_store_rounds_to_nearest_even(copies: ctypes.CDLL) -> None:
    half = element_type("float16")
    body = (
        "void narrow(const float *x, _Float16 *y, int n)"
        "{ for (int i = 0; i < n; ++i) { " + half.store("y[i]", "x[i]") + " } }"
    )
    library = ctypes.CDLL(str(compile_shared({"narrow.c": body}, HOST)))
    values = np.random.default_rng(0).standard_normal(200, dtype=np.float32) * np.float32(300)
    result = np.zeros(200, np.float16)
    library.narrow(ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(result.ctypes.data), 200)
    assert np.array_equal(result, values.astype(np.float16))
