"""Winograd's transforms in integers: what they compute, by matrices and by the steps of the text, and when it fits."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.int8.winograd_code import TRANSFORMS, is_exact
from codegen.engines.cpu.int8.winograd_source import input_steps, output_steps
from codegen.engines.cpu.toolchain import compile_shared
from codegen.expression import RESULT
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.reference import evaluate_layer
from codegen.tensor import AnyArray, TensorType
from tests.codegen.cpu_run import A53, HOST, call
from tests.codegen.test_int8_targets import quantized


@pytest.mark.parametrize("tile", TRANSFORMS)
def test_products_of_transforms_are_multiples_of_the_sums(tile: int) -> None:
    transform, random = TRANSFORMS[tile], np.random.default_rng(tile)
    inputs, filters = random.integers(-128, 128, tile + 2), random.integers(-128, 128, 3)
    products = (np.array(transform.inputs) @ inputs) * (np.array(transform.filters) @ filters)
    sums = [int(inputs[i : i + 3] @ filters) for i in range(tile)]
    assert (np.array(transform.results) @ products).tolist() == [transform.scale * total for total in sums]


@pytest.mark.parametrize("tile", TRANSFORMS)
def test_what_is_multiplied_fits_sixteen_bits_unsigned_inputs_too(tile: int) -> None:
    transform = TRANSFORMS[tile]
    sides = (
        int(np.abs(np.array(matrix)).sum(axis=1).max()) for matrix in (transform.filters, transform.inputs)
    )
    filters, inputs = (side**2 for side in sides)
    assert filters * 128 < 1 << 15
    assert inputs * 255 < 1 << 15


@pytest.mark.parametrize("tile", TRANSFORMS)
def test_multiples_are_divided_by_the_inverse_and_the_shift(tile: int) -> None:
    transform = TRANSFORMS[tile]
    for total in (-(1 << (31 - transform.shift)), -1, 0, 1, 77, (1 << (31 - transform.shift)) - 1):
        word = total * transform.scale**2 * transform.inverse % (1 << 32)
        signed = word - (1 << 32) if word >= 1 << 31 else word
        assert signed >> transform.shift == total


@pytest.mark.parametrize("tile", TRANSFORMS)
def test_steps_of_the_text_are_the_matrices(tile: int) -> None:
    values = np.random.default_rng(0).integers(-99, 99, tile + 2)
    names = {f"d{i}": int(value) for i, value in enumerate(values)}
    for steps_of, matrix in (
        (input_steps, TRANSFORMS[tile].inputs),
        (output_steps, TRANSFORMS[tile].results),
    ):
        steps, results = steps_of(tile, list(names), "s")
        known = dict(names)
        for name, text in steps:
            known[name] = eval(text, {}, known)
        assert [eval(text, {}, known) for text in results] == (np.array(matrix) @ values).tolist()


def test_weights_whose_sums_do_not_fit_are_computed_by_smaller_tiles() -> None:
    algorithm = algorithms()["cpu_int8_winograd"]
    assert isinstance(algorithm, CpuAlgorithm)
    spec = quantized(
        QuantizedConv2d((3, 3), dtype="int32", epilogue=RESULT), TensorType((1, 260, 6, 6), "uint8"), 5
    )
    weights: list[AnyArray] = [
        np.full(spec.weights[0].shape, 127, np.int8),
        np.arange(5, dtype=np.int32),
        np.ones(5, np.float32),
    ]
    assert is_exact(weights, 2) and not is_exact(weights, 4)
    point = next(
        point
        for point in algorithm.space(spec, A53).points()
        if point["tile"] == 4 and point["threads"] == 1 and point["chunk"] == 1
    )
    choice = algorithm.choice(spec, A53, point)
    program = algorithm.emit(spec, A53, choice, weights, "kernel")
    inputs: AnyArray = np.full(spec.inputs[0].shape, 255, np.uint8)
    library = ctypes.CDLL(str(compile_shared({"kernel.c": program.source}, HOST)))
    image = layout_named(choice.input_layouts[0]).pack(inputs)
    (result,) = call(library, program, [image], dtypes=["int32"])
    (expected,) = evaluate_layer(spec, [inputs], weights)
    assert np.array_equal(layout_named(choice.output_layout).unpack(result, spec.output), expected)
