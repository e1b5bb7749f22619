"""Canonical forms that older versions wrote, brought to what this one reads: in plan files and in stores of samples.

Version 2 of the forms: an activation is an epilogue, that is an expression; sums and stand-alone activations are Maps;
a layer has several outputs; a choice names its engine.
"""

from __future__ import annotations

from typing import Any

from codegen.canonical import plain
from codegen.expression import RESULT, Expression, Operand, clamp

_ALGORITHMS = {
    "qpu_add": "qpu_map",
    "cpu_add": "cpu_map",
    "cpu_clamp": "cpu_map",
    "cpu_blocked_add": "cpu_blocked_map",
    "cpu_blocked_clamp": "cpu_blocked_map",
}

# Algorithms that are no more: what computes their layers now. Their decisions do not say how many lanes a target has.
REPLACED = {
    "cpu_fully_connected": "cpu_blocked_fully_connected",
    "cpu_depthwise": "cpu_blocked_depthwise",
}


_ENGINES = {"qpu": "videocore4"}


def is_old(form: Any) -> bool:
    """Whether the form of a LayerSpec or Candidate is of version 1."""
    if not isinstance(form, dict):
        return False
    spec, choice = form.get("spec", form), form.get("choice")
    if isinstance(choice, dict) and "processor" in choice:
        return True
    return isinstance(spec, dict) and spec.get("type") == "LayerSpec" and "outputs" not in spec


def engine_of(processor: str) -> str:
    """The engine that a processor of version 1 is."""
    return _ENGINES.get(processor, processor)


def upgraded(form: Any) -> Any:
    """A form of version 1 as version 2 has it; what is of neither passes unchanged."""
    if isinstance(form, list):
        return [upgraded(item) for item in form]
    if not isinstance(form, dict):
        return form
    kind = form.get("type")
    if kind in ("Add", "Clamp"):
        value = Operand(0) + Operand(1) if kind == "Add" else RESULT
        return {"type": "Map", "expression": plain(_clamped(value, form.get("activation")))}
    result = {key: upgraded(value) for key, value in form.items() if key != "activation"}
    if "activation" in form:
        result["epilogue"] = plain(_clamped(RESULT, form["activation"]))
    if kind == "LayerSpec" and "output" in result:
        result["outputs"] = [result.pop("output")]
    if kind == "Choice":
        if "output_layout" in result:
            result["output_layouts"] = [result.pop("output_layout")]
        if isinstance(result.get("processor"), str):
            result["engine"] = engine_of(result.pop("processor"))
        result["algorithm"] = _ALGORITHMS.get(result.get("algorithm", ""), result.get("algorithm"))
    return result


def _clamped(value: Expression, activation: Any) -> Expression:
    """Malformed ends are left for the reader to refuse: as no ends at all."""
    ends = activation if isinstance(activation, dict) else {}
    low, high = (
        end if isinstance(end, (int, float)) else None for end in (ends.get("low"), ends.get("high"))
    )
    return clamp(value, low, high)
