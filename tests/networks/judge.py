"""A network judged: imported, compiled by modelled choices, and compared with onnxruntime on host and virtual board."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from codegen.bundle.compiler import compile_bundle
from codegen.bundle.manifest import read_manifest
from codegen.engine_registry import engines
from codegen.errors import ExploreError, ObstaclesError
from codegen.graph import Graph, LayerSpec
from codegen.lengths import cut_to_lengths
from codegen.onnx_import.reader import Shapes
from codegen.reference import evaluate
from explorer.backend import CompilerBackend
from explorer.pipeline.boards import open_board_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import load_network
from explorer.settings import RunSettings
from explorer.studies.foreign_networks import SEEDS, peer_session, seeded_inputs
from microbench.board import Board
from tests.networks.comparisons import BY_PLACE, Comparison
from tests.networks.page import NOT_SIMULATED
from tests.networks.places import launched_share, why_not_launched

BOARD = "pi-zero"
FLAGS = ("-O1", "-march=native")  # a hundred networks are compiled, and none is timed
MOST_BOARD_MACS = 300e6  # a simulated inference of more takes minutes
Inputs = Mapping[str, NDArray[Any]]
Given = Callable[[int], Inputs]


def left_to_chance(seed: int) -> Inputs:
    """No input is given."""
    return {}


@dataclass(frozen=True)
class OnHost:
    """A network on this machine. Errors are relative to the spread of the output, the greatest over three inputs:
    `error` against onnxruntime, `own_error` and `peer_error` of this compiler and of onnxruntime against the imported
    graph in float64, `compared` as that says. `reason`: why it is not known.
    """

    nodes: int
    macs: int | None = None
    error: float | None = None
    own_error: float | None = None
    peer_error: float | None = None
    reason: str = ""
    compared: str = BY_PLACE.name


@dataclass(frozen=True)
class OnBoard:
    """A network on the virtual board: the error against onnxruntime as on the host, the share of the multiply-adds that
    the QPUs do and why not more, launches, simulated seconds of an inference. `reason`: why something is not known.
    """

    error: float | None = None
    share: float | None = None
    why_not: str = ""
    launches: int | None = None
    time_s: float | None = None
    reason: str = ""


def judge_on_host(
    path: Path, shapes: Shapes, given: Given = left_to_chance, comparison: Comparison = BY_PLACE
) -> OnHost:
    """Imports, compiles and runs a file on three inputs: those that are `given` for a seed, the others random."""
    model = onnx.load(path)
    inputs = _inputs(model, shapes, given)
    found = OnHost(len(model.graph.node), compared=comparison.name)
    try:
        prepared = CompilerBackend.prepare(model, flags=FLAGS)
        own = [prepared.run(values) for values in inputs]
    except ExploreError as error:
        return replace(found, reason=_reason(error))
    assert prepared.compiled is not None
    peer = _peer(path, model, inputs)
    if _are_equal(peer):
        return replace(found, reason="its outputs are the same for every input")
    graph = prepared.compiled.graph
    found = replace(found, macs=macs_of(graph), error=_greatest(own, peer, comparison))
    exact = [_exact(graph, values) for values in inputs]
    return replace(
        found, own_error=_greatest(own, exact, comparison), peer_error=_greatest(peer, exact, comparison)
    )


def judge_on_board(
    path: Path, shapes: Shapes, given: Given = left_to_chance, comparison: Comparison = BY_PLACE
) -> OnBoard:
    """Plans a file for the virtual board by modelled times, without a search, and runs the plan there."""
    model = onnx.load(path)
    inputs, found = _inputs(model, shapes, given), OnBoard()
    try:
        board = open_board_of(RunSettings(device=BOARD))
        network = load_network(path, shapes, path.stem)
        if macs_of(network.graph) > MOST_BOARD_MACS:
            return OnBoard(
                reason=f"more than {MOST_BOARD_MACS / 1e6:.0f} million multiply-adds: {NOT_SIMULATED}"
            )
        plan = modelled_plan(network, board.profile, engines=tuple(engines()))
        why_not = why_not_launched(network.graph, plan, board.target)
        found = OnBoard(share=launched_share(network.graph, plan), why_not=why_not)
        with TemporaryDirectory() as place:
            compile_bundle(network.graph, plan, board.target, Path(place))
            gpu = read_manifest(Path(place)).gpu
            found = replace(found, launches=0 if gpu is None else len(gpu.launches))
            off, time_s = _off(board, Path(place), network.graph, path, model, inputs, comparison)
    except ExploreError as error:
        return replace(found, reason=_reason(error))
    return replace(found, error=off, time_s=time_s)


def bundle_error(board: Board, bundle: Path, graph: Graph, path: Path, shapes: Shapes, given: Given) -> float:
    """The error of a bundle of a file's graph on a board, as `OnBoard` has it."""
    model = onnx.load(path)
    return _off(board, bundle, graph, path, model, _inputs(model, shapes, given), BY_PLACE)[0]


