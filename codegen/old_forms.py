"""Canonical forms that older versions wrote, brought to what this one reads: in plan files and in stores of samples.

Version 2 of the forms: an activation is an epilogue, that is an expression; sums and stand-alone activations are Maps;
a layer has several outputs; a choice names its engine, and values of axes have names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codegen.canonical import plain
from codegen.errors import CanonicalFormError
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


# What an algorithm's axis is called, and what its numbers meant before its values were names.
NAMED: Mapping[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    **{
        (algorithm, "shared"): ("shared", ("pixels", "channels"))
        for algorithm in (
            "cpu_blocked_conv",
            "cpu_blocked_conv_transpose",
            "cpu_blocked_depthwise",
            "cpu_blocked_indirect",
            "cpu_blocked_map",
            "cpu_blocked_pool",
            "cpu_blocked_winograd",
        )
    },
    **{
        (algorithm, "outer"): ("outer", ("pixels", "channels"))
        for algorithm in (
            "cpu_blocked_chain",
            "cpu_blocked_conv",
            "cpu_blocked_indirect",
            "cpu_pointwise_gemm",
        )
    },
    **{(algorithm, "layout"): ("layout", ("nchw", "pixel16")) for algorithm in ("cpu_concat", "cpu_map")},
    ("cpu_reshape", "layout"): ("layout", ("nchw", "pixel16", "channel4", "channel8", "channel16")),
    **{
        (algorithm, "row_major"): ("input", ("blocks", "row_major"))
        for algorithm in ("cpu_blocked_chain", "cpu_blocked_conv", "cpu_blocked_fully_connected")
    },
    **{
        (algorithm, "interleaved"): ("dealing", ("runs", "interleaved"))
        for algorithm in ("qpu_fully_connected", "qpu_global_average", "qpu_global_maximum")
    },
    ("cpu_blocked_chain", "halos"): ("halos", ("recomputed", "kept")),
    ("cpu_blocked_indirect", "literals"): ("offsets", ("table", "literals")),
    ("cpu_relayout", "inner"): ("inner", ("channels", "pixels")),
    ("cpu_transpose", "inner"): ("inner", ("stores", "loads")),
    ("qpu_map", "planar"): ("numbers", ("pixel16", "nchw")),
}

_ENGINES = {"qpu": "videocore4"}


def is_old(form: Any) -> bool:
    """Whether the form of a LayerSpec or Candidate is of version 1, or has numbers for what has names."""
    if not isinstance(form, dict):
        return False
    spec, choice = form.get("spec", form), form.get("choice")
    if isinstance(choice, dict) and ("processor" in choice or choice != _with_names(choice)):
        return True
    return isinstance(spec, dict) and spec.get("type") == "LayerSpec" and "outputs" not in spec


def engine_of(processor: str) -> str:
    """The engine that a processor of version 1 is."""
    return _ENGINES.get(processor, processor)


def upgraded(form: Any) -> Any:
    """A form of version 1, or one with numbers for what has names, as version 2 has it; others pass unchanged.

    Raises CanonicalFormError for an activation that is none.
    """
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
        if isinstance(result.get("algorithm"), str):
            result["algorithm"] = _ALGORITHMS.get(result["algorithm"], result["algorithm"])
        result = _with_names(result)
    return result


def _with_names(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice with names for the numbers of axes that have names, sorted; malformed pairs are left for the reader."""

    algorithm = str(choice.get("algorithm", ""))

    def named(pair: Any) -> Any:
        match pair:
            case [str(axis), int(code)]:
                name, names = NAMED.get((algorithm, axis), ("", ()))
                return [name, names[code]] if 0 <= code < len(names) else pair
        return pair

    roles = {role: choice[role] for role in ("split", "tile") if isinstance(choice.get(role), list)}
    renewed = {role: [named(pair) for pair in pairs] for role, pairs in roles.items()}
    for role, pairs in renewed.items():
        if pairs != roles[role]:
            pairs.sort(key=str)
    return {**choice, **renewed}


def _clamped(value: Expression, activation: Any) -> Expression:
    match activation:
        case {
            "type": "Activation",
            "low": None | int() | float() as low,
            "high": None | int() | float() as high,
        }:
            return clamp(value, low, high)
    raise CanonicalFormError(f"{activation!r} is no activation: an object with the ends low and high")
