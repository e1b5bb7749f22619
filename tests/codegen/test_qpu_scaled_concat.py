"""Concatenations that are scaled by channels as their parts are put behind each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named
from codegen.chains import chain_nodes
from codegen.expression import RELU, RESULT, Expression, apply, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layer_forms import scaled_concat
from tests.codegen.layers import inferred_layer
from tests.codegen.planned import GraphBuilder

ALGORITHM = algorithm_named("qpu_scaled_concat")


@pytest.mark.parametrize("epilogue", [RESULT, RELU, clamp(RESULT, -0.2, 0.3), apply("exp", RESULT)])
@pytest.mark.parametrize("rows", [4, 16])
def test_scaled_as_they_are_put_behind_each_other(epilogue: Expression, rows: int) -> None:
    spec = scaled_concat(1, (40, 16, 21), epilogue)
    choice = ALGORITHM.choice(spec, TARGET, {"rows": rows})
    assert relative_error(spec, choice) < 1e-5


def with_scaling(op: Conv2d, kernel: tuple[int, ...]) -> LayerSpec:
    layer = scaled_concat(1, (8, 8), RELU)
    assert isinstance(layer.op, Chain)
    joined, _ = layer.op.members
    scaled = inferred_layer(op, *joined.outputs, weights=(kernel, kernel[:1]))
    chain = Chain((joined, scaled), layer.op.sources)
    return replace(layer, op=chain, outputs=scaled.outputs, weights=scaled.weights)


@pytest.mark.parametrize(
    ("op", "kernel"),
    [
        (Conv2d((1, 1)), (12, 16, 1, 1)),
        (Conv2d((3, 3), pads=(1, 1, 1, 1), groups=16), (16, 1, 3, 3)),
        (Conv2d((1, 1), (2, 2), groups=16), (16, 1, 1, 1)),
        (Conv2d((1, 1), groups=16), (32, 1, 1, 1)),
    ],
    ids=["dense", "window", "strided", "multiplied"],
)
def test_other_convolutions_behind_it_are_left_to_others(op: Conv2d, kernel: tuple[int, ...]) -> None:
    assert not ALGORITHM.applies(with_scaling(op, kernel), TARGET)


def test_a_concatenation_begins_chains_of_one_window_alone() -> None:
    build = GraphBuilder("dense", (1, 8, 6, 6))
    new = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), "x", [(4, 8, 3, 3), (4,)], name="new")
    joined = build.add(Concat(1), ("x", new), name="joined")
    scaled = build.add(Conv2d((1, 1), groups=12), joined, [(12, 1, 1, 1), (12,)], name="scaled")
    pooled = build.add(Pool2d("max", (2, 2), (2, 2)), scaled, name="pooled")
    names = {chain.node.name for chain in chain_nodes(build.build(pooled))}
    assert names == {"joined..scaled", "scaled..pooled"}
