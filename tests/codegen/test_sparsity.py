from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.canonical import content_hash, plain
from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.revive import revive_as, revive_json
from codegen.sparsity import Sparsity, drawn_pattern, sparsity_of
from codegen.trial_zeros import with_zeros
from explorer.measure.jobs import layer_values
from tests.codegen.layers import convolution

DENSE = convolution(8, 20, (4, 4), Conv2d((1, 1)))
SPARSE = replace(DENSE, sparsity=Sparsity(40, 30, 12))


def counted(pattern: np.ndarray) -> tuple[int, int, int]:
    """Weights, quads and sixteens, by loops over blocks."""
    flat = pattern.reshape(pattern.shape[0], -1)
    return tuple(  # type: ignore[return-value]
        sum(
            bool(flat[first : first + size, column].any())
            for first in range(0, flat.shape[0], size)
            for column in range(flat.shape[1])
        )
        for size in (1, 4, 16)
    )


def test_a_layer_without_zeros_is_what_it_was() -> None:
    assert DENSE.sparsity is None and "sparsity" not in plain(DENSE)
    assert content_hash(DENSE) == "5cdc0e06d79f5ee732118cb8b5e3cf11e564ce9ebf048b277cb930f22fe4d3b2"
    assert revive_as(LayerSpec, plain(DENSE)) == DENSE


def test_sparsity_is_part_of_a_layer() -> None:
    assert revive_json(LayerSpec, SPARSE.canonical) == SPARSE
    assert json.loads(SPARSE.canonical)["sparsity"] == plain(SPARSE.sparsity)
    others = [
        replace(DENSE, sparsity=Sparsity(*counts)) for counts in ((41, 30, 12), (40, 31, 12), (40, 30, 13))
    ]
    assert len({content_hash(spec) for spec in (DENSE, SPARSE, *others)}) == 5
    assert "75% zeros" in SPARSE.describe() and "zeros" not in DENSE.describe()


@given(st.integers(1, 40), st.integers(1, 20), st.floats(0.02, 0.97), st.integers(0, 99))
def test_counts_are_those_of_the_weights_rounded_up(
    outputs: int, inputs: int, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    weights = random.standard_normal((outputs, inputs, 1, 1), dtype=np.float32)
    weights[random.random(weights.shape) > share] = 0
    found, exact = sparsity_of(weights), counted(weights != 0)
    if found is None:
        assert exact[0] > 0.96 * weights.size
        return
    for count, real in zip((found.weights, found.quads, found.sixteens), exact, strict=True):
        assert real <= count <= real * 33 / 32
        assert real >= 64 or count == real


@given(
    st.integers(1, 70),
    st.integers(1, 12),
    st.floats(0.0, 0.9),
    st.sampled_from([1, 4, 16]),
    st.integers(0, 99),
)
def test_a_drawn_pattern_has_the_sparsity_it_was_asked_for(
    outputs: int, inputs: int, share: float, block: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    kept = random.random((-(-outputs // block), inputs)) < share
    own = sparsity_of(kept.repeat(block, axis=0)[:outputs].astype(np.float32))
    if own is None:
        return
    drawn = drawn_pattern((outputs, inputs), own, random)
    weights, quads, sixteens = counted(drawn)
    assert (weights, sixteens) <= (own.weights, own.sixteens) and quads <= own.quads
    if outputs % 16 == 0:
        assert (weights, quads, sixteens) == (own.weights, own.quads, own.sixteens)


def test_a_few_zeros_make_no_layer_sparse() -> None:
    weights = np.ones((64, 64), np.float32)
    weights[3, 4] = weights[5, 6] = 0
    assert sparsity_of(weights) is None
    weights[:4] = 0
    assert sparsity_of(weights) == Sparsity(3840, 960, 256)


def test_layers_of_a_graph_know_their_zeros() -> None:
    pointwise, full = DENSE, FullyConnected()
    assert pointwise.op.skips_zeros and full.skips_zeros
    assert not Conv2d((3, 3), groups=8).skips_zeros
    node = Node("layer", pointwise.op, ("x",), ("y",), ("w", "b"))
    types = {"x": pointwise.inputs[0], "y": pointwise.output}
    weights, bias = (np.ones(tensor.shape, np.float32) for tensor in pointwise.weights)

    def spec() -> LayerSpec:
        constants = {"w": weights.copy(), "b": bias}
        return LayerSpec.of(Graph("net", ("x",), ("y",), (node,), types, constants), node)

    assert spec() == DENSE
    weights[::2] = 0
    assert spec().sparsity == Sparsity(80, 40, 16)


@pytest.mark.parametrize("chained", [False, True])
def test_trial_runs_have_the_layer_s_zeros(chained: bool) -> None:
    spec = SPARSE
    if chained:
        spec = LayerSpec(Chain((SPARSE,), ((0,),)), SPARSE.inputs, SPARSE.outputs, SPARSE.weights)
    weights, bias = layer_values(spec, 5).weights
    assert counted(weights != 0) == (40, 30, 12) and bias.all()
    ones = [np.ones(tensor.shape, np.float32) for tensor in DENSE.weights]
    assert all(value.all() for value in with_zeros(DENSE, ones, np.random.default_rng(0)))
