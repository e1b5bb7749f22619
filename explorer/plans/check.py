"""The compiled network against onnxruntime: the same inputs, the largest error, the same top 5."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codegen.bundle.step_weights import as_stored
from codegen.graph import Graph
from codegen.lengths import cut_to_lengths
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.plan import Plan
from codegen.reference import evaluate
from codegen.stored_weights import weight_type
from codegen.tensor import AnyArray, TensorType
from explorer.errors import CheckFailedError
from explorer.measure.judge import relative_error
from explorer.measure.workers import Workers
from explorer.plans.network import Network
from explorer.plans.reference_session import reference_session
from explorer.plans.stages import Staged, in_stages
from explorer.runs.report import AccuracyReport, CheckReport
from microbench.board import Board, BundleRun

INPUTS = 3
NEAR = 0.1  # of the largest output: as far as rounding of quantised layers, taken otherwise, may carry
TOP = 5


@dataclass(frozen=True, eq=False)
class Trial:
    """Inputs of a network and what it is to make of them, in the order of its graph's outputs; those whose size
    depends on data are cut to it.
    """

    inputs: tuple[AnyArray, ...]
    outputs: tuple[AnyArray, ...]
    graph: Graph | None = None
    exact: tuple[AnyArray, ...] | None = (
        None  # with the network's own weights, where `outputs` are of rounded ones
    )

    @property
    def of_network(self) -> Trial:
        """What the network itself makes of the inputs."""
        return self if self.exact is None else replace(self, outputs=self.exact, exact=None)

    def compared(self, run: BundleRun) -> Iterator[tuple[AnyArray, AnyArray]]:
        """The outputs of a run beside these; of another size where the run found another length."""
        outputs = run.outputs
        if self.graph is not None and self.graph.lengths:
            names, types = self.graph.outputs, self.graph.types
            shaped = {n: value.reshape(types[n].shape) for n, value in zip(names, outputs, strict=True)}
            outputs = tuple(cut_to_lengths(shaped, self.graph.lengths)[name] for name in names)
        return zip(outputs, self.outputs, strict=True)


def tolerance_of(plan: Plan) -> float:
    """The largest error that a plan's bundle may have, relative to the largest output."""
    return max(engine.tolerance for engine in plan.engines)


def trials_of(network: Network, seed: int, count: int = INPUTS) -> tuple[Trial, ...]:
    """Several inputs with onnxruntime's outputs; of a quantised network with those of this compiler's reference, which
    must be near. There a number that lies between two integers may become either, and onnxruntime's own levels of
    optimisation differ. Raises CheckFailedError where they are not near.
    """
    graph = network.graph
    inputs = trial_inputs(graph, seed, count)
    outputs = reference_outputs(network.path, graph, inputs)
    if any(isinstance(node.op, QuantizedConv2d) for node in graph.nodes):
        outputs = tuple(_of_integers(graph, one, near) for one, near in zip(inputs, outputs, strict=True))
    return tuple(Trial(*one, graph) for one in zip(inputs, outputs, strict=True))


