"""Which layers go through the table of input offsets, what it holds, and how planes are cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.engines.cpu.blocked.indirect import CpuBlockedIndirect
from codegen.engines.cpu.blocked.indirect_source import indirect_text
from codegen.engines.cpu.blocked.indirect_tile import OUTSIDE, IndirectCode, input_offsets
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.target import Target
from codegen.tensor import TensorType
from tests.codegen.layers import layer_spec

NEON = Target(name="pi-2", qpus=12, cpu="cortex-a7", compiler=("", "-O1"), cores=4)
SAME = Conv2d((3, 3), pads=(1, 1, 1, 1))


def layer(op: Conv2d, inputs: tuple[int, int], outputs: tuple[int, int]) -> LayerSpec:
    weights = TensorType((8, 6 // op.groups, *op.kernel)), TensorType((8,))
    return layer_spec(op, (TensorType((1, 6, *inputs)),), TensorType((1, 8, *outputs)), weights)


def code_of(spec: LayerSpec, pixels: int) -> IndirectCode:
    return CpuBlockedIndirect().code(
        spec, {"lanes": 4, "pixels": pixels, "blocks": 1, "outer": "pixels", "offsets": "table"}, "entry"
    )


@pytest.mark.parametrize(
    ("spec", "widths"),
    [
        (layer(SAME, (7, 7), (7, 7)), {1: (10, 13), 2: (5, 6)}),
        (layer(Conv2d((1, 1), (2, 2)), (13, 13), (7, 7)), {1: (10, 13), 2: (5, 6)}),
        (layer(SAME, (9, 9), (9, 9)), {1: (12, 14)}),
        (layer(SAME, (14, 14), (14, 14)), {}),
        (layer(SAME, (28, 28), (28, 28)), {}),
        (layer(Conv2d((1, 1)), (7, 7), (7, 7)), {}),
    ],
    ids=[
        "short rows",
        "strided 1x1",
        "rows of two narrow tiles",
        "rows that fill tiles",
        "large plane",
        "pointwise",
    ],
)
def test_layers_whose_rows_leave_registers_empty_apply(
    spec: LayerSpec, widths: dict[int, tuple[int, ...]]
) -> None:
    algorithm = CpuBlockedIndirect()
    assert algorithm.widths_of_blocks(spec, NEON) == widths
    assert algorithm.applies(spec, NEON) == bool(widths)


def test_groups_do_not_apply() -> None:
    spec = layer(Conv2d((3, 3), pads=(1, 1, 1, 1), groups=2), (7, 7), (7, 7))
    assert not CpuBlockedIndirect().applies(spec, NEON)


def test_offsets_say_where_each_tap_of_each_output_lies() -> None:
    spec = layer(Conv2d((2, 1), (1, 2), (1, 0, 0, 0)), (2, 3), (2, 2))
    assert input_offsets(code_of(spec, 4)) == [
        [OUTSIDE, OUTSIDE, 0, 8],
        [0, 8, 12, 20],
    ]


def test_tiles_run_on_over_the_ends_of_rows() -> None:
    code = code_of(layer(SAME, (7, 7), (7, 7)), 13)
    assert [(tile.first, tile.pixels) for tile in code.tiles] == [(0, 12), (12, 12), (24, 12), (36, 13)]


def test_large_tables_are_not_written_into_the_code() -> None:
    algorithm, wide = CpuBlockedIndirect(), Conv2d((5, 5), pads=(2, 2, 2, 2))
    of = {
        spec: {axis.name: axis.values for axis in algorithm.axes(spec, NEON)}["offsets"]
        for spec in (layer(SAME, (7, 7), (7, 7)), layer(wide, (7, 7), (7, 7)))
    }
    assert list(of.values()) == [("table", "literals"), ("table",)]


@pytest.mark.parametrize(("pads", "zeros"), [((1, 1, 1, 1), True), ((0, 0, 0, 0), False)])
def test_only_tables_with_taps_outside_read_zeros(pads: tuple[int, int, int, int], zeros: bool) -> None:
    size = 7 + 2 * pads[0] - 2
    code = code_of(layer(replace(SAME, pads=pads), (7, 7), (size, size)), 13)
    assert ("entry_zeros" in indirect_text(code)) == zeros
    assert "entry_zeros" not in indirect_text(replace(code, literals=True))
