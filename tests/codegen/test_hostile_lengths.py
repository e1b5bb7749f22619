"""Models that ask of a size that depends on data what cannot be: a typed error, told in a moment, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, helper

from codegen.errors import ModelError, UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from tests.explorer.test_lengths import model_of
from tests.explorer.test_lengths_go_on import CONSTANTS, ROWS, inputs_of

HOSTILE = {
    "more than any tensor": (
        ["Mul counts large -> s", "ConstantOfShape s -> y"],
        "depends on data and may be more",
    ),
    "two open sizes": (["Concat counts counts -> s", "ConstantOfShape s -> y"], "two sizes of its result"),
    "an endless range": (["Mul count large_number -> s", "Range zero s one -> y"], "may be more than"),
    "a range that stands still": (["Range zero count zero -> y"], "its step is 0"),
    "numbers that int64 has not": (["Range least count one -> y"], "which int64 has not"),
    "a shape with a zero": (["Concat counts axis_0 -> s", "Reshape rows s -> y"], "another shape"),
    "an open dimension of what is fixed": (
        ["Concat counts minus_one -> s", "Reshape x s -> y"],
        "another shape",
    ),
    "two open dimensions": (
        ["Concat counts open open -> s", "Reshape rows s -> y"],
        "several open dimensions",
    ),
    "places that are no integers": (["Gather rows column -> y"], "not integers"),
    "updates of another type": (["Scatter rows which which -> y"], "updates of int64 to float32"),
    "plain updates of another type": (["Scatter x plain plain -> y"], "updates of int64 to float32"),
    "joined of two types": (["Concat column counts -> y"], "float32, int64"),
    "plain ones of two types": (["Concat x plain -> y"], "float32, int64"),
    "as many as there are of another axis": (["TopK rows counts -> y places"], "two sizes of its result"),
    "a step of nothing": (["Slice rows axis_0 counts axis_0 axis_0 -> y"], "do not fit each other"),
    "fewer elements than none": (
        ["Unsqueeze x both_axes -> z", "Resize z _ _ sizes -> y"],
        r"the shape \(1, 1, -8, 8\)",
    ),
    "an axis that there is not": (["Slice rows axis_0 counts few -> y"], "axis 3 is outside"),
}
MORE = {
    **CONSTANTS,
    "large": np.array([2**40]),
    "large_number": np.array(2**40),
    "least": np.array(-(2**63)),
    "open": np.array([-1]),
    "plain": np.zeros((6, 4), np.int64),
    "sizes": np.array([1, 1, -8, 8]),
}


def nodes_of(lines: list[str]) -> list[NodeProto]:
    nodes = []
    for line in lines:
        (op_type, *inputs), outputs = (part.split() for part in line.split(" -> "))
        attributes: dict[str, Any] = {"axis": 0} if op_type == "Concat" else {}
        attributes |= {"allowzero": 1} if op_type == "Reshape" else {}
        names = ["" if name == "_" else name for name in inputs]
        nodes.append(helper.make_node(op_type, names, outputs, **attributes))
    return nodes


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_a_typed_error(name: str) -> None:
    lines, reason = HOSTILE[name]
    which = helper.make_node("Cast", ["rows"], ["which"], to=7)
    model = model_of([*ROWS, which, *nodes_of(lines)], inputs_of(3, 2), ["y"], MORE)
    with pytest.raises(ModelError, match=reason):
        import_model(model)


def test_what_reads_a_refused_size_is_not_called_malformed() -> None:
    lines = ["EyeLike rows -> eye", "Shape eye -> s", "Reshape rows s -> y"]
    with pytest.raises(UnsupportedOperatorError, match="EyeLike"):
        import_model(model_of([*ROWS, *nodes_of(lines)], inputs_of(3, 2), ["y"], MORE))


def test_steps_beyond_any_axis_are_steps_to_its_end() -> None:
    constants = {**MORE, "far": np.array([2**62]), "far_back": np.array([-(2**63)])}
    for step in ("far", "far_back"):
        ends = ("axis_0", "huge") if step == "far" else ("huge", "lowest")
        lines = [f"Slice rows {ends[0]} {ends[1]} axis_0 {step} -> y"]
        graph = import_model(model_of([*ROWS, *nodes_of(lines)], inputs_of(3, 2), ["y"], constants))
        assert graph.types["y"].shape == (1, 4)