def trials_as_stored(graph: Graph, plan: Plan, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The same inputs with what the network makes of them by the weights that the plan's bundle has."""
    if all(weight_type(step.choice) == "float32" for step in plan.steps):
        return tuple(trials)
    rounded = as_stored(graph, plan)
    return tuple(
        replace(trial, outputs=_evaluated(rounded, trial.inputs), exact=trial.outputs) for trial in trials
    )


def _evaluated(graph: Graph, inputs: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
    found = evaluate(graph, dict(zip(graph.inputs, inputs, strict=True)))
    return tuple(found[name].astype(graph.types[name].element_type.dtype) for name in graph.outputs)


def _of_integers(graph: Graph, inputs: Sequence[AnyArray], near: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
    outputs = _evaluated(graph, inputs)
    for name, output, other in zip(graph.outputs, outputs, near, strict=True):
        error = relative_error(output, other.astype(np.float64))
        if not error <= NEAR:
            raise CheckFailedError(
                f"output {name!r} of the quantised network differs from onnxruntime's by {error:.3g} of the largest "
                f"value, allowed {NEAR:g}; please report it with the model"
            )
    return outputs


def trial_inputs(graph: Graph, seed: int, count: int = INPUTS) -> tuple[tuple[AnyArray, ...], ...]:
    """Several sets of network inputs: normal numbers, as normalised images are; integers from 0 to 1, which are places
    in any table; truth values.
    """
    random = np.random.default_rng(seed)
    return tuple(
        tuple(_trial_value(graph.types[name], random) for name in graph.inputs) for _ in range(count)
    )


def _trial_value(tensor: TensorType, random: np.random.Generator) -> AnyArray:
    dtype = tensor.element_type.dtype
    if dtype.kind != "f":
        return np.asarray(random.integers(0, 2, tensor.shape)).astype(dtype)
    return np.asarray(random.standard_normal(tensor.shape, dtype=np.float32)).astype(dtype)


def reference_outputs(
    model: Path, graph: Graph, inputs: Sequence[Sequence[AnyArray]]
) -> tuple[tuple[AnyArray, ...], ...]:
    """What onnxruntime computes with the original model, in the order of the graph's outputs."""
    session = reference_session(model, graph)
    return tuple(
        _reference(session, graph, dict(zip(graph.inputs, values, strict=True))) for values in inputs
    )


def _reference(session: Any, graph: Graph, inputs: Mapping[str, AnyArray]) -> tuple[AnyArray, ...]:
    """Lengths are outputs of the graph alone: the model's outputs are as long as they say."""
    beside = {length.tensor for length in graph.lengths.values()}
    own = [name for name in graph.outputs if name not in beside or name in graph.lengths]
    found = {name: np.asarray(value) for name, value in zip(own, session.run(own, inputs), strict=True)}
    for name, length in graph.lengths.items():
        found[length.tensor] = np.asarray(found[name].shape[length.axis])
    return tuple(found[name] for name in graph.outputs)


def check_bundle(
    board: Board, bundle: Path, trials: Sequence[Trial], tolerance: float
) -> tuple[CheckReport, BundleRun]:
    """Runs the bundle on every input; the report has the largest error, the run is the first input's. A network that
    decides otherwise than onnxruntime is compared by stages.
    """
    runs = [board.run_bundle(bundle, trial.inputs) for trial in trials]
    return _verdict(runs, trials, tolerance, lambda: staged(board, bundle, trials))


def staged(board: Board, bundle: Path, trials: Sequence[Trial]) -> Staged | None:
    """What `in_stages` says of a bundle on a board; None where the trials do not tell their graph."""
    graph = trials[0].graph
    if graph is None:
        return None
    inputs = [trial.inputs for trial in trials]
    return in_stages(
        lambda place, values: board.run_bundle(place, values).outputs, board.target, bundle, graph, inputs
    )


def runs_side_by_side(boards: Workers[Board], bundles: Sequence[Path], trial: Trial) -> list[BundleRun]:
    """One input on each bundle, on whichever board is free."""
    return list(boards.map(lambda board, bundle: board.run_bundle(bundle, trial.inputs), bundles))


def check_side_by_side(
    boards: Workers[Board], bundle: Path, first: BundleRun, trials: Sequence[Trial], tolerance: float
) -> tuple[CheckReport, BundleRun]:
    """As `check_bundle` on whichever board is free, where the run of the first input is known."""
    others = boards.map(lambda board, trial: board.run_bundle(bundle, trial.inputs), trials[1:])
    return _verdict(
        [first, *others],
        trials,
        tolerance,
        lambda: boards.call(lambda board: staged(board, bundle, trials)),
    )


def _verdict(
    runs: Sequence[BundleRun],
    trials: Sequence[Trial],
    tolerance: float,
    again: Callable[[], Staged | None],
) -> tuple[CheckReport, BundleRun]:
    """By the runs; where they are too far off, by what is found `again`, in stages."""
    report, first = _by_outputs(runs, trials, tolerance)
    found = None if report.largest_error <= tolerance else again()
    if found is None:
        return report, first
    by_stages, _ = _by_outputs(runs, _as_decided(trials, found), tolerance)
    error = max(found.error, by_stages.largest_error)
    return replace(by_stages, largest_error=error, deciding=found.tensors), first


def _as_decided(trials: Sequence[Trial], found: Staged) -> list[Trial]:
    """The trials with the outputs that follow from what the bundle decided by."""
    return [replace(trial, outputs=outputs) for trial, outputs in zip(trials, found.outputs, strict=True)]


def _by_outputs(
    runs: Sequence[BundleRun], trials: Sequence[Trial], tolerance: float
) -> tuple[CheckReport, BundleRun]:
    checked = list(zip(runs, trials, strict=True))
    same_top5 = all(
        top_classes(output) == top_classes(expected)
        for run, trial in checked
        for output, expected in trial.compared(run)
    )
    error, first = max(_error_of(run, trial) for run, trial in checked), runs[0]
    report = CheckReport(len(runs), error, tolerance, same_top5, first.time_s, first.kind, _accuracy(checked))
    return report, first


def _accuracy(checked: Sequence[tuple[BundleRun, Trial]]) -> AccuracyReport | None:
    """None where no weights are rounded."""
    if all(trial.exact is None for _, trial in checked):
        return None
    own = [(run, trial.of_network) for run, trial in checked]
    same = [
        all(top_classes(output)[0] == top_classes(exact)[0] for output, exact in trial.compared(run))
        for run, trial in own
    ]
    return AccuracyReport(max(_error_of(run, trial) for run, trial in own), sum(same))


def failure_of(
    run: BundleRun, trial: Trial, plan: Plan, again: Callable[[], Staged | None] = lambda: None
) -> str:
    """What is wrong with the outputs of a plan's bundle; empty where nothing is, or nothing `again`, in stages."""
    error, allowed = _error_of(run, trial), tolerance_of(plan)
    if not error <= allowed:
        found = again()
        if found is not None:
            (decided,) = _as_decided([trial], found)
            error = max(found.error, _error_of(run, decided))
    if error <= allowed:
        return ""
    return f"in the network: largest error {error:.3g} of the largest output; allowed {allowed:g}"


def _error_of(run: BundleRun, trial: Trial) -> float:
    """The largest error of all outputs, relative to the largest value of each."""
    return max(
        relative_error(output.reshape(expected.shape), expected.astype(np.float64))
        if output.size == expected.size
        else float("inf")
        for output, expected in trial.compared(run)
    )


def top_classes(output: AnyArray) -> tuple[int, ...]:
    """The indices of the largest elements, the largest first."""
    return tuple(int(i) for i in np.argsort(-output.reshape(-1).astype(np.float64), kind="stable")[:TOP])


def require(check: CheckReport) -> None:
    """Raises CheckFailedError where the outputs are too far off."""
    if not check.largest_error <= check.tolerance:
        raise CheckFailedError(
            f"the largest error on {check.inputs} inputs is {check.largest_error:.3e} of the largest output, "
            f"allowed {check.tolerance:g}: do not use this bundle; please report it with the model"
        )
