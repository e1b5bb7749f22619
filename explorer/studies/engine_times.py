"""Each layer on the QPUs and on the cores of the same board, who wins and why, and the plan that may use both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from codegen.algorithm import algorithm_named, algorithms
from codegen.engine_registry import engine_named
from codegen.graph import LayerSpec
from codegen.schedule import Candidate, Work
from cost_models.roofline import RooflineModel
from explorer.compose.compose import Composition, Limits
from explorer.compose.on_board import compose_on
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import Interface, TimedCandidate
from explorer.errors import CheckFailedError, CompositionError
from explorer.measure.jobs import JobBuilder
from explorer.measure.judge import Judge
from explorer.plans.network import Network
from explorer.search.roofline_ranking import ranked_candidates
from explorer.search.searched_layers import relayout_specs
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.progress import Progress
from microbench.board import Board, Kind
from microbench.profile import DeviceProfile
from microbench.virtual.bounds import bound_of

SEED = 0
NEAR = 1.5  # candidates that the roofline ranks this far behind the best of an engine are not looked at
MEASURED = 2  # of an engine, for each layer: the best of as many pairs of layouts
FACTORS = (0.75, 1.0, 1.5)
CORES, QPUS = "cores", "QPUs"


@dataclass(frozen=True)
class Way:
    """A candidate for the device with its time in seconds, and what binds it.

    On cores `one_core_s` is the time of one on the modelled clock, of AArch64 code of the same algorithm and layouts.
    """

    candidate: Candidate
    work: Work
    time_s: float
    kind: Kind
    bound: str
    one_core_s: float = 0.0


@dataclass(frozen=True)
class LayerWays:
    """The ways to compute a layer that occurs `count` times, first as `name`."""

    name: str
    spec: LayerSpec
    count: int
    ways: tuple[Way, ...]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Of all ways."""
        return tuple(way.candidate for way in self.ways)

    def best(self, engine_launches: bool) -> Way | None:
        """The fastest of the QPUs, or of the cores."""
        own = [way for way in self.ways if _launches(way.candidate) == engine_launches]
        return min(own, key=lambda way: way.time_s, default=None)


@dataclass(frozen=True)
class EngineTimes:
    """All layers of a network on a device, and the changes of layout between them, which are modelled."""

    network: Network
    profile: DeviceProfile
    layers: tuple[LayerWays, ...]
    changes: tuple[LayerWays, ...]

    def plan(
        self, engines: Sequence[str] | None = None, cores: float = 1.0, qpus: float = 1.0
    ) -> Composition | None:
        """The fastest composition where cores and QPUs take so many times as long; None where there is none."""
        timed = {
            layer.spec: tuple(
                TimedCandidate(
                    way.candidate,
                    way.time_s * (qpus if _launches(way.candidate) else cores),
                    way.kind,
                    0,
                    int(way.work.workspace_bytes),
                )
                for way in layer.ways
            )
            for layer in (*self.layers, *self.changes)
        }
        overheads = Overheads(self.profile.v3d_value("launch_overhead_s"))
        limits = Limits(engines=engines, threads=self.profile.cores, chains=False)
        try:
            return compose_on(self.network.graph, timed, overheads, limits, self.profile.target())
        except CompositionError:
            return None


def time_engines(
    network: Network, board: Board, clocked: Board, bytes_per_s: float, progress: Progress
) -> EngineTimes:
    """Measures the likeliest candidates of every layer: on the QPUs of `board`, and one core's on `clocked`.

    The time of all cores is the longer of one core's share, by the balance of the split, and of the memory's, at
    `bytes_per_s`; meeting comes on top. Raises CheckFailedError where an output is wrong.
    """
    timer = _Timer(board, clocked, bytes_per_s)
    names: dict[LayerSpec, list[str]] = {}
    for node in network.graph.nodes:
        names.setdefault(LayerSpec.of(network.graph, node), []).append(node.name)
    layers = []
    for spec, found in names.items():
        progress.phase(found[0])
        layers.append(LayerWays(found[0], spec, len(found), tuple(timer.measured(spec))))
    changes = [
        LayerWays("layout", spec, 1, tuple(timer.modelled(spec)))
        for spec in relayout_specs(network.graph, {layer.spec: layer for layer in layers})
    ]
    return EngineTimes(network, board.profile, tuple(layers), tuple(changes))


