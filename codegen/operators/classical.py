"""Linear models and preparation of features from ONNX's operator set of classical machine learning, said by operators
of the default set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.tensor import Array

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

DOMAIN = "ai.onnx.ml"
NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO = "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"


def features(node: OnnxNode, steps: Steps) -> str:
    """The first input as rows of floats: float64 stays, all else becomes float32."""
    tensor = node.input(0)
    type_ = steps.type(tensor)
    if type_.dtype not in ("float32", "float64"):
        tensor = steps.cast(tensor, "float32")
    return rows_of(tensor, steps)


def rows_of(tensor: str, steps: Steps) -> str:
    """A tensor as rows of its last axis."""
    shape = steps.shape(tensor)
    return tensor if len(shape) == 2 else steps("Reshape", tensor, steps.integers(-1, shape[-1]))


def transformed(node: OnnxNode, steps: Steps, scores: str, to: str = "") -> str:
    """What the attribute post_transform makes of scores of classes or targets, the last axis."""
    return transformed_by(node.text("post_transform", NONE), node, steps, scores, to)


def transformed_by(kind: str, node: OnnxNode, steps: Steps, scores: str, to: str = "") -> str:
    """What a transformation of this name makes of scores."""
    if kind == NONE:
        return steps("Identity", scores, to=to)
    if kind == LOGISTIC:
        return steps("Sigmoid", scores, to=to)
    if kind == SOFTMAX:
        return steps("Softmax", scores, axis=-1, to=to)
    if kind != SOFTMAX_ZERO:
        raise node.unsupported(f"post_transform is {kind}", f"export the model with {LOGISTIC} or {SOFTMAX}")
    # Scores that are 0 stay so, and the others' exponentials are divided by the sum of these.
    top = steps("ReduceMax", scores, steps.integers(-1), keepdims=1)
    powers = steps("Exp", steps("Sub", scores, top))
    zero = steps.constant(0, steps.type(scores).dtype)
    kept = steps("Where", steps("Equal", scores, zero), zero, powers)
    total = steps("ReduceSum", kept, steps.integers(-1), keepdims=1)
    return steps("Div", kept, steps("Where", steps("Equal", total, zero), powers, total), to=to)


def labels(node: OnnxNode, name: str) -> Array:
    """The integers that classes are called by; raises UnsupportedOperatorError where texts name them."""
    found = node.integers(name)
    if not found:
        raise node.unsupported("its classes are texts", "train it with classes that are integers")
    return np.array(found, np.int64)


def two_columns(steps: Steps, first: str, second: str, to: str) -> str:
    return steps("Concat", first, second, axis=1, to=to)


@handles("Scaler", "all", DOMAIN)
def scaler(node: OnnxNode, builder: GraphBuilder) -> None:
    steps = Steps(node, builder)
    x = features(node, steps)
    offset, scale = (np.array(node.reals(name), np.float32) for name in ("offset", "scale"))
    y = steps("Sub", x, _row(node, steps, x, offset)) if offset.size else x
    y = steps("Mul", y, _row(node, steps, x, scale)) if scale.size else y
    _as_given(node, steps, y)


@handles("Normalizer", "all", DOMAIN)
def normalizer(node: OnnxNode, builder: GraphBuilder) -> None:
    """Rows divided by their largest element, or by their norm; rows of zeros stay."""
    steps = Steps(node, builder)
    x, norm = features(node, steps), node.text("norm", "MAX")
    reduce = {"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}.get(norm)
    if reduce is None:
        raise node.malformed(f"norm is {norm!r}")
    size = steps(reduce, x, steps.integers(-1), keepdims=1)
    dtype = steps.type(size).dtype
    one, zero = steps.constant(1, dtype), steps.constant(0, dtype)
    _as_given(node, steps, steps("Div", x, steps("Where", steps("Equal", size, zero), one, size)))


@handles("LinearRegressor", "all but PROBIT", DOMAIN)
def linear_regressor(node: OnnxNode, builder: GraphBuilder) -> None:
    steps = Steps(node, builder)
    transformed(node, steps, _linear(node, steps, node.integer("targets", 1)), to=node.output)


@handles(
    "LinearClassifier",
    "all but PROBIT; classes that are texts as their places, `explorer.backend` gives these",
    DOMAIN,
)
def linear_classifier(node: OnnxNode, builder: GraphBuilder) -> None:
    """Labels, and scores of classes; of two classes the scores of the second alone may be given."""
    steps, known = Steps(node, builder), labels(node, "classlabels_ints")
    count = steps.shape(node.input(0))[-1]
    scores = _linear(node, steps, max(1, len(node.reals("coefficients")) // count))
    dtype, named = steps.type(scores).dtype, steps.constant(known)
    wanted = node.outputs[1] if len(node.outputs) > 1 else ""
    if steps.shape(scores)[-1] > 1:
        if node.outputs[0]:
            best = steps("ArgMax", scores, axis=1, keepdims=0)
            steps("Gather", named, best, axis=0, to=node.outputs[0])
        if wanted:
            transformed(node, steps, scores, to=wanted)
        return
    if node.outputs[0]:
        above = steps.cast(steps("Greater", scores, steps.constant(0, dtype)), "int64")
        flat = steps("Reshape", above, steps.integers(-1))
        steps("Gather", named, flat, axis=0, to=node.outputs[0])
    if wanted:
        if node.text("post_transform", NONE) not in (NONE, LOGISTIC) or len(known) != 2:
            raise node.unsupported("it gives one score of several classes", "export a score of each class")
        second = transformed(node, steps, scores)
        two_columns(steps, steps("Sub", steps.constant(1, dtype), second), second, wanted)


@handles("ArrayFeatureExtractor", "all", DOMAIN)
def array_feature_extractor(node: OnnxNode, builder: GraphBuilder) -> None:
    """Places of the last axis; of a vector as a row."""
    steps = Steps(node, builder)
    tensor, places = node.input(0), steps("Reshape", node.input(1), steps.integers(-1))
    if len(steps.shape(tensor)) == 1:
        tensor = steps("Reshape", tensor, steps.integers(1, -1))
    steps("Gather", tensor, places, axis=-1, to=node.output)


@handles("Binarizer", "all", DOMAIN)
def binarizer(node: OnnxNode, builder: GraphBuilder) -> None:
    steps = Steps(node, builder)
    dtype = builder.type(node).dtype
    threshold = steps.constant(node.real("threshold", 0.0), dtype)
    steps.cast(steps("Greater", node.input(0), threshold), dtype, to=node.output)


@handles("Imputer", "all", DOMAIN)
def imputer(node: OnnxNode, builder: GraphBuilder) -> None:
    """Elements that are missing, a value or those that are no numbers, are replaced by one for each column."""
    steps, tensor = Steps(node, builder), node.input(0)
    dtype = builder.type(node).dtype
    if dtype == "int64":
        values = np.array(node.integers("imputed_value_int64s") or (), np.int64)
        missing = steps.constant(node.integer("replaced_value_int64", 0), dtype)
        found = steps("Equal", tensor, missing)
    else:
        values = np.array(node.reals("imputed_value_floats"), dtype)
        attribute = node.attributes.get("replaced_value_float")
        replaced = float(attribute.f) if attribute is not None else 0.0
        is_nan = np.isnan(replaced)
        found = steps("IsNaN", tensor) if is_nan else steps("Equal", tensor, steps.constant(replaced, dtype))
    steps("Where", found, _row(node, steps, tensor, values), tensor, to=node.output)


@handles("FeatureVectorizer", "all", DOMAIN)
def feature_vectorizer(node: OnnxNode, builder: GraphBuilder) -> None:
    """The columns of all inputs, as float32."""
    steps = Steps(node, builder)
    rows = steps.shape(node.input(0))[0]
    several = [
        steps("Reshape", steps.cast(name, "float32"), steps.integers(rows, -1)) for name in node.inputs
    ]
    steps("Concat", *several, axis=1, to=node.output)


@handles("OneHotEncoder", "categories are integers; unknown ones give zeros", DOMAIN)
def one_hot_encoder(node: OnnxNode, builder: GraphBuilder) -> None:
    steps, categories = Steps(node, builder), node.integers("cats_int64s")
    if not categories:
        raise node.unsupported("its categories are texts", "encode them as integers before the network")
    last = steps("Unsqueeze", steps.cast(node.input(0), "int64"), steps.integers(-1))
    steps.cast(steps("Equal", last, steps.constant(categories, "int64")), "float32", to=node.output)


def _linear(node: OnnxNode, steps: Steps, outputs: int) -> str:
    x = features(node, steps)
    dtype, columns = steps.type(x).dtype, steps.shape(x)[-1]
    values = np.array(node.reals("coefficients"), dtype)
    if values.size != outputs * columns:
        raise node.malformed(f"it has {values.size} coefficients for {outputs} times {columns} columns")
    product = steps("MatMul", x, steps.constant(values.reshape(outputs, columns).T))
    offsets = np.array(node.reals("intercepts"), dtype)
    return steps("Add", product, steps.constant(offsets)) if offsets.size else product


def _row(node: OnnxNode, steps: Steps, tensor: str, values: Array) -> str:
    """A constant for each column, or one for all."""
    if values.size not in (1, steps.shape(tensor)[-1]):
        raise node.malformed(f"it has {values.size} values for {steps.shape(tensor)[-1]} columns")
    return steps.constant(values.astype(steps.type(tensor).dtype))


def _as_given(node: OnnxNode, steps: Steps, rows: str) -> None:
    """The output: rows in the shape of the input, as float32."""
    single = rows if steps.type(rows).dtype == "float32" else steps.cast(rows, "float32")
    steps("Reshape", single, steps.integers(*steps.shape(node.input(0))), to=node.output)


@handles(
    "LabelEncoder",
    "numbers, and texts that name classes, to either; texts as their places, `explorer.backend` gives these",
    DOMAIN,
)
def label_encoder(node: OnnxNode, builder: GraphBuilder) -> None:
    """Each element's value in a table, by equality, or a default; what is no number may be a key. Of equal keys the
    last counts.
    """
    steps, x = Steps(node, builder), node.input(0)
    keys, values = (_table(node, builder, name) for name in ("keys", "values"))
    if keys.shape != values.shape or not keys.size:
        raise node.malformed(f"it has {keys.size} keys and {values.size} values")
    last = {str(key): index for index, key in enumerate(keys.tolist())}
    kept = list(last.values())
    keys, values = keys[kept].astype(steps.type(x).dtype), values[kept]
    wide = steps("Unsqueeze", x, steps.integers(-1))
    found = steps("Equal", wide, steps.constant(keys))
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        found = steps("Or", found, steps("And", steps("IsNaN", wide), steps.constant(np.isnan(keys))))
    number = steps.cast(found, "int32")
    place = steps("ArgMax", number, axis=-1, keepdims=0)
    is_known = steps.cast(steps("ReduceMax", number, steps.integers(-1), keepdims=0), "bool")
    value = steps("Gather", steps.constant(values), place, axis=0)
    default = steps.constant(_default(node, builder, values))
    steps("Where", is_known, value, default, to=node.output)


def _table(node: OnnxNode, builder: GraphBuilder, what: str) -> Array:
    """The keys or the values of a LabelEncoder."""
    tensor = node.tensor(f"{what}_tensor")
    if tensor is not None and tensor.data_type != TensorProto.STRING:
        return builder.array(tensor, f"attribute {what}_tensor").reshape(-1)
    whole, reals = node.integers(f"{what}_int64s"), node.reals(f"{what}_floats")
    if tensor is not None or not (whole or reals):
        raise node.unsupported(f"its {what} are texts", "encode them as numbers outside the network")
    return np.array(whole, np.int64) if whole else np.array(reals, np.float32)


def _default(node: OnnxNode, builder: GraphBuilder, values: Array) -> Array:
    tensor = node.tensor("default_tensor")
    if tensor is not None:
        return builder.array(tensor, "attribute default_tensor").reshape(())
    is_whole = values.dtype.kind in "iu"
    given = node.integer("default_int64", -1) if is_whole else node.real("default_float", -0.0)
    return np.array(given, values.dtype)
