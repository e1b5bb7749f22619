"""What ONNX itself says of an operator: how many inputs and outputs it has, and what it is that nobody can support."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import onnx

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.folding import RANDOM
from codegen.onnx_import.node import OnnxNode

VALUES = {
    "seq(": ("sequences", "export the model with tensors, such as stacked or concatenated ones"),
    "optional(": ("optional values", "export the model with tensors that are always there"),
    "tensor(string)": ("strings", "do that before the network runs, and export the model without it"),
}
"""Kinds of values that an operator may take or give and no engine computes with; what to do about each."""


def check_signature(node: OnnxNode) -> None:
    """Raises ModelError where a node has fewer or more inputs or outputs than its operator; an operator that ONNX
    does not define has as many as it has.
    """
    schema = _schema(node.op_type, node.opset) if not node.domain else None
    if schema is None:
        return
    for names, least, most, what in (
        (node.inputs, schema.min_input, schema.max_input, "inputs"),
        (node.outputs, schema.min_output, schema.max_output, "outputs"),
    ):
        if not least <= len(names) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise node.malformed(f"it has {len(names)} {what}; {node.op_type} has {wanted}")


REMEDIES = {
    "com.microsoft": "export the model without it: by onnxruntime's optimizer at the level ORT_ENABLE_BASIC, by its "
    "quantizer in the format QDQ, or with a function that says what it is",
    "ai.onnx.ml": "convert the model without it",
}
"""What is to be done about operator sets that many models have."""


def refusal(node: OnnxNode, known_domains: Iterable[str]) -> UnsupportedOperatorError:
    """The error for an operator that has no handler and is no function."""
    if node.domain in REMEDIES or (node.domain and node.domain not in known_domains):
        return node.unsupported(
            f"it is of the operator set {node.domain!r}, of which it is not supported",
            REMEDIES.get(node.domain, "export the model without it, or with a function that says what it is"),
        )
    if node.op_type in RANDOM:
        return node.unsupported(
            f"{node.op_type} gives other random numbers in every run",
            "export the model for inference, without it",
        )
    newest = _schema(node.op_type, None)
    if node.domain or newest is None:
        return node.unsupported(
            f"ONNX has no operator {node.op_type}",
            "export the model with operators of ONNX (`explore operators` lists what is supported)",
        )
    schema = None if node.domain else _schema(node.op_type, node.opset)
    if schema is None:
        return node.unsupported(
            f"operator {node.op_type} is not in the model's operator set {node.opset}",
            f"export the model with operator set {newest.since_version}",
        )
    for kind, (what, remedy) in VALUES.items():
        if any(all(kind in type_ for type_ in formal.types) for formal in (*schema.inputs, *schema.outputs)):
            return node.unsupported(f"operator {node.op_type} is of {what}, which are not supported", remedy)
    return node.unsupported(
        f"operator {node.op_type} is not supported",
        "export the model without it (`explore operators` lists what is supported)",
    )


@cache
def _schema(op_type: str, opset: int | None) -> Any:
    """The definition in an operator set, or in the newest; None where there is none."""
    try:
        get: Any = onnx.defs.get_schema
        return get(op_type) if opset is None else get(op_type, opset)
    except (onnx.defs.SchemaError, TypeError):  # the latter for a name that is no UTF-8
        return None