class _Timer:
    def __init__(self, board: Board, clocked: Board, bytes_per_s: float) -> None:
        self._profile, self._clocked_profile = board.profile, clocked.profile
        self._roofline, self._bytes_per_s = RooflineModel(board.profile), bytes_per_s
        self._judge = Judge(SEED)
        self._measure: Mapping[bool, tuple[Board, JobBuilder]] = {
            launches: (one, JobBuilder(one.target, SEED, algorithms()))
            for launches, one in ((True, board), (False, clocked))
        }

    def measured(self, spec: LayerSpec) -> Iterator[Way]:
        for launches in (True, False):
            for candidate in self._likeliest(spec, launches):
                yield from self._on_qpus(candidate) if launches else self._on_cores(candidate)

    def modelled(self, spec: LayerSpec) -> Iterator[Way]:
        """The best of every pair of layouts and engine by the roofline."""
        for launches in (True, False):
            for candidate, time_s in self._best(spec, launches):
                work, bound = self._work(candidate), self._bound(candidate)
                yield Way(candidate, work, time_s, "modelled", bound)

    def _likeliest(self, spec: LayerSpec, launches: bool) -> list[Candidate]:
        ranked = self._best(spec, launches)
        return [candidate for candidate, time_s in ranked[:MEASURED] if time_s <= NEAR * ranked[0][1]]

    def _best(self, spec: LayerSpec, launches: bool) -> list[tuple[Candidate, float]]:
        """Of each pair of layouts the candidate that the roofline ranks first, the best first."""
        best: dict[Interface, tuple[Candidate, float]] = {}
        for algorithm in algorithms().values():
            if engine_named(algorithm.engine).launches != launches:
                continue
            for candidate, time_s in ranked_candidates(algorithm, spec, self._profile):
                interface = Interface.of(candidate)
                if interface not in best or time_s < best[interface][1]:
                    best[interface] = candidate, time_s
        return sorted(best.values(), key=lambda pair: pair[1])

    def _on_qpus(self, candidate: Candidate) -> Iterator[Way]:
        time_s, counters = self._timed(candidate, launches=True)
        bound = bound_of(counters, self._profile)
        name = bound.name if bound is not None else self._bound(candidate)
        yield Way(candidate, self._work(candidate), time_s, "simulated", name)

    def _on_cores(self, candidate: Candidate) -> Iterator[Way]:
        """By the AArch64 candidate of the same algorithm and layouts that the roofline ranks first; none where it has
        none.
        """
        algorithm, interface = algorithm_named(candidate.choice.algorithm), Interface.of(candidate)
        ranked = ranked_candidates(algorithm, candidate.spec, self._clocked_profile, threads=1)
        twin = next((one for one, _ in ranked if Interface.of(one) == interface), None)
        if twin is None:
            return
        one_core_s, _ = self._timed(twin, launches=False)
        work, threads = self._work(candidate), candidate.choice.threads
        compute_s = one_core_s * work.balance / threads
        memory_s = (work.streamed_bytes_read + work.bytes_written) / self._bytes_per_s if threads > 1 else 0.0
        met_s = self._profile.cpu_costs["thread_sync_s"].value if threads > 1 else 0.0
        bound = "memory" if memory_s > compute_s else "cores"
        yield Way(candidate, work, max(compute_s, memory_s) + met_s, "simulated", bound, one_core_s)

    def _timed(self, candidate: Candidate, launches: bool) -> tuple[float, Mapping[str, float]]:
        board, jobs = self._measure[launches]
        measurement = board.measure(jobs.job(candidate))
        assert measurement.output is not None, "boards that simulate compute"
        verdict = self._judge.judge(candidate, measurement.output)
        if not verdict.correct:
            raise CheckFailedError(
                f"{candidate.choice.algorithm} for {board.target.name}: {verdict.message}: do not use this kernel "
                "there; please report it"
            )
        return min(measurement.times_s), measurement.counters

    def _work(self, candidate: Candidate) -> Work:
        return algorithm_named(candidate.choice.algorithm).work(
            candidate.spec, self._profile.target(), candidate.choice
        )

    def _bound(self, candidate: Candidate) -> str:
        return self._roofline.terms(candidate, self._work(candidate)).bound_by


