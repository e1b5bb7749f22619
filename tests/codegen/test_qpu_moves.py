"""Elements moved on the QPUs: from and to either layout, whatever the shapes, exactly and nothing beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithms.arrangements import arrangement
from codegen.engines.videocore4.kernels.gather import Form, gather_kernel
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.rearrange import Rearrange, selection
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.split import Split
from codegen.operators.transpose import Transpose
from codegen.passes.view_transposition import separable
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.tensor import Shape
from tests.codegen.built import Case, built
from tests.codegen.gpu_run import TARGET, random_tensors
from tests.codegen.layers import inferred_layer

Random = np.random.Generator
MOVES = algorithm_named("qpu_moves")
BOTH = (("pixel16", "pixel16"), ("pixel16", "nchw"), ("nchw", "pixel16"), ("nchw", "nchw"))


def shape_of(rng: Random, samples: int = 1) -> Shape:
    """Planes with remainders in blocks and channels."""
    return (samples, int(rng.integers(1, 40)), int(rng.integers(1, 12)), int(rng.integers(1, 12)))


def relayout(rng: Random) -> LayerSpec:
    layouts = ["nchw", "pixel16"]
    rng.shuffle(layouts)
    return inferred_layer(Relayout(*layouts), shape_of(rng, int(rng.integers(1, 3))))


def transposition(rng: Random) -> LayerSpec:
    return inferred_layer(Transpose(tuple(map(int, rng.permutation(4)))), shape_of(rng))


def transposition_of_any_rank(rng: Random) -> LayerSpec:
    rank = int(rng.choice([2, 3, 5]))
    shape = tuple(int(size) for size in rng.integers(1, 7, rank))
    return inferred_layer(Transpose(tuple(map(int, rng.permutation(rank)))), shape)


def reshape(rng: Random) -> LayerSpec:
    _, channels, height, width = shape_of(rng)
    shapes: list[Shape] = [
        (1, channels * height, width, 1), (1, width, channels, height), (1, channels * height * width),
        (1, channels, height * width),
    ]  # fmt: skip
    return inferred_layer(Reshape(), (1, channels, height, width), declared=shapes[rng.integers(len(shapes))])


def split(rng: Random) -> LayerSpec:
    sizes = tuple(int(size) for size in rng.integers(1, 9, int(rng.integers(2, 5))))
    axis = int(rng.integers(1, 4))
    shape = list(shape_of(rng))
    shape[axis] = sum(sizes)
    return inferred_layer(Split(axis, sizes), tuple(shape))


def concat(rng: Random) -> LayerSpec:
    samples, _, height, width = shape_of(rng, int(rng.integers(1, 3)))
    channels = rng.integers(1, 20, int(rng.integers(1, 5)))
    return inferred_layer(Concat(1), *((samples, int(c), height, width) for c in channels))


def selected(rng: Random) -> LayerSpec:
    """Places along every axis, some of them none: pads, slices with steps, repetitions."""
    shape = shape_of(rng)
    indices = [np.arange(size) for size in shape]
    for axis in rng.choice(4, 2, replace=False):
        kind = rng.integers(4)
        if kind == 0:
            indices[axis] = np.concatenate([[-1], indices[axis], [-1, -1]])
        elif kind == 1:
            indices[axis] = indices[axis][::-1][:: int(rng.integers(1, 4))]
        elif kind == 2:
            indices[axis] = np.repeat(indices[axis], int(rng.integers(1, 4)))
        else:
            indices[axis] = rng.integers(-1, shape[axis], int(rng.integers(1, 9)))
    return inferred_layer(selection(shape, indices, 2.5), shape)


def depth_to_space(rng: Random) -> LayerSpec:
    factor, depth = int(rng.integers(2, 4)), int(rng.integers(1, 9))
    _, _, height, width = shape_of(rng)
    shape = (1, depth * factor * factor, height, width)
    order, view = (
        ((0, 3, 4, 1, 5, 2), (1, factor, factor, depth, height, width))
        if rng.integers(2)
        else ((0, 1, 4, 2, 5, 3), (1, depth, factor, factor, height, width))
    )
    places = np.arange(np.prod(shape)).reshape(view).transpose(order)
    op = separable(places.reshape(1, depth, height * factor, width * factor))
    assert op is not None
    return inferred_layer(op, shape)


def shuffled_channels(rng: Random) -> LayerSpec:
    groups, each = int(rng.integers(2, 6)), int(rng.integers(2, 9))
    _, _, height, width = shape_of(rng)
    shape = (1, groups * each, height, width)
    places = np.arange(np.prod(shape)).reshape(1, groups, each, height, width).swapaxes(1, 2)
    op = separable(places.reshape(shape))
    assert op is not None
    return inferred_layer(op, shape)


KINDS: dict[str, Callable[[Random], LayerSpec]] = {
    function.__name__: function
    for function in (
        relayout, transposition, transposition_of_any_rank, reshape, split, concat, selected, depth_to_space,
        shuffled_channels,
    )
}  # fmt: skip


def choices(spec: LayerSpec) -> list[Choice]:
    found = []
    for point in MOVES.space(spec, TARGET).points():
        with suppress(ScheduleError):
            found.append(MOVES.choice(spec, TARGET, point))
    return found


def check_moved(spec: LayerSpec, choice: Choice, seed: int) -> None:
    """Every element exactly, with NaN around all tensors; nothing else is written."""
    inputs, weights = random_tensors(spec, seed)
    (one,) = built(MOVES, [Case("moved", spec, TARGET, choice, inputs, weights)])
    images = one.run(one.case.images, np.float32(np.nan))
    for layout, image, type_, expected in zip(
        choice.output_layouts, images, spec.outputs, evaluate_layer(spec, inputs, weights), strict=True
    ):
        np.testing.assert_array_equal(layout_named(layout).unpack(image, type_), expected)
    assert one.case.work.bytes_written == one.stored_bytes()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_elements_arrive(kind: str, seed: int) -> None:
    rng = np.random.default_rng([seed, *kind.encode()])
    spec = KINDS[kind](rng)
    found = choices(spec)
    assert found
    for index in rng.permutation(len(found))[:2]:
        check_moved(spec, found[index], seed)


def layer(op: Operator, shape: Shape) -> LayerSpec:
    return inferred_layer(op, shape)


def test_what_keeps_planes_shares_tables() -> None:
    """Lines of whole channels at one distance: one table of lanes and one stream for all."""
    lines = arrangement(layer(Relayout("nchw", "pixel16"), (1, 40, 12, 8)), ("nchw", "pixel16"))
    assert not lines.form.by_line and len(lines.tables) == len(lines.streams) == 1


def test_padding_writes_the_number() -> None:
    padded = selection((1, 30, 4, 6), [np.arange(1), np.arange(-1, 30), np.arange(4), np.arange(-1, 6)], 2.5)
    spec = layer(padded, (1, 30, 4, 6))
    assert arrangement(spec, ("pixel16", "pixel16")).form == Form(filled=True)
    for choice in choices(spec):
        check_moved(spec, choice, 3)


def test_places_without_order_have_a_table_by_line() -> None:
    order = np.random.default_rng(1).permutation(160)
    spec = layer(Rearrange((160,), (0,), 0, (tuple(map(int, order)),)), (160,))
    assert arrangement(spec, ("nchw", "nchw")).form.by_line
    for choice in choices(spec):
        check_moved(spec, choice, 4)


def test_more_lines_than_registers_are_refused() -> None:
    with pytest.raises(ScheduleError):
        gather_kernel(Form(), 64)
    with pytest.raises(ScheduleError, match="rows"):
        gather_kernel(Form(), 65)
    with pytest.raises(ScheduleError, match="taps"):
        gather_kernel(Form(taps=2, by_line=True), 4)


@pytest.mark.parametrize(
    ("shape", "touched", "fetched"),
    [
        ((1, 64, 1, 1), 64, 64),  # each element lies in a line of its own
        ((1, 4, 8, 8), 16, 16),  # four lines of each plane, one after the other
        ((1, 4, 1, 24), 10, 10),  # blocks of 16 and of 8 pixels: some requests read lines of both
    ],
)
def test_memory_moves_the_lines_that_lanes_touch(shape: Shape, touched: int, fetched: int) -> None:
    spec = inferred_layer(Relayout("pixel16", "nchw"), shape)
    lines = arrangement(spec, ("pixel16", "nchw"))
    assert lines.touched == touched
    choice = MOVES.choice(
        spec, TARGET, {"groups": 1, "rows": 4, "input_layout": "pixel16", "output_layout": "nchw"}
    )
    work = MOVES.work(spec, TARGET, choice)
    tables = work.load_instructions - sum(-(-run.lines // 4) * 4 for run in lines.runs)
    assert work.streamed_bytes_read == 64 * (fetched + tables)
