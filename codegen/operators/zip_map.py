"""Maps from classes to scores, as classifiers of scikit-learn give them: ZipMap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import ModelProto, helper

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.classical import DOMAIN

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@handles("ZipMap", "the scores as a tensor, a column for each key; `explorer.backend` gives the maps", DOMAIN)
def zip_map(node: OnnxNode, builder: GraphBuilder) -> None:
    """The scores themselves: tensors have no keys, whose order is that of the columns."""
    steps = Steps(node, builder)
    keys = node.integers("classlabels_int64s") or node.texts("classlabels_strings")
    shape = steps.shape(node.input(0))
    if not shape or len(keys) != shape[-1]:
        raise node.malformed(f"it has {len(keys)} keys for scores of shape {shape}")
    steps("Identity", node.input(0), to=node.output)


def mapped_outputs(model: ModelProto) -> dict[str, tuple[int | str, ...]]:
    """The keys of each output of a model that is a sequence of maps."""
    wanted = {info.name for info in model.graph.output}
    found: dict[str, tuple[int | str, ...]] = {}
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.output[0] in wanted:
            given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            texts = [text.decode("utf-8", "replace") for text in given.get("classlabels_strings", ())]
            found[node.output[0]] = tuple(given.get("classlabels_int64s", ())) or tuple(texts)
    return found
