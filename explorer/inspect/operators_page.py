"""The page of ONNX operators: docs/operators.md, which `explore operators` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.algorithm import algorithms
from codegen.engine import Engine
from codegen.engine_registry import engines, host_engines
from codegen.errors import ExploreError
from codegen.graph import Graph, LayerSpec
from codegen.onnx_import.folding import RANDOM
from codegen.onnx_import.model_file import NEWEST_OPSET, OLDEST_OPSET
from codegen.onnx_import.reader import import_model
from codegen.operator_registry import supported_operators
from codegen.passes.pipeline import optimize
from codegen.target import Target
from microbench.profile import load_profile

PROBED = "pi-zero"
SHAPE = (1, 16, 8, 8)
HEADINGS = ("Operator", "Operator sets", "Element types", "Engines", "Forms")
FUNCTION = "as the function that ONNX says it is"
KINDS = {
    "floats": ("float16", "float", "double"),
    "integers": tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "bool": ("bool",),
}
HEAD = """\
# ONNX operators

Written by `explore operators > docs/operators.md`; a test checks that it is current. `explore check MODEL` tells
what of a model's own nodes is not supported, and why.

Everything is computed by the CPU engine: float32 to float64 and float16 (converted), integers of 8 to 64 bits, bool, of
any rank, as far as ONNX allows an operator to have them. `videocore4` stands where the QPUs compute a float32 node of
the operator on images or rows; [algorithms.md](algorithms.md) says by which algorithms. Operator sets are 7 to
28; `all` forms are those that ONNX defines. Nodes that read constants alone are computed before the network runs.

An output whose size depends on data ("with a length": the places that NonZero finds, the boxes that NonMaxSuppression
keeps) is a tensor of the largest size that there can be, and beside it stands an int64 scalar `<output>.length`: so
many elements along that axis hold results, what is behind them means nothing. What reads such a tensor and keeps the
axis as it is (elementwise operators, Gather and GatherND of rows, Transpose, Concat and Split along others, products
of rows, reductions over others) carries the length on. What reads along the axis (reductions, ArgMax, TopK, Softmax,
CumSum, NonZero, NonMaxSuppression, Scatter, Slice, Concat and Gather along it, Reshape that joins or parts it) sees
the results alone. Sizes computed from such a length (Shape, and what exporters do with it) are followed, so that
ConstantOfShape, Expand, Pad, Range, Reshape and TopK have a bound. Two lengths that need not be equal in one tensor,
and what else would mix results with what is behind them, is refused. `explorer.backend` gives outputs that are cut
to their lengths.
"""
_ONES = np.ones(SHAPE[1], dtype=np.float32)
_CONSTANTS: Mapping[str, Sequence[Any]] = {
    "BatchNormalization": (_ONES,) * 4,
    "Conv": (np.ones((16, 16, 3, 3), dtype=np.float32),),
    "ConvTranspose": (np.ones((16, 16, 2, 2), dtype=np.float32),),
    "Pad": (np.array([0, 0, 1, 1, 0, 0, 1, 1]),),
    "Reshape": (np.array([1, -1]),),
    "Upsample": (np.array([1, 1, 2, 2], dtype=np.float32),),
}
_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "AveragePool": {"kernel_shape": [2, 2]},
    "Concat": {"axis": 1},
    "LpPool": {"kernel_shape": [2, 2]},
    "MaxPool": {"kernel_shape": [2, 2]},
    "ReduceMean": {"axes": [2, 3]},
}
_OPSET = 17


def page() -> str:
    """The page's text."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *operator_rows()]
    return f"{HEAD}\n" + "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def operator_rows() -> list[tuple[str, ...]]:
    """A row for each operator, by name: `HEADINGS`."""
    forms = {**{name: FUNCTION for name in _functions()}, **supported_operators()}
    return [(name, _versions(name), _types(name), _engines(name), forms[name]) for name in sorted(forms)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@cache
def _schemas() -> Mapping[str, list[Any]]:
    """Every version of ONNX's own operators in the operator sets that are taken, the oldest first."""
    found: dict[str, list[Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain and schema.since_version <= NEWEST_OPSET:
            found.setdefault(schema.name, []).append(schema)
    return {name: sorted(several, key=lambda one: one.since_version) for name, several in found.items()}


def _functions() -> Iterator[str]:
    for name, several in _schemas().items():
        newest = several[-1]
        is_function = newest.has_function or newest.context_dependent_function_opset_versions
        if is_function and _allowed(newest) and name not in RANDOM:
            yield name


def _versions(name: str) -> str:
    several = _schemas().get(name)
    if not several:
        return "of a package"
    last = several[-1].since_version - 1 if several[-1].deprecated else NEWEST_OPSET
    return f"{max(OLDEST_OPSET, several[0].since_version)} to {last}"


def _types(name: str) -> str:
    several = [schema for schema in _schemas().get(name, ()) if not schema.deprecated]
    if not several:
        return "-"
    return "; ".join(_allowed(several[-1])) or "-"


def _allowed(schema: Any) -> list[str]:
    """What its first tensor may be of, among the element types that there are."""
    first = next(iter((*schema.inputs, *schema.outputs)))
    allowed = {text.removeprefix("tensor(").removesuffix(")") for text in first.types}
    parts = []
    for kind, members in KINDS.items():
        own = [member for member in members if member in allowed]
        if own:
            parts.append(kind if len(own) == len(members) else ", ".join(own))
    return parts


def _engines(name: str) -> str:
    """Those of the host, which compute every operator there is, and those beside it that compute this one."""
    target, graphs = load_profile(PROBED).target(), list(_probes(name))
    beside = (engine for engine in engines().values() if engine.launches and engine.is_on(target))
    others = (engine.name for engine in beside if any(_computes(engine, graph, target) for graph in graphs))
    return ", ".join((*host_engines(), *others))


def _computes(engine: Engine, graph: Graph, target: Target) -> bool:
    """Whether an engine computes all layers, and there are some."""
    return bool(graph.nodes) and all(
        any(
            engine.owns(algorithm) and algorithm.applies(LayerSpec.of(graph, node), target)
            for algorithm in algorithms().values()
        )
        for node in graph.nodes
    )


def _probes(name: str) -> Iterable[Graph]:
    """Networks of one node of the operator, as far as it takes images and what it needs beside them."""
    for shape in (SHAPE, (1, 16)):
        for count in (1, 2):
            try:
                yield optimize(import_model(_model(name, shape, count)))
            except ExploreError:
                continue


def _model(name: str, shape: tuple[int, ...], count: int) -> ModelProto:
    given = [f"x{number}" for number in range(count)]
    constants = dict(_named(name, shape))
    node = helper.make_node(name, [*given, *constants], ["y"], **_ATTRIBUTES.get(name, {}))
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one in given],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, one) for one, value in constants.items()],
    )
    since = max((one.since_version for one in _schemas().get(name, ()) if not one.deprecated), default=_OPSET)
    opset = _OPSET if name in _ATTRIBUTES or name in _CONSTANTS else max(since, _OPSET)
    if name == "Upsample":
        opset = since
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _named(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    values = _CONSTANTS.get(name, ())
    if name in ("Gemm", "MatMul") and len(shape) == 2:
        values = (np.ones((16, 64), dtype=np.float32),)
    for number, value in enumerate(values):
        yield f"c{number}", value
