"""Operators that move elements: their pieces are what they mean, and the others have none."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.graph import LayerSpec
from codegen.places import NOWHERE
from codegen.reference import evaluate_layer
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import random_tensors

MOVING = {name: spec for name, spec in LAYERS.items() if spec.op.moves_elements}
OTHERS = {name: spec for name, spec in LAYERS.items() if not spec.op.moves_elements}


@pytest.mark.parametrize("spec", MOVING.values(), ids=MOVING)
def test_pieces_gather_what_the_operator_means(spec: LayerSpec) -> None:
    inputs, weights = random_tensors(spec, seed=5)
    found = [np.full(tensor.shape, np.nan) for tensor in spec.outputs]
    for piece in spec.op.pieces(spec.inputs, spec.outputs):
        gathered = inputs[piece.input].reshape(-1)[piece.places]
        values = np.where(piece.places == NOWHERE, piece.fill, gathered)
        if values.shape == spec.outputs[piece.output].shape:
            found[piece.output][...] = values
        else:
            end = piece.sample + values.shape[0], piece.channel + values.shape[1]
            found[piece.output][piece.sample : end[0], piece.channel : end[1]] = values
    for result, expected in zip(found, evaluate_layer(spec, inputs, weights), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_what_computes_has_no_pieces() -> None:
    assert MOVING and OTHERS
    assert all(not spec.op.pieces(spec.inputs, spec.outputs) for spec in OTHERS.values())
