"""Which ONNX operators can be imported: a handler each, registered by the file of its family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode

Handler = Callable[[OnnxNode, GraphBuilder], None]


@dataclass(frozen=True)
class Entry:
    """A handler, and in words the forms of the operator that it takes."""

    handler: Handler
    forms: str


HANDLERS: dict[str, Entry] = {}


def handles(op_type: str, forms: str) -> Callable[[Handler], Handler]:
    """Registers a function as the handler of an ONNX operator of the default domain."""

    def register(handler: Handler) -> Handler:
        HANDLERS[op_type] = Entry(handler, forms)
        return handler

    return register


def supported_operators() -> dict[str, str]:
    """The supported ONNX operators in alphabetical order, with the forms that are taken."""
    return {name: HANDLERS[name].forms for name in sorted(HANDLERS)}
