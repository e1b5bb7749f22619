"""Models that are well-formed and cannot go through: each obstacle names node, operator, reason and remedy, all of
them are told at once, and none is called malformed. Malformed ones are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto, helper

from codegen.errors import ModelError, ObstaclesError, UnsupportedOperatorError
from codegen.onnx_import.reader import import_model, survey

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
TRAINING = "ai.onnx.preview.training"
DOMAINS = ("com.acme", "com.microsoft", "ai.onnx.ml", TRAINING)

Info = tuple[int, Sequence[int]] | ValueInfoProto
IMAGE: Info = (FLOAT, (1, 3, 8, 8))
VECTOR: Info = (FLOAT, (4,))
MATRIX: Info = (FLOAT, (4, 6))


@dataclass(frozen=True)
class Impossible:
    """A node that reads inputs under its own names, and what must be said of it beside its name and operator."""

    op: str
    reason: str
    remedy: str
    inputs: tuple[Info, ...] = (IMAGE,)
    constants: tuple[Any, ...] = ()
    domain: str = ""
    outputs: int = 1
    attributes: dict[str, Any] | None = None
    subject: str = "node"  # what stands in the way: the node, its input or its output

    def node(self, name: str) -> NodeProto:
        read = [f"{name}.x{index}" for index in range(len(self.inputs))]
        read += [f"{name}.c{index}" for index in range(len(self.constants))]
        written = [f"{name}.y{index}" for index in range(self.outputs)]
        return helper.make_node(
            self.op, read, written, name=name, domain=self.domain, **(self.attributes or {})
        )


def graph_of(
    name: str, nodes: Sequence[NodeProto], inputs: Sequence[ValueInfoProto], output: str
) -> GraphProto:
    return helper.make_graph(nodes, name, inputs, [helper.make_tensor_value_info(output, FLOAT, None)])


def loop_body() -> GraphProto:
    types = (("turn", INT64, ()), ("goes_on", TensorProto.BOOL, ()), ("state", FLOAT, (1, 3, 8, 8)))
    body = helper.make_graph(
        [helper.make_node("Identity", ["goes_on"], ["again"]), helper.make_node("Relu", ["state"], ["next"])],
        "body",
        [helper.make_tensor_value_info(*info) for info in types],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", FLOAT, None),
        ],
    )
    return body


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def sparse(name: str) -> SparseTensorProto:
    values = helper.make_tensor(name, FLOAT, [1], [1.0])
    return helper.make_sparse_tensor(values, helper.make_tensor("places", INT64, [1], [0]), [4])


A_SEQUENCE = helper.make_tensor_sequence_value_info("x", FLOAT, None)
AN_OPTIONAL = helper.make_value_info(
    "x", helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, (3,)))
)
A_SPARSE = helper.make_value_info("x", helper.make_sparse_tensor_type_proto(FLOAT, (3,)))
COUNT: Info = (INT64, (1,))
NO_RANDOM = ("random numbers", "export the model for inference")
COMPUTED = ("computed from the model's inputs", "fold it when exporting")
DENSE_TYPES = ("elements of", "export the model with these")

IMPOSSIBLE = {
    "unbounded": Impossible(
        "Loop",
        "more than 4096 times",
        "smaller count",
        constants=(np.int64(2**40), np.array(True), ones(1, 3, 8, 8)),
        inputs=(),
        attributes={"body": loop_body()},
    ),
    "count": Impossible(
        "Range", "depends on data", "bound it", inputs=((INT64, ()),), constants=(np.int64(9), np.int64(1))
    ),
    "form": Impossible("Reshape", *COMPUTED, inputs=(MATRIX, (INT64, (2,)))),
    "copies": Impossible("Tile", *COMPUTED, inputs=(MATRIX, (INT64, (2,)))),
    "wide": Impossible("Expand", *COMPUTED, inputs=(MATRIX, (INT64, (2,)))),
    "zeros": Impossible("ConstantOfShape", *COMPUTED, inputs=((INT64, (2,)),)),
    "cut": Impossible(
        "Slice", *COMPUTED, inputs=(MATRIX, (TensorProto.INT64, (2,)), (TensorProto.INT64, (2,)))
    ),
    "axis": Impossible("Unsqueeze", *COMPUTED, inputs=(MATRIX, COUNT)),
    "text_in": Impossible("Identity", *DENSE_TYPES, inputs=((TensorProto.STRING, (3,)),), subject="input"),
    "lower_case": Impossible(
        "StringNormalizer", "strings", "before the network runs", inputs=((TensorProto.STRING, (3,)),)
    ),
    "words": Impossible(
        "StringSplit", "strings", "before the network runs", inputs=((TensorProto.STRING, (3,)),), outputs=2
    ),
    "to_text": Impossible("Cast", *DENSE_TYPES, attributes={"to": TensorProto.STRING}),
    "to_bfloat": Impossible("Cast", *DENSE_TYPES, attributes={"to": TensorProto.BFLOAT16}),
    "pair": Impossible(
        "SequenceConstruct",
        "is a sequence",
        "tensors as its outputs",
        inputs=(IMAGE, IMAGE),
        subject="output",
    ),
    "sequence_in": Impossible(
        "SequenceLength", "is a sequence", "tensors as its inputs", inputs=(A_SEQUENCE,), subject="input"
    ),
    "image_file": Impossible(
        "ImageDecoder", "is not supported", "explore operators", inputs=((TensorProto.UINT8, (9,)),)
    ),
    "optional_in": Impossible(
        "Identity", "an optional value", "tensors", inputs=(AN_OPTIONAL,), subject="input"
    ),
    "sparse_in": Impossible("Relu", "a sparse tensor", "tensors", inputs=(A_SPARSE,), subject="input"),
    "sparse_value": Impossible(
        "Constant", "sparse_value", "value_floats", inputs=(), attributes={"sparse_value": sparse("w")}
    ),
    "own": Impossible(
        "Swish", "operator set 'com.acme'", "a function that says what it is", domain="com.acme"
    ),
    "fused": Impossible(
        "PagedAttention", "operator set 'com.microsoft'", "without it", domain="com.microsoft"
    ),
    "map": Impossible("DictVectorizer", "operator set 'ai.onnx.ml'", "without it", domain="ai.onnx.ml"),
    "slope": Impossible("Gradient", f"operator set '{TRAINING}'", "without it", domain=TRAINING),
    "adam": Impossible(
        "Adam",
        f"operator set '{TRAINING}'",
        "without it",
        inputs=((FLOAT, ()), (INT64, ()), VECTOR, VECTOR, VECTOR, VECTOR),
        outputs=3,
        domain=TRAINING,
    ),
    "noise": Impossible("RandomNormalLike", *NO_RANDOM),
    "dice": Impossible("Multinomial", *NO_RANDOM, inputs=(MATRIX,)),
    "coin": Impossible("Bernoulli", *NO_RANDOM),
    "typing_error": Impossible("Relux", "ONNX has no operator Relux", "operators of ONNX"),
    "bomb": Impossible(
        "Tile", "more than 268435456 elements", "make it smaller", constants=(np.array([9**9, 9**9, 1, 1]),)
    ),
    "large_window": Impossible(
        "Conv", "its result would be empty: a window of 9x9", "a larger input", constants=(ones(1, 3, 9, 9),)
    ),
    "large_line": Impossible(
        "Conv", "does not fit", "pad it more", inputs=((FLOAT, (1, 3, 4)),), constants=(ones(1, 3, 9),)
    ),
    "large_pool": Impossible("MaxPool", "does not fit", "pad it more", attributes={"kernel_shape": [9, 9]}),
    "all_padding": Impossible(
        "MaxPool",
        "nothing but padding",
        "pads below the window's size",
        attributes={"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]},
    ),
    "cropped": Impossible(
        "ConvTranspose",
        "cut off all",
        "a larger input",
        constants=(ones(3, 1, 1, 1),),
        attributes={"pads": [4, 4, 4, 4]},
    ),
    "no_filters": Impossible("Conv", "is empty", "without the node", constants=(ones(0, 3, 3, 3),)),
    "no_number": Impossible("LeakyRelu", "not a number", "with a number", attributes={"alpha": np.nan}),
    "no_end": Impossible("Elu", "attribute alpha is inf", "a finite number", attributes={"alpha": np.inf}),
    "no_deviation": Impossible(
        "BatchNormalization",
        "gives no numbers",
        "trained statistics",
        constants=(ones(3), ones(3), ones(3), -ones(3)),
    ),
}


def model_of(cases: dict[str, Impossible]) -> ModelProto:
    """All of them in one graph, side by side; every output is an output of the model."""
    nodes, infos, constants = [], [], []
    for name, case in cases.items():
        nodes.append(case.node(name))
        for index, info in enumerate(case.inputs):
            given = f"{name}.x{index}"
            if isinstance(info, ValueInfoProto):
                infos.append(ValueInfoProto.FromString(info.SerializeToString()))
                infos[-1].name = given
            else:
                infos.append(helper.make_tensor_value_info(given, *info))
        constants += [
            onnx.numpy_helper.from_array(np.asarray(value), f"{name}.c{index}")
            for index, value in enumerate(case.constants)
        ]
    outputs = [helper.make_tensor_value_info(o, FLOAT, None) for node in nodes for o in node.output]
    graph = helper.make_graph(nodes, "impossible", infos, outputs, constants)
    sets = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in DOMAINS)]
    return helper.make_model(graph, opset_imports=sets, ir_version=9)


def told(errors: Sequence[ModelError], name: str, case: Impossible) -> str:
    """What is said of a case: of its node, of the input that it reads, or of its output."""
    places = {"node": rf"{name}[/']", "input": rf"{name}\.x0'", "output": rf"{name}\.y0'"}
    subject = f"{case.subject} '{places[case.subject]}"
    found = [str(error) for error in errors if re.match(subject, str(error))]
    assert len(found) == 1, f"{name}: {[str(error) for error in errors]}"
    return found[0]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_obstacle_names_node_operator_reason_and_remedy(name: str) -> None:
    case = IMPOSSIBLE[name]
    with pytest.raises(ModelError) as raised:
        import_model(model_of({name: case}))
    error = raised.value
    text = told(error.errors if isinstance(error, ObstaclesError) else [error], name, case)
    if case.subject == "node" and name != "coin":  # which is a function of the operator that is named
        assert f"({case.op}, opset " in text
    reason, _, remedy = text.rpartition("; ")
    assert case.reason in reason
    assert case.remedy in remedy
    assert "malformed" not in str(error)


def test_all_of_them_are_told_at_once() -> None:
    found = survey(model_of(IMPOSSIBLE))
    for name, case in IMPOSSIBLE.items():
        text = told(found.obstacles, name, case)
        assert case.reason in text and case.remedy in text
    assert found.graph is None


def test_sparse_initializers_are_told_with_the_rest() -> None:
    model = model_of({name: IMPOSSIBLE[name] for name in ("dice", "own")})
    model.graph.sparse_initializer.extend([sparse("w"), sparse("v")])
    with pytest.raises(ObstaclesError) as raised:
        import_model(model)
    for text in ("'w' is sparse", "'v' is sparse", "'dice'", "'own'", "dense ones"):
        assert text in str(raised.value)


def test_a_model_without_the_default_operator_set_is_judged_by_its_nodes() -> None:
    model = model_of({"adam": IMPOSSIBLE["adam"]})
    del model.opset_import[0]
    with pytest.raises(UnsupportedOperatorError, match=TRAINING):
        import_model(model)


def test_an_operator_that_is_younger_than_the_model() -> None:
    model = model_of({"image_file": IMPOSSIBLE["image_file"]})
    model.opset_import[0].version = 17
    with pytest.raises(
        UnsupportedOperatorError, match=r"not in the model's operator set 17; .*operator set 20"
    ):
        import_model(model)


def test_external_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    model = model_of({"no_filters": replace(IMPOSSIBLE["no_filters"], constants=(ones(4, 3, 3, 3),))})
    onnx.external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    with pytest.raises(
        ModelError, match=r"'no_filters\.c0'.*weights\.bin cannot be read.*put it beside"
    ) as raised:
        import_model(model, directory=tmp_path)
    assert "malformed" not in str(raised.value)


def test_an_operator_set_of_the_future() -> None:
    model = model_of({"noise": IMPOSSIBLE["noise"]})
    model.opset_import[0].version = 99
    with pytest.raises(
        ModelError, match=r"operator set 99; supported are 7 to .*version_converter"
    ) as raised:
        import_model(model)
    assert "malformed" not in str(raised.value)


# --- well-formed models that go through ---------------------------------------------------------------------


@pytest.mark.parametrize("kind, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_layer_of_which_only_the_last_state_is_wanted(kind: str, gates: int) -> None:
    node = helper.make_node(kind, ["x", "w", "r"], ["", "last"], name="net", hidden_size=2)
    graph = graph_of("last", [node], [helper.make_tensor_value_info("x", FLOAT, (5, 1, 3))], "last")
    for name, size in (("w", 3), ("r", 2)):
        graph.initializer.append(onnx.numpy_helper.from_array(ones(1, gates * 2, size), name))
    imported = import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert imported.types["last"].shape == (1, 1, 2)


@pytest.mark.parametrize("sizes", [(3, 5), (8, 0), (0, 8)])
def test_parts_without_a_name_or_without_elements(sizes: tuple[int, int]) -> None:
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=3),
        helper.make_node("Concat", ["b", "a"], ["y"], axis=3),
        helper.make_node("Split", ["y", "sizes"], ["", "part"] if sizes[1] else ["part", ""], axis=3),
    ]
    graph = graph_of("parts", nodes, [helper.make_tensor_value_info("x", FLOAT, (1, 3, 8, 8))], "part")
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(sizes), "sizes"))
    imported = import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert imported.types["part"].shape[3] == (sizes[1] or sizes[0])


# --- malformed ----------------------------------------------------------------------------------------------


def node(op: str, reads: str, writes: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, reads.split(), writes.split(), name="it", **attributes)


MALFORMED = {
    "an input too many": ([node("Relu", "x x")], "it has 2 inputs; Relu has 1"),
    "an input too few": ([node("Add", "x")], "it has 1 inputs; Add has 2"),
    "no name at all": ([node("Relu", "x", "y z")], "it has 2 outputs; Relu has 1"),
    "too many ends": ([node("Clip", "x x x x")], "it has 4 inputs; Clip has 1 to 3"),
    "a cycle": ([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Neg", "b")], "reads 'b'.* a cycle"),
    "itself": ([node("Add", "x y")], "reads 'y'.* a cycle"),
    "nothing": ([node("Add", "x nowhere")], "reads 'nowhere', which nothing in the model gives"),
    "one name twice": ([node("Relu", "x"), node("Neg", "x")], "'y' is defined twice"),
    "axes": ([node("Transpose", "x", perm=[0, 0, 1, 2])], "perm"),
    "parts": ([node("Split", "x", "y z", axis=3, num_outputs=3)], "2 outputs, of 3 parts"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_models_are_called_that(name: str) -> None:
    nodes, reason = MALFORMED[name]
    graph = graph_of("bad", nodes, [helper.make_tensor_value_info("x", FLOAT, (1, 3, 8, 8))], "y")
    with pytest.raises(ModelError, match=f"{reason}.*malformed, export it again") as raised:
        import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert type(raised.value) is ModelError


@pytest.mark.parametrize("what", ["inputs", "initializers"])
def test_two_of_one_name(what: str) -> None:
    model = model_of({"noise": IMPOSSIBLE["noise"]})
    if what == "inputs":
        model.graph.input.append(model.graph.input[0])
    else:
        model.graph.initializer.extend([onnx.numpy_helper.from_array(ones(2), "w")] * 2)
    with pytest.raises(ModelError, match=f"has two {what} '.*malformed, export it again"):
        import_model(model)
