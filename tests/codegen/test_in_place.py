"""Concatenations in place: the same results as copies, in every layout, and refused where they would be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle
from codegen.bundle.in_place import Part, can_place
from codegen.bundle.launches import Run, runs_of
from codegen.bundle.memory import memory_use
from codegen.bundle.tasks import Schedule, schedule_of
from codegen.engines.videocore4.layout import block_lines
from codegen.errors import PlanError
from codegen.expression import RELU, RESULT, clamp
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.interpolation import Interpolation
from codegen.operators.pool2d import Pool2d
from codegen.operators.rearrange import selection
from codegen.operators.reduction import Reduce
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.plan import Plan
from codegen.reference import evaluate
from microbench.boards.virtual import VirtualBoard
from microbench.profile import load_profile
from tests.codegen.layers import inferred_layer, sum_of_two
from tests.codegen.plan_run import layered_plan, run_plan
from tests.codegen.planned import PI_ZERO, GraphBuilder

SAME = Conv2d((3, 3), pads=(1, 1, 1, 1))
POINTWISE = Conv2d((1, 1), epilogue=RELU)


def image(graph: Graph) -> np.ndarray:
    return np.random.default_rng(5).normal(size=graph.types["x"].shape).astype(np.float32)


def check_same(graph: Graph, copying: Plan, in_place: Plan) -> None:
    """Both plans give equal bits, close to the reference, without stale reads."""
    value = image(graph)
    copied, placed = run_plan(graph, copying, value), run_plan(graph, in_place, value)
    assert copied.stale_reads == placed.stale_reads == 0
    for name, expected in evaluate(graph, {"x": value}).items():
        np.testing.assert_array_equal(placed.outputs[name], copied.outputs[name])
        assert np.abs(placed.outputs[name] - expected).max() <= 1e-4 * np.abs(expected).max()


def fire_module() -> Graph:
    """Squeeze, two expansions, their concatenation and a layer behind it."""
    build = GraphBuilder("fire", (1, 6, 9, 7))
    squeezed = build.add(POINTWISE, "x", [(8, 6, 1, 1), (8,)], name="squeeze")
    left = build.add(POINTWISE, squeezed, [(20, 8, 1, 1), (20,)], name="left")
    right = build.add(SAME, squeezed, [(23, 8, 3, 3), (23,)], name="right")
    joined = build.add(Concat(1), (left, right), name="join")
    return build.build(build.add(POINTWISE, joined, [(9, 43, 1, 1), (9,)], name="next"))


def test_a_fire_module_on_the_qpus_writes_its_concatenation_in_place() -> None:
    graph = fire_module()
    copying, in_place = layered_plan(graph), layered_plan(graph, in_place=["join"])
    assert [len(run) for run in runs_of(schedule_of(copying))] == [5]
    assert [len(run) for run in runs_of(schedule_of(in_place))] == [4]
    assert schedule_of(in_place).parts == {
        "t1@pixel16": Part("t3@pixel16", 0, block_lines(43)),
        "t2@pixel16": Part("t3@pixel16", 20 * 64, block_lines(43)),
    }
    check_same(graph, copying, in_place)
    assert memory_use(in_place, {}).gpu_bytes < memory_use(copying, {}).gpu_bytes


DEEP = {"qpu_pointwise_split_k": POINTWISE, "qpu_im2col_split_k": SAME}


def deep_module_of(op: Conv2d) -> Graph:
    """Three parts, of which the middle one has few tiles and long sums."""
    build = GraphBuilder("deep", (1, 130, 7, 7))
    first = build.add(POINTWISE, "x", [(9, 130, 1, 1), (9,)], name="first")
    part = build.add(op, "x", [(226, 130, *op.kernel), (226,)], name="part")
    last = build.add(POINTWISE, "x", [(11, 130, 1, 1), (11,)], name="last")
    joined = build.add(Concat(1), (first, part, last), name="join")
    return build.build(joined, build.add(Map(RELU), joined, name="next"))


def module_of(algorithm: str) -> Graph:
    """Three parts, the middle one ("part") a layer that the algorithm computes."""
    wide = algorithm.endswith("_channels") or algorithm in ("qpu_winograd", "qpu_winograd_strided")
    outputs = 42 if wide else 26
    if algorithm in DEEP:  # of so many channels that splitting their sums helps
        return deep_module_of(DEEP[algorithm])
    build = GraphBuilder("parts", (1, 20, 13, 14) if wide else (1, 20, 7, 6))
    other = build.add(POINTWISE, "x", [(20, 20, 1, 1), (20,)], name="other")
    first = build.add(POINTWISE, other, [(9, 20, 1, 1), (9,)], name="first")
    if algorithm == "qpu_map":
        part = build.add(sum_of_two(clamp(RESULT, 0.0, 6.0)), ("x", other), name="part")
    elif algorithm == "qpu_concat":
        part = build.add(Concat(1), ("x", other), name="part")
    elif algorithm == "qpu_conv_transpose":
        part = build.add(ConvTranspose2d((1, 1)), other, [(13, 20, 1, 1), (13,)], name="part")
    elif algorithm == "qpu_interpolation":
        rows, columns = (tuple((i, size - 1) for i in range(size)) for size in (7, 6))
        halves = ((0.5, 0.5),)
        part = build.add(Interpolation(rows, halves * 7, columns, halves * 6), other, name="part")
    elif algorithm == "qpu_moves":
        mirrored = selection((1, 20, 7, 6), [*map(np.arange, (1, 20, 7)), np.arange(6)[::-1]])
        part = build.add(mirrored, other, name="part")
    elif algorithm == "qpu_reduce":
        part = build.add(Reduce("max", (1,), True), other, name="part")
    elif algorithm == "qpu_softmax":
        part = build.add(Softmax(1), other, name="part")
    elif algorithm.startswith("qpu_pool"):
        part = build.add(Pool2d("max", (3, 3), pads=(1, 1, 1, 1)), other, name="part")
    elif algorithm.startswith("qpu_depthwise"):
        op = Conv2d((3, 3), pads=(1, 1, 1, 1), groups=20)
        part = build.add(op, other, [(20, 1, 3, 3), (20,)], name="part")
    elif algorithm == "qpu_winograd_strided":
        op = Conv2d((3, 3), strides=(2, 2), pads=(7, 7, 7, 8))  # as many outputs as inputs
        part = build.add(op, other, [(outputs, 20, 3, 3), (outputs,)], name="part")
    elif algorithm == "qpu_grouped":
        part = build.add(
            Conv2d((3, 3), pads=(1, 1, 1, 1), groups=5), other, [(15, 4, 3, 3), (15,)], name="part"
        )
    elif algorithm == "qpu_separable":
        window = inferred_layer(replace(SAME, groups=20), (1, 20, 7, 6), weights=((20, 1, 3, 3), (20,)))
        behind = inferred_layer(POINTWISE, *window.outputs, weights=((26, 20, 1, 1), (26,)))
        weights = [tensor.shape for tensor in (*window.weights, *behind.weights)]
        part = build.add(Chain((window, behind), ((0,), (-1,))), other, weights, name="part")
    elif algorithm == "qpu_expand_depthwise":
        expansion = inferred_layer(
            replace(POINTWISE, epilogue=RELU), (1, 20, 7, 6), weights=((26, 20, 1, 1), (26,))
        )
        behind = inferred_layer(replace(SAME, groups=26), *expansion.outputs, weights=((26, 1, 3, 3), (26,)))
        weights = [tensor.shape for tensor in (*expansion.weights, *behind.weights)]
        part = build.add(Chain((expansion, behind), ((0,), (-1,))), other, weights, name="part")
    elif algorithm == "qpu_scaled_concat":
        pair = inferred_layer(Concat(1), (1, 20, 7, 6), (1, 20, 7, 6))
        scaling = Conv2d((1, 1), groups=40, epilogue=RELU)
        scaled = inferred_layer(scaling, *pair.outputs, weights=((40, 1, 1, 1), (40,)))
        weights = [tensor.shape for tensor in scaled.weights]
        part = build.add(Chain((pair, scaled), ((0, 1), (-1,))), ("x", other), weights, name="part")
    elif algorithm == "qpu_stem":
        planes = build.add(POINTWISE, other, [(3, 20, 1, 1), (3,)], name="planes")
        window = inferred_layer(SAME, (1, 3, 7, 6), weights=((26, 3, 3, 3), (26,)))
        behind = inferred_layer(Pool2d("max", (2, 2), pads=(1, 1, 0, 0)), *window.outputs)
        weights = [tensor.shape for tensor in window.weights]
        part = build.add(Chain((window, behind), ((0,), (-1,))), planes, weights, name="part")
    elif algorithm == "qpu_planes_pool":
        planes = build.add(ConvTranspose2d((4, 4), (4, 4)), other, [(3, 20, 4, 4), (3,)], name="planes")
        window = inferred_layer(
            Conv2d((7, 7), (2, 2), (3, 3, 3, 3)), (1, 3, 28, 24), weights=((42, 3, 7, 7), (42,))
        )
        behind = inferred_layer(Pool2d("max", (2, 2), (2, 2)), *window.outputs)
        weights = [tensor.shape for tensor in window.weights]
        part = build.add(Chain((window, behind), ((0,), (-1,))), planes, weights, name="part")
    elif algorithm == "qpu_stem_depthwise":
        planes = build.add(ConvTranspose2d((2, 2), (2, 2)), other, [(3, 20, 2, 2), (3,)], name="planes")
        halved = Conv2d((3, 3), (2, 2), (1, 1, 0, 0), epilogue=RELU)
        window = inferred_layer(halved, (1, 3, 14, 12), weights=((26, 3, 3, 3), (26,)))
        behind = inferred_layer(replace(SAME, groups=26), *window.outputs, weights=((26, 1, 3, 3), (26,)))
        weights = [tensor.shape for tensor in (*window.weights, *behind.weights)]
        part = build.add(Chain((window, behind), ((0,), (-1,))), planes, weights, name="part")
    elif algorithm == "qpu_planes":
        planes = build.add(POINTWISE, other, [(3, 20, 1, 1), (3,)], name="planes")
        part = build.add(SAME, planes, [(outputs, 3, 3, 3), (outputs,)], name="part")
    elif "pointwise" in algorithm:
        part = build.add(POINTWISE, other, [(outputs, 20, 1, 1), (outputs,)], name="part")
    else:
        part = build.add(SAME, other, [(outputs, 20, 3, 3), (outputs,)], name="part")
    last = build.add(POINTWISE, other, [(11, 20, 1, 1), (11,)], name="last")
    joined = build.add(Concat(1), (first, part, last), name="join")
    return build.build(joined, build.add(Map(RELU), joined, name="next"))


ROW_MAJOR = {
    "qpu_broadcast",
    "qpu_contraction",
    "qpu_fully_connected",
    "qpu_fully_connected_few_rows",
    "qpu_fully_connected_rows",
    "qpu_global_average",
    "qpu_global_maximum",
    "qpu_matrix_product",
}
SEVERAL = {"qpu_side_by_side"}  # outputs: test_qpu_side_by_side.py
WRITERS = sorted(name for name in algorithms() if name.startswith("qpu_") and name not in ROW_MAJOR | SEVERAL)


@pytest.mark.parametrize("algorithm", WRITERS)
def test_every_algorithm_writes_a_part_of_a_whole(algorithm: str) -> None:
    graph = module_of(algorithm)
    pick = {"part": algorithm}
    check_same(graph, layered_plan(graph, pick), layered_plan(graph, pick, in_place=["join"]))


def nested() -> Graph:
    """A whole that is a part, whose reader is the outer concatenation only."""
    build = GraphBuilder("nested", (1, 6, 5, 5))
    a, b, c, d = (build.add(POINTWISE, "x", [(n, 6, 1, 1), (n,)], name=f"p{n}") for n in (8, 9, 10, 11))
    inner = build.add(Concat(1), (b, c), name="inner")
    outer = build.add(Concat(1), (a, inner, d), name="outer")
    return build.build(build.add(SAME, outer, [(8, 38, 3, 3), (8,)], name="next"))


@pytest.mark.parametrize("names", [("inner",), ("outer",), ("inner", "outer")])
@pytest.mark.parametrize("engine", ["videocore4", "cpu"])
def test_a_whole_may_be_a_part(names: tuple[str, ...], engine: str) -> None:
    graph = nested()
    copying = layered_plan(graph, engine=engine)
    check_same(graph, copying, layered_plan(graph, in_place=names, engine=engine))


def dense() -> Graph:
    """Parts and wholes that other layers read too, an output that is a whole, one that is a view of a part."""
    build = GraphBuilder("dense", (1, 6, 5, 6))
    a = build.add(POINTWISE, "x", [(16, 6, 1, 1), (16,)], name="a")
    b = build.add(SAME, a, [(17, 16, 3, 3), (17,)], name="b")
    inner = build.add(Concat(1), (a, b), name="inner")
    c = build.add(SAME, inner, [(18, 33, 3, 3), (18,)], name="c")
    outer = build.add(Concat(1), (inner, c), name="outer")
    flat = build.add(Reshape(), c, shape=(1, 18 * 30), name="flat")
    total = build.add(sum_of_two(), (c, c), name="sum")
    return build.build(outer, flat, total)


MIXES = {
    "all in C": {},
    "gathers read parts": {"b": "qpu_implicit_gemm nchw", "c": "qpu_implicit_gemm nchw"},
    "one gather": {"c": "qpu_implicit_gemm nchw"},
}


@pytest.mark.parametrize("names", [("inner",), ("outer",), ("inner", "outer")])
@pytest.mark.parametrize("mix", MIXES)
def test_row_major_parts_may_be_read_by_anybody(mix: str, names: tuple[str, ...]) -> None:
    graph = dense()
    copying = layered_plan(graph, MIXES[mix], engine="cpu")
    check_same(graph, copying, layered_plan(graph, MIXES[mix], in_place=names, engine="cpu"))


def test_a_whole_in_blocks_may_be_joined_to_another_row_by_row() -> None:
    graph = nested()
    rows = {"p8": "cpu_pointwise_gemm", "p11": "cpu_pointwise_gemm", "outer": "cpu_concat nchw"}
    in_place = layered_plan(graph, rows, in_place=["inner", "outer"])
    wholes = {part.whole for part in schedule_of(in_place).parts.values()}
    assert wholes == {"t4@pixel16", "t5@nchw"}
    check_same(graph, layered_plan(graph, rows), in_place)


def fully_connected() -> Graph:
    """Flat parts, the second computed from the first."""
    build = GraphBuilder("flat", (1, 24))
    a = build.add(FullyConnected(), "x", [(19, 24), (19,)], name="a")
    b = build.add(FullyConnected(), a, [(21, 19), (21,)], name="b")
    whole = build.add(Concat(1), (a, b), name="join")
    return build.build(build.add(FullyConnected(), whole, [(16, 40), (16,)], name="next"))


def test_a_read_that_would_be_stale_starts_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = fully_connected()
    copying, in_place = (
        layered_plan(graph, {"join": "cpu_concat nchw"}),
        layered_plan(graph, in_place=["join"]),
    )
    assert {step.choice.engine for step in in_place.steps if not step.in_place} == {"videocore4"}
    runs = runs_of(schedule_of(in_place))
    assert [[task.step.name for task in run] for run in runs] == [["a", "b"], ["next"]]
    check_same(graph, copying, in_place)

    def in_one(schedule: Schedule) -> list[Run]:
        return [schedule.computing]

    monkeypatch.setattr("codegen.bundle.arrangement.runs_of", in_one)
    assert run_plan(graph, in_place, image(graph)).stale_reads > 0


def rule_cases() -> dict[str, tuple[Graph, str, set[str]]]:
    """A graph, its concatenation, and the layouts in which that can be in place."""

    def graph(parts: tuple[str, ...], outputs: tuple[str, ...] = (), extra: tuple[str, ...] = ()) -> Graph:
        build = GraphBuilder("rule", (1, 4, 4, 4))
        names = {
            "x": "x",
            "a": build.add(POINTWISE, "x", [(4, 4, 1, 1), (4,)], name="a"),
            "b": build.add(POINTWISE, "x", [(4, 4, 1, 1), (4,)], name="b"),
            "c": build.add(POINTWISE, "x", [(4, 4, 1, 1), (4,)], name="c"),
        }
        names["shown"] = build.add(Reshape(), names["a"], shape=(1, 4, 2, 8), name="shown")
        names["back"] = build.add(Reshape(), names["shown"], shape=(1, 4, 4, 4), name="back")
        names["join"] = build.add(Concat(1), tuple(names[p] for p in parts), name="join")
        for number, source in enumerate(extra):
            op: Operator = Concat(1) if source.endswith("2") else Map(RELU)
            sources = (names[source[0]], names["x"]) if source.endswith("2") else (names[source],)
            names[f"extra{number}"] = build.add(op, sources, name=f"extra {number}")
        return build.build(names["join"], *(names[o] for o in outputs))

    both = {"nchw", "pixel16"}
    return {
        "two parts": (graph(("b", "c")), "join", both),
        "read by a view": (graph(("b", "a")), "join", {"nchw"}),
        "a part read elsewhere": (graph(("b",), extra=("b",)), "join", {"nchw"}),
        "a part of two": (graph(("b",), extra=("b2",)), "join", set()),
        "a part twice": (graph(("b", "b")), "join", set()),
        "an input": (graph(("b", "x")), "join", set()),
        "an output": (graph(("b",), outputs=("b",)), "join", set()),
        "a view": (graph(("b", "back")), "join", set()),
    }


@pytest.mark.parametrize("layout", ["nchw", "pixel16"])
@pytest.mark.parametrize("case", rule_cases())
def test_the_rules_of_graphs_and_plans_agree(case: str, layout: str) -> None:
    graph, name, layouts = rule_cases()[case]
    node: Node = next(node for node in graph.nodes if node.name == name)
    assert can_place(graph, node, layout) == (layout in layouts)
    pick = {name: f"cpu_concat {layout}"}
    plan = layered_plan(graph, pick, in_place=[name], engine="videocore4" if layout == "pixel16" else "cpu")
    if layout in layouts:
        assert {part.whole for part in schedule_of(plan).parts.values()} == {f"{node.output}@{layout}"}
    else:
        with pytest.raises(PlanError, match=f"step {name!r} cannot be in place"):
            schedule_of(plan)


def test_c_code_cannot_write_into_the_blocks_of_a_whole() -> None:
    graph = fire_module()
    plan = layered_plan(graph, {"left": "cpu_pointwise_gemm"}, in_place=["join"])
    with pytest.raises(PlanError, match="'relayout:t1:pixel16' on engine 'cpu'"):
        schedule_of(plan)


def test_only_concatenations_are_in_place() -> None:
    with pytest.raises(ValueError, match="for concatenations"):
        layered_plan(fire_module(), in_place=["left"])


def images() -> Graph:
    """Parts of a batch by rounds of kernels, by kernels of whole batches, and a whole among them."""
    build = GraphBuilder("images", (3, 20, 7, 6))
    first = build.add(POINTWISE, "x", [(9, 20, 1, 1), (9,)])
    second = build.add(SAME, "x", [(13, 20, 3, 3), (13,)])
    inner = build.add(Concat(1), (first, second), name="inner")
    third = build.add(Softmax(1), build.add(POINTWISE, "x", [(7, 20, 1, 1), (7,)]))
    fourth = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1), groups=20), "x", [(20, 1, 3, 3), (20,)])
    joined = build.add(Concat(1), (inner, third, fourth), name="join")
    return build.build(joined, build.add(Map(RELU), joined))


def test_parts_of_several_images_lie_in_the_blocks_of_all() -> None:
    graph = images()
    pick = {"layer 4": "qpu_softmax pixel16"}
    in_place = layered_plan(graph, pick, in_place=["inner", "join"])
    assert len(schedule_of(in_place).parts) == 5
    check_same(graph, layered_plan(graph, pick), in_place)


def test_row_major_parts_of_several_images_lie_apart() -> None:
    graph = images()
    join = next(node for node in graph.nodes if node.name == "join")
    assert can_place(graph, join, "pixel16") and not can_place(graph, join, "nchw")


BUNDLES: dict[str, Callable[[], tuple[Graph, Plan]]] = {
    "blocks on the QPUs": lambda: ((g := fire_module()), layered_plan(g, in_place=["join"])),
    "rows in C": lambda: ((g := dense()), layered_plan(g, None, ["inner", "outer"], engine="cpu")),
    "rows read by gathers": lambda: (
        (g := dense()),
        layered_plan(g, MIXES["one gather"], ["inner", "outer"], engine="cpu"),
    ),
    "flat, in two launches": lambda: ((g := fully_connected()), layered_plan(g, in_place=["join"])),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_bundles_compute_what_the_plans_do(name: str, tmp_path: Path) -> None:
    graph, plan = BUNDLES[name]()
    compile_bundle(graph, plan, PI_ZERO, tmp_path)
    with VirtualBoard(load_profile("pi-zero")) as board:
        run = board.run_bundle(tmp_path, (image(graph),))
    assert run.counters.get("stale_reads", 0) == 0
    for found, expected in zip(run.outputs, evaluate(graph, {"x": image(graph)}).values(), strict=True):
        assert np.abs(found.reshape(expected.shape) - expected).max() <= 1e-4 * np.abs(expected).max()
    assert all(run.step_times_s[step.name] == 0.0 for step in plan.steps if step.in_place)


def blocks_of_channels(middle: int) -> Graph:
    """Three parts, the middle one of so many channels and read by another layer too; the last fills no block."""
    build = GraphBuilder("blocks", (1, 6, 5, 7))
    counts = (8, middle, 7)
    parts = [build.add(SAME, "x", [(n, 6, 3, 3), (n,)], name=f"part {i}") for i, n in enumerate(counts)]
    joined = build.add(Concat(1), tuple(parts), name="join")
    following = build.add(POINTWISE, joined, [(9, sum(counts), 1, 1), (9,)], name="next")
    return build.build(following, build.add(sum_of_two(), (parts[1], parts[1]), name="sum"))


IN_BLOCKS = {
    **dict.fromkeys(("part 0", "part 1", "part 2", "next"), "cpu_blocked_conv channel4"),
    "join": "cpu_blocked_concat channel4",
    "sum": "cpu_blocked_map channel4",
}


def test_parts_that_fill_their_blocks_of_channels_may_be_read_by_anybody() -> None:
    graph = blocks_of_channels(12)
    in_place = layered_plan(graph, IN_BLOCKS, in_place=["join"], engine="cpu")
    pixels_bytes = 5 * 7 * 4 * 4
    assert schedule_of(in_place).parts == {
        "t0@channel4": Part("t3@channel4", 0, None),
        "t1@channel4": Part("t3@channel4", 2 * pixels_bytes, None),
        "t2@channel4": Part("t3@channel4", 5 * pixels_bytes, None),
    }
    check_same(graph, layered_plan(graph, IN_BLOCKS, engine="cpu"), in_place)


def test_a_part_that_leaves_a_block_open_is_copied() -> None:
    graph = blocks_of_channels(11)
    node = next(node for node in graph.nodes if node.name == "join")
    assert not can_place(graph, node, "channel4")
    with pytest.raises(PlanError, match="does not fill its blocks of 4 channels"):
        schedule_of(layered_plan(graph, IN_BLOCKS, in_place=["join"], engine="cpu"))