def layer_table(times: EngineTimes) -> StudyTable:
    """Every layer with multiply-accumulates: both engines' times, what binds them, and who wins by how much."""
    mixed = times.plan()
    chosen = {} if mixed is None else {step.node.name: step for step in mixed.steps if step.node is not None}
    rows = []
    for layer in times.layers:
        qpus, cores = layer.best(True), layer.best(False)
        if not layer.spec.macs or qpus is None or cores is None:
            continue
        winner, ratio = (
            (QPUS, cores.time_s / qpus.time_s)
            if qpus.time_s < cores.time_s
            else (CORES, qpus.time_s / cores.time_s)
        )
        runs = chosen.get(layer.name)
        rows.append(
            (
                layer.name if layer.count == 1 else f"{layer.name} ({layer.count} times)",
                f"{layer.spec.macs / 1e6:.1f}",
                *(f"{1e3 * time_s:.2f}" for time_s in (qpus.time_s, cores.one_core_s, cores.time_s)),
                f"{winner}, {ratio:.2f} times",
                qpus.bound,
                cores.bound,
                "-" if runs is None else _place(runs.timed.candidate),
            )
        )
    columns = (
        ("layer", LEFT), ("MACs, millions", RIGHT), ("QPUs, ms", RIGHT), ("one core, ms", RIGHT),
        (f"{times.profile.cores} cores, ms", RIGHT), ("faster", LEFT), ("QPUs bound by", LEFT),
        ("cores bound by", LEFT), ("mixed plan", LEFT),
    )  # fmt: skip
    return StudyTable(f"{times.network.name}: layers", columns, tuple(rows))


def plan_table(times: EngineTimes) -> StudyTable:
    """Plans of one engine and of both, and that of both where what is assumed is less or more."""
    rows = [
        _plan_row("cores alone", times.plan(engines=_engines(launches=False))),
        _plan_row("QPUs alone", times.plan(engines=_engines(launches=True))),
    ]
    for cores in FACTORS:
        for qpus in FACTORS:
            name = f"both, cores {cores:g} times, QPUs {qpus:g} times as long"
            rows.append(_plan_row(name, times.plan(cores=cores, qpus=qpus)))
    columns = (
        ("plan", LEFT),
        ("ms", RIGHT),
        ("layers on QPUs", RIGHT),
        ("launches", RIGHT),
        ("changes of layout, ms", RIGHT),
    )
    return StudyTable(f"{times.network.name}: plans", columns, tuple(rows))


def _plan_row(name: str, plan: Composition | None) -> tuple[str, ...]:
    if plan is None:
        return (name, "none", "-", "-", "-")
    layers = [step for step in plan.steps if step.node is not None and not step.is_free]
    on_qpus = sum(_launches(step.timed.candidate) for step in layers)
    changes_s = sum(step.time_s for step in plan.steps if step.node is None)
    return (
        name, f"{1e3 * plan.total_s:.1f}", f"{on_qpus} of {len(layers)}", str(plan.launches), f"{1e3 * changes_s:.1f}",
    )  # fmt: skip


def _engines(launches: bool) -> tuple[str, ...]:
    names = {algorithm.engine for algorithm in algorithms().values()}
    return tuple(sorted(name for name in names if engine_named(name).launches == launches))


def _launches(candidate: Candidate) -> bool:
    return engine_named(candidate.choice.engine).launches


def _place(candidate: Candidate) -> str:
    return QPUS if _launches(candidate) else CORES