def rounding(graph: Graph, path: Path, shapes: Shapes, given: Given = left_to_chance) -> float:
    """How far onnxruntime is off from float64 on a file's graph, as errors of `OnHost`."""
    model = onnx.load(path)
    inputs = _inputs(model, shapes, given)
    return _greatest(_peer(path, model, inputs), [_exact(graph, values) for values in inputs], BY_PLACE)


def _off(
    board: Board,
    bundle: Path,
    graph: Graph,
    path: Path,
    model: ModelProto,
    inputs: Sequence[Inputs],
    comparison: Comparison,
) -> tuple[float, float]:
    """The error of a bundle, and its time."""
    runs = [board.run_bundle(bundle, tuple(values[name] for name in graph.inputs)) for values in inputs]
    peer = _peer(path, model, inputs)
    shapes = [graph.types[name].shape for name in graph.outputs]
    shaped = [
        _cut(
            graph,
            {
                name: np.reshape(value, shape)
                for name, value, shape in zip(graph.outputs, run.outputs, shapes, strict=True)
            },
        )
        for run in runs
    ]
    return _greatest(shaped, peer, comparison), runs[0].time_s


def _inputs(model: ModelProto, shapes: Shapes, given: Given) -> list[Inputs]:
    return [{**seeded_inputs(model, shapes, seed), **given(seed)} for seed in SEEDS]


def _peer(path: Path, model: ModelProto, inputs: Sequence[Inputs]) -> list[Sequence[NDArray[Any]]]:
    session, outputs = peer_session(path), [info.name for info in model.graph.output]
    return [session.run(outputs, dict(given)) for given in inputs]


def _are_equal(several: Sequence[Sequence[NDArray[Any]]]) -> bool:
    """Whether outputs tell nothing of the network."""
    first, *others = several
    return all(
        np.array_equal(mine, theirs, equal_nan=True)
        for other in others
        for mine, theirs in zip(first, other, strict=True)
    )


def _exact(graph: Graph, inputs: Inputs) -> list[NDArray[Any]]:
    return _cut(graph, evaluate(graph, {name: inputs[name] for name in graph.inputs}))


def _cut(graph: Graph, results: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs that the model has, those with a length up to it."""
    lengths = {length.tensor for length in graph.lengths.values()}
    cut = cut_to_lengths(results, graph.lengths)
    return [cut[name] for name in graph.outputs if name not in lengths]


def _greatest(
    own: Sequence[Sequence[NDArray[Any]]], others: Sequence[Sequence[NDArray[Any]]], comparison: Comparison
) -> float:
    return max(comparison.error(ours, those) for ours, those in zip(own, others, strict=True))


def macs_of(graph: Graph) -> int:
    """Multiply-adds of all layers."""
    return sum(LayerSpec.of(graph, node).macs for node in graph.nodes)


def _reason(error: ExploreError) -> str:
    several = error.errors if isinstance(error, ObstaclesError) else (error,)
    return f"{type(several[0]).__name__}: {several[0]}" + (
        f" and {len(several) - 1} more" if several[1:] else ""
    )
