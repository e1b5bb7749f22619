"""Operators of classical machine learning give what onnxruntime gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, TypeProto, helper

from codegen.errors import ExploreError, ModelError, UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from codegen.operators.tree_ensemble import COMPARISONS
from codegen.passes import optimize
from codegen.reference import evaluate
from explorer.backend import CompilerBackend

ROWS, COLUMNS = 5, 4
SCORE = TypeProto(tensor_type=TypeProto.Tensor(elem_type=TensorProto.FLOAT))
MAPS = [
    TypeProto.Sequence(elem_type=TypeProto(map_type=TypeProto.Map(key_type=key, value_type=SCORE)))
    for key in (TensorProto.STRING, TensorProto.INT64)
]
RANDOM = np.random.default_rng(3)
Attributes = dict[str, Any]


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model_of(op_type: str, attributes: Attributes, outputs: Mapping[str, int], x: np.ndarray) -> ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x"], list(outputs), domain="ai.onnx.ml", **attributes)],
        "classical",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info(name, type_, None) for name, type_ in outputs.items()],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def check(op_type: str, attributes: Attributes, x: np.ndarray, *, classes: bool = False) -> None:
    """The float64 meaning and the compiled network beside onnxruntime."""
    outputs = {"y": TensorProto.INT64, "z": TensorProto.FLOAT} if classes else {"y": TensorProto.FLOAT}
    if (x.dtype == np.int64 and op_type == "Imputer") or "values_int64s" in attributes:
        outputs = {"y": TensorProto.INT64}
    model = model_of(op_type, attributes, outputs, x)
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    meant = evaluate(optimize(import_model(model)), {"x": x})
    computed = CompilerBackend.prepare(model, flags=("-O1",)).run({"x": x})
    for name, theirs, own in zip(outputs, wanted, computed, strict=True):
        for found in (np.asarray(meant[name]), np.asarray(own)):
            assert found.shape == theirs.shape
            np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-5)


def binary_tree(levels: int, start: int) -> tuple[list[int], list[int]]:
    """Nodes that are met and unmet of a full tree with 2^levels leaves."""
    inner = 2**levels - 1
    return [2 * n + 1 for n in range(inner)], [2 * n + 2 for n in range(inner)]


def forest(what: str, outputs: list[int], modes: tuple[str, ...], positive: bool = False) -> Attributes:
    """Two full trees of two levels and one of a single leaf. A leaf gives each of these outputs."""
    found: dict[str, list[Any]] = {}

    def add(**values: object) -> None:
        for name, value in values.items():
            found.setdefault(name, []).append(value)

    for tree, levels in enumerate((2, 2, 0)):
        met, unmet = binary_tree(levels, 0)
        for at in range(2 ** (levels + 1) - 1):
            inner = at < len(met)
            add(
                nodes_treeids=tree,
                nodes_nodeids=at,
                nodes_featureids=int(RANDOM.integers(COLUMNS)) if inner else 0,
                nodes_values=float(np.float32(RANDOM.integers(-1, 2) / 2)) if inner else 0.0,
                nodes_modes=modes[at % len(modes)] if inner else "LEAF",
                nodes_truenodeids=met[at] if inner else 0,
                nodes_falsenodeids=unmet[at] if inner else 0,
                nodes_missing_value_tracks_true=at % 2 if inner else 0,
            )
            for output in () if inner else outputs:
                weight = float(RANDOM.standard_normal())
                add(
                    **{
                        f"{what}_treeids": tree,
                        f"{what}_nodeids": at,
                        f"{what}_ids": output,
                        f"{what}_weights": abs(weight) / 4 if positive else weight,
                    }
                )
    return found


def rows(missing: bool = False) -> np.ndarray:
    """Rows with values on the thresholds, and some that are no numbers."""
    x = (RANDOM.integers(-3, 4, (ROWS, COLUMNS)) / 2).astype(np.float32)
    x[0, ::2] = np.nan if missing else x[0, ::2]
    return x


SCALED = {"offset": [0.5, -1.0, 0.0, 2.0], "scale": [2.0, 0.5, 1.0, -3.0]}
SINGLE: dict[str, tuple[str, Attributes, np.ndarray]] = {
    "scaler": ("Scaler", SCALED, drawn(ROWS, COLUMNS)),
    "scaler of one": ("Scaler", {"offset": [1.5], "scale": [0.5]}, drawn(ROWS, COLUMNS)),
    "scaler of integers": ("Scaler", SCALED, np.arange(8, dtype=np.int64).reshape(2, 4)),
    **{
        f"normalizer {norm}": (
            "Normalizer",
            {"norm": norm},
            np.abs(np.r_[drawn(3, 4), np.zeros((1, 4))]).astype("f4"),
        )
        for norm in ("MAX", "L1", "L2")
    },
    "binarizer": ("Binarizer", {"threshold": 0.25}, drawn(ROWS, COLUMNS)),
    "imputer": (
        "Imputer",
        {"imputed_value_floats": [1.0, 2.0, 3.0, 4.0], "replaced_value_float": float("nan")},
        rows(missing=True),
    ),
    "imputer of a value": (
        "Imputer",
        {"imputed_value_floats": [9.0], "replaced_value_float": 0.5},
        rows(),
    ),
    "imputer of integers": (
        "Imputer",
        {"imputed_value_int64s": [9], "replaced_value_int64": 3},
        np.arange(8, dtype=np.int64).reshape(2, 4),
    ),
    "one hot": (
        "OneHotEncoder",
        {"cats_int64s": [3, 1, 7], "zeros": 1},
        np.array([[1, 2], [7, 3]], np.int64),
    ),
    "encoder of labels": (
        "LabelEncoder",
        {"keys_int64s": [3, 1, 7], "values_floats": [0.5, -1.0, 2.0], "default_float": 9.0},
        np.array([[1, 2], [7, 3]], np.int64),
    ),
    "encoder of reals": (
        "LabelEncoder",
        {"keys_floats": [0.5, 1.5, -1.0], "values_int64s": [3, 4, 5]},
        rows(),
    ),
    "vectorizer": ("FeatureVectorizer", {"inputdimensions": [4]}, drawn(ROWS, COLUMNS)),
    **{
        f"linear {transform}": (
            "LinearRegressor",
            {
                "targets": 3,
                "coefficients": drawn(12).tolist(),
                "intercepts": drawn(3).tolist(),
                "post_transform": transform,
            },
            drawn(ROWS, COLUMNS),
        )
        for transform in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
    },
    **{
        f"support vectors {kernel} {one_class}": (
            "SVMRegressor",
            {
                "kernel_type": kernel,
                "kernel_params": [0.3, 0.5, 2.0],
                "n_supports": 3,
                "support_vectors": drawn(12).tolist(),
                "coefficients": drawn(3).tolist(),
                "rho": [0.2],
                "one_class": one_class,
            },
            drawn(ROWS, COLUMNS),
        )
        for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID")
        for one_class in (0, 1)
    },
}


@pytest.mark.parametrize("name", SINGLE)
def test_values_are_onnxruntimes(name: str) -> None:
    check(*SINGLE[name])


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("classes", [2, 3])
def test_linear_classes_are_onnxruntimes(classes: int, transform: str) -> None:
    weights = {"coefficients": drawn(4 * classes).tolist(), "intercepts": drawn(classes).tolist()}
    attributes = {**weights, "classlabels_ints": [5, 2, 9][:classes], "post_transform": transform}
    check("LinearClassifier", attributes, drawn(ROWS, COLUMNS), classes=True)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_one_linear_score_of_two_classes_is_onnxruntimes(transform: str) -> None:
    weights = {"coefficients": drawn(4).tolist(), "intercepts": drawn(1).tolist()}
    attributes = {**weights, "classlabels_ints": [5, 2], "post_transform": transform}
    check("LinearClassifier", attributes, drawn(ROWS, COLUMNS), classes=True)


@pytest.mark.parametrize("modes", [*((mode,) for mode in COMPARISONS), ("BRANCH_LEQ", "BRANCH_GT")])
def test_trees_are_onnxruntimes(modes: tuple[str, ...]) -> None:
    for missing in (False, True):
        attributes = {**forest("target", [0, 1], modes), "n_targets": 2, "base_values": [0.5, -0.25]}
        check("TreeEnsembleRegressor", attributes, rows(missing))


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_leaves_are_put_together_as_onnxruntime_does(aggregate: str) -> None:
    attributes = {**forest("target", [0, 1], ("BRANCH_LEQ",)), "n_targets": 2}
    check("TreeEnsembleRegressor", {**attributes, "aggregate_function": aggregate}, rows())


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
def test_classes_of_trees_are_onnxruntimes(transform: str) -> None:
    attributes = {**forest("class", [0, 1, 2], ("BRANCH_LEQ",)), "classlabels_int64s": [5, 2, 9]}
    check("TreeEnsembleClassifier", {**attributes, "post_transform": transform}, rows(), classes=True)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("base", [{}, {"base_values": [0.3]}])
def test_one_score_of_two_classes_is_onnxruntimes(
    base: Attributes, *, positive: bool, transform: str
) -> None:
    trees = forest("class", [0], ("BRANCH_LT",), positive)
    attributes = {**trees, **base, "classlabels_int64s": [5, 2], "post_transform": transform}
    check("TreeEnsembleClassifier", attributes, rows(), classes=True)


def test_of_equal_keys_of_labels_the_last_counts() -> None:
    """As ONNX says it from version 4 on; onnxruntime takes the first."""
    keys = {"keys_floats": [0.5, float("nan"), -1.0, 0.5], "values_int64s": [3, 4, 5, 6]}
    x = np.array([[0.5, np.nan, -1.0, 7.0]], np.float32)
    model = model_of("LabelEncoder", keys, {"y": TensorProto.INT64}, x)
    assert CompilerBackend.prepare(model, flags=("-O1",)).run({"x": x})[0].tolist() == [[6, 4, 5, -1]]


@pytest.mark.parametrize("keys", [{"classlabels_int64s": [4, 2]}, {"classlabels_strings": ["cat", "dog"]}])
def test_maps_are_onnxruntimes_and_tensors_in_a_bundle(keys: Attributes) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Sigmoid", ["x"], ["scores"]),
            helper.make_node("ZipMap", ["scores"], ["y"], domain="ai.onnx.ml", **keys),
        ],
        "maps",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 2))],
        [helper.make_value_info("y", TypeProto(sequence_type=MAPS["classlabels_int64s" in keys]))],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    x = drawn(3, 2)
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    (found,) = CompilerBackend.prepare(model, flags=("-O1",)).run({"x": x})
    (names,) = keys.values()
    assert [set(one) for one in found] == [set(one) for one in wanted] == [set(names)] * 3
    values = [[one[name] for name in names] for one in wanted]
    np.testing.assert_allclose([[one[name] for name in names] for one in found], values, rtol=1e-6)
    np.testing.assert_allclose(evaluate(optimize(import_model(model)), {"x": x})["y"], values, rtol=1e-6)


def test_places_of_the_last_axis_are_onnxruntimes() -> None:
    node = helper.make_node("ArrayFeatureExtractor", ["x", "places"], ["y"], domain="ai.onnx.ml")
    graph = helper.make_graph(
        [node],
        "places",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("places", TensorProto.INT64, (3,), [3, 0, 3])],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    x = drawn(2, 4)
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert np.array_equal(CompilerBackend.prepare(model, flags=("-O1",)).run({"x": x})[0], wanted)


def test_networks_of_one_set_alone_are_taken() -> None:
    model = model_of("Scaler", SCALED, {"y": TensorProto.FLOAT}, drawn(2, 4))
    del model.opset_import[0]
    assert import_model(model).outputs == ("y",)


TREES = forest("target", [0], ("BRANCH_LEQ",))


@pytest.mark.parametrize(
    ("op_type", "attributes", "error", "said"),
    [
        ("TreeEnsembleRegressor", {**TREES, "nodes_truenodeids": [0] * 15}, ModelError, "no trees"),
        ("TreeEnsembleRegressor", {**TREES, "nodes_falsenodeids": [99] * 15}, ModelError, "lead nowhere"),
        ("TreeEnsembleRegressor", {**TREES, "nodes_values": [0.0]}, ModelError, "not equally long"),
        ("TreeEnsembleRegressor", {**TREES, "target_ids": [4] * 9}, ModelError, "for output 4"),
        ("TreeEnsembleRegressor", {**TREES, "post_transform": "PROBIT"}, UnsupportedOperatorError, "PROBIT"),
        (
            "TreeEnsembleRegressor",
            {**TREES, "nodes_modes": ["MEMBER"] * 15},
            UnsupportedOperatorError,
            "MEMBER",
        ),
        ("LinearRegressor", {"coefficients": [1.0] * 3}, ModelError, "3 coefficients for 1 times 4"),
        ("Scaler", {"offset": [1.0, 2.0]}, ModelError, "2 values for 4 columns"),
        ("OneHotEncoder", {"cats_strings": ["a"]}, UnsupportedOperatorError, "texts"),
        ("ZipMap", {"classlabels_int64s": [1, 2, 3]}, ModelError, "3 keys for scores"),
        ("LabelEncoder", {"keys_strings": ["a"], "values_floats": [1.0]}, UnsupportedOperatorError, "texts"),
        (
            "DictVectorizer",
            {"int64_vocabulary": [1]},
            UnsupportedOperatorError,
            "convert the model without it",
        ),
    ],
)
def test_what_cannot_be_taken_is_said(
    op_type: str, attributes: Attributes, error: type[ExploreError], said: str
) -> None:
    with pytest.raises(error, match=said):
        import_model(model_of(op_type, attributes, {"y": TensorProto.FLOAT}, drawn(2, 4)))
