"""Views: layers whose output is their input's memory, so that nothing is computed."""

from __future__ import annotations

from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.reshape import Reshape
from codegen.schedule import Choice


def is_view(spec: LayerSpec, choice: Choice) -> bool:
    """Whether a layer's output has, byte for byte, the memory image of its input."""
    if not isinstance(spec.op, Reshape) or choice.input_layouts != choice.output_layouts:
        return False
    source, result = spec.inputs[0], spec.output
    if choice.output_layout == "nchw":
        return source.elements == result.elements
    return len(source.shape) >= 2 and len(result.shape) >= 2 and plane(source) == plane(result)
