"""How a function says that it is the handler of an ONNX operator, and how a line of elementwise operators is called."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Handler = Callable[["OnnxNode", "GraphBuilder"], None]


@dataclass(frozen=True)
class OnnxHandler:
    """The import of one ONNX operator, and in words the forms of it that are taken. A module of operators holds it as
    a global; `codegen.operator_registry` finds it there. `takes_sequences`: an input may be a sequence of tensors.
    """

    op_type: str
    forms: str
    handler: Handler
    domain: str = ""
    takes_sequences: bool = False

    def __call__(self, node: OnnxNode, builder: GraphBuilder) -> None:
        self.handler(node, builder)


def handles(
    op_type: str, forms: str, domain: str = "", *, takes_sequences: bool = False
) -> Callable[[Handler], OnnxHandler]:
    """Makes a function the handler of an ONNX operator, of the default domain unless another is given."""
    home = "" if domain == "ai.onnx" else domain
    return lambda handler: OnnxHandler(op_type, forms, handler, home, takes_sequences)


def line_parameters(line: Callable[..., Any], node: OnnxNode) -> dict[str, Any]:
    """The attributes of a node that a line of elementwise operators takes: its keyword-only parameters, each of the
    type of its default.
    """
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(line).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            values[name] = _attribute(node, name, parameter.default)
    return values


def _attribute(node: OnnxNode, name: str, default: Any) -> float | str | int:
    if isinstance(default, float):
        value = node.real(name, default)
        if not math.isfinite(value):
            raise node.unsupported(f"attribute {name} is {value}", "export the model with a finite number")
        return value
    if isinstance(default, str):
        return node.text(name, default)
    return node.integer(name, int(default))
