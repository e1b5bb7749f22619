"""Batches and groups on the QPUs: rounds of one kernel, dealt out evenly, in one launch with the layers around them."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.bundle.launches import runs_of
from codegen.bundle.tasks import schedule_of
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.algorithms.images import first_image, layer_in_rounds
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.link import LinkedLayer, link
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import LinkError
from codegen.expression import RELU, Operand
from codegen.graph import Graph
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.reshape import Reshape
from codegen.placement import Placement
from codegen.reference import evaluate
from tests.codegen.gpu_run import TARGET, random_tensors
from tests.codegen.layers import inferred_layer
from tests.codegen.plan_run import choice_of, layered_plan, run_plan
from tests.codegen.planned import GraphBuilder


def batch_network() -> Graph:
    """Groups, residuals, a concatenation and a pool of two images."""
    build = GraphBuilder("two images", (2, 8, 9, 7))
    grouped = build.add(
        Conv2d((3, 3), pads=(1, 1, 1, 1), groups=2, epilogue=RELU),
        "x",
        [(20, 4, 3, 3), (20,)],
        name="grouped",
    )
    depthwise = build.add(
        Conv2d((5, 5), pads=(2, 2, 2, 2), groups=20), grouped, [(20, 1, 5, 5), (20,)], name="depthwise"
    )
    total = build.add(Map(Operand(0) + Operand(1)), (grouped, depthwise), name="total")
    joined = build.add(Concat(1), (total, depthwise), name="joined")
    average = build.add(Pool2d("average", (9, 7)), joined, name="average")
    flat = build.add(Reshape(), average, shape=(2, 40), name="flat")
    return build.build(build.add(FullyConnected(), flat, [(18, 40), (18,)], name="last"))


@pytest.mark.parametrize("grouped", ["qpu_grouped", "qpu_implicit_gemm"])
def test_a_batch_goes_through_all_layers_in_one_launch(grouped: str) -> None:
    graph = batch_network()
    plan = layered_plan(graph, {"grouped": grouped, "total": "qpu_map", "flat": "cpu_reshape"})
    assert [len(run) for run in runs_of(schedule_of(plan))] == [6]
    value = np.random.default_rng(3).normal(size=(2, 8, 9, 7)).astype(np.float32)
    result = run_plan(graph, plan, value)
    assert result.stale_reads == 0
    for name, expected in evaluate(graph, {"x": value}).items():
        np.testing.assert_allclose(result.outputs[name], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_rounds_begin_where_the_last_has_left_qpus_with_less() -> None:
    long, short = (1, 2), (1,)
    rounds = [(long, long, short, short)] * 3
    layer = layer_in_rounds((), np.zeros(16, np.uint32), rounds)
    words = [sum(map(len, layer.of_qpu(q))) for q in range(4)]
    assert words == [5, 5, 4, 4]
    assert layer.blocks == (long, long, short, short)
    assert layer.more[0] == (short, short, long, long)


def test_the_images_of_a_batch_are_dealt_out_evenly() -> None:
    spec = inferred_layer(Conv2d((1, 1)), (6, 4, 10, 8), weights=((16, 4, 1, 1), (16,)))  # 5 tiles an image
    algorithm = algorithm_named("qpu_pointwise_streamed")
    assert isinstance(algorithm, QpuAlgorithm)
    choice = algorithm.choice(spec, TARGET, {"pixel_tiles": 12, "blocks": 1, "channels": 16})
    layer = algorithm.lower(spec, TARGET, choice, random_tensors(spec, 0)[1])
    tiles = [len(layer.of_qpu(q)) for q in range(TARGET.qpus)]
    assert sum(tiles) == 30 and max(tiles) - min(tiles) <= 1


def test_operands_of_one_image_serve_all() -> None:
    spec = inferred_layer(Map(Operand(0) * Operand(1)), (3, 5, 2, 2), (1, 5, 1, 1))
    one = first_image(spec)
    assert [tensor.shape for tensor in (*one.inputs, one.output)] == [
        (1, 5, 2, 2),
        (1, 5, 1, 1),
        (1, 5, 2, 2),
    ]
    assert first_image(one) is one
    flat = inferred_layer(Map(Operand(0)), (3, 5))
    assert first_image(flat) is flat


def test_constants_that_differ_by_image_are_not_cut() -> None:
    spec = inferred_layer(Map(Operand(0) * Operand(1)), (3, 5, 2, 2), weights=((3, 1, 1, 1),))
    assert first_image(spec) is spec


def test_more_qpus_than_there_are_are_refused_in_any_round() -> None:
    layer = QpuLayer((), np.zeros(16, np.uint32), ((1,),), (((1,), (1,)),))
    linked = LinkedLayer("layer", layer, ("x",), ("y",))
    places = Placement.side_by_side({"x": 64, "y": 64}, GPU_MEMORY)
    with pytest.raises(LinkError, match="split over 2 QPUs, there are 1"):
        link([[linked]], places, ["x"], ["y"], 1)


def test_a_group_reads_its_own_channels() -> None:
    spec = inferred_layer(Conv2d((1, 1), groups=2), (1, 8, 4, 4), weights=((16, 4, 1, 1), (16,)))
    choice = choice_of(spec, "qpu_pointwise_streamed")
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    layer = algorithm.lower(spec, TARGET, choice, random_tensors(spec, 0)[1])
    starts = [
        word.offset_bytes
        for q in range(TARGET.qpus)
        for block in layer.of_qpu(q)
        for word in block
        if not isinstance(word, (int, float)) and word.base == "input"
    ]
    assert sorted(starts) == [0, 4 * 64]
