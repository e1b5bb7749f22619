"""Networks of this project's plans on boards in 32-bit state: the modelled clock beside the tables of costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codegen.bundle import compile_bundle
from codegen.bundle.manifest import bundle_sources, read_manifest
from codegen.canonical import content_hash
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.plan import Plan
from explorer.plans.check import Trial, tolerance_of, trials_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from explorer.studies.executed_instructions import largest_error
from explorer.studies.own_clock import LIMIT_S
from explorer.studies.zoo_networks import network_named
from microbench.boards.bundle_bench import run_bench
from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_loops import loops_of, modelled_cycles
from microbench.emulation.core_model import ASSUMED
from microbench.emulation.core_model_32 import CoreModel32, load_core_32
from microbench.emulation.judges.judge import is_judged
from microbench.emulation.judges.programs_32 import load_programs, modelled_s
from microbench.profile import DeviceProfile

DEVICES = ("pi-zero", "pi-2", "pi-3")
NETWORKS = ("mobilenet_v1", "mobilenet_v2", "squeezenet", "resnet18")
PIXELS, VARIED_NETWORK, VARIED_PIXELS = 224, "squeezenet", 96
FACTORS = (0.75, 1.5)


@dataclass(frozen=True)
class StepTime:
    """A step of a plan: seconds by the table of costs and by the clock."""

    name: str
    algorithm: str
    table_s: float
    clock_s: float


@dataclass(frozen=True)
class ClockedNetwork:
    """One inference after another one, in seconds; `error` of its outputs, relative to the largest."""

    device: str
    network: str
    error: float
    tolerance: float
    steps: tuple[StepTime, ...]

    @property
    def table_s(self) -> float:
        return sum(step.table_s for step in self.steps)

    @property
    def clock_s(self) -> float:
        return sum(step.clock_s for step in self.steps)

    @property
    def is_right(self) -> bool:
        return self.error <= self.tolerance

    def furthest(self, count: int) -> tuple[StepTime, ...]:
        """The steps whose two times are most seconds apart."""
        return tuple(sorted(self.steps, key=lambda step: -abs(step.clock_s - step.table_s))[:count])


@dataclass(frozen=True)
class CoreRow:
    """A core's model: how many of its constants are assumed, loops within their tolerance, programs by name with
    published and modelled seconds.
    """

    model: CoreModel32
    constants: int
    assumed: int
    loops: int
    off: tuple[tuple[str, float, float], ...]
    programs: tuple[tuple[str, float, float], ...]

    @property
    def is_judged(self) -> bool:
        return is_judged(tuple(modelled / published for _, published, modelled in self.programs))


@dataclass(frozen=True)
class Varied:
    """Seconds of a small network as the core's model is, and with a part of what it assumes at each of `FACTORS`."""

    device: str
    what: str
    time_s: float
    times_s: tuple[float, ...]


class Journal:
    """Finished runs in a directory, by what they were of."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def kept(self, key: Sequence[object], run: Callable[[], object]) -> object:
        """JSON of an earlier run, or of this one, which is kept."""
        path = self._directory / f"{content_hash(list(key))}.json"
        if not path.is_file():
            content = json.dumps(run())
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))


def core_row(profile: DeviceProfile, journal: Journal) -> CoreRow:
    """The model of a device's core beside its loops and programs; raises BoardError where the emulator is missing."""
    model = load_core_32(profile.cpu)
    constants = (*model.pipeline.values(), *model.memory.values())
    sources = [one.source for one in constants] + [row.source for row in model.classes.values()]
    loops = loops_of(model)
    cycles = modelled_cycles(model, loops)
    off = tuple(
        (name, loop.cycles, cycles[name])
        for name, loop in loops.items()
        if abs(cycles[name] - loop.cycles) > loop.tolerance
    )
    programs = []
    for name, one in load_programs(model.name).items():
        key = ("program", model.hash, name, one.clock_hz)
        time_s = journal.kept(key, lambda: modelled_s(model, name, one.clock_hz, profile.target()))  # noqa: B023
        assert isinstance(time_s, float)
        programs.append((name, one.published_s, time_s))
    assumed = sum(source.startswith("assumed") for source in sources)
    return CoreRow(model, len(sources), assumed, len(loops), off, tuple(programs))


def clocked_networks(
    profile: DeviceProfile, names: Sequence[str], journal: Journal, tell: Callable[[str], None]
) -> Iterator[ClockedNetwork]:
    """Each network by the plan that the table's costs compose for one thread; raises BoardError where it fails."""
    model = load_core_32(profile.cpu)
    for name in names:
        with network_named(name, PIXELS) as network:
            yield _clocked(network, profile, model, journal, tell)


def varied(profile: DeviceProfile, journal: Journal, tell: Callable[[str], None]) -> Iterator[Varied]:
    """The small network with each part of what the core's model assumes at each factor."""
    model = load_core_32(profile.cpu)
    with network_named(VARIED_NETWORK, VARIED_PIXELS) as network:
        time_s = _clocked(network, profile, model, journal, tell).clock_s
        for what in ASSUMED:
            cores = [model.with_assumed(what, factor) for factor in FACTORS]
            times = tuple(_clocked(network, profile, core, journal, tell).clock_s for core in cores)
            yield Varied(profile.name, what, time_s, times)


def _clocked(
    network: Network,
    profile: DeviceProfile,
    model: CoreModel32,
    journal: Journal,
    tell: Callable[[str], None],
) -> ClockedNetwork:
    plan = modelled_plan(network, profile)
    steps = plan.model_dump_json(include={"steps", "model_sha256", "device"})
    key = ("network", model.hash, profile.hash, steps)

    def run() -> object:
        tell(f"{network.name} for {profile.name}, model {model.hash}")
        (trial,) = trials_of(network, seed=0, count=1)
        return asdict(_run(network, profile, model, plan, trial))

    content = journal.kept(key, run)
    assert isinstance(content, dict)
    return ClockedNetwork(**{**content, "steps": tuple(StepTime(**step) for step in content["steps"])})


def _run(
    network: Network, profile: DeviceProfile, model: CoreModel32, plan: Plan, trial: Trial
) -> ClockedNetwork:
    executor = ClockedExecutor(model, profile.cpu_cost("clock_hz"))
    with TemporaryDirectory(prefix="explore-bundle-") as scratch:
        bundle = Path(scratch) / "bundle"
        compile_bundle(network.graph, plan, profile.target(), bundle)
        manifest = read_manifest(bundle)
        program = compile_executable(bundle_sources(bundle, manifest, "none"), profile.target(), KERNEL_FLAGS)
        outputs, report = run_bench(
            executor, program, bundle, manifest, trial.inputs, runs=1, warmup=1, limit_s=LIMIT_S
        )
    clock_s = {step.name: time_s for step in report.steps for time_s in step.times_s if time_s is not None}
    return ClockedNetwork(
        device=profile.name,
        network=network.name,
        error=largest_error(outputs, trial),
        tolerance=tolerance_of(plan),
        steps=tuple(
            StepTime(step.name, step.choice.algorithm, step.predicted_s, clock_s[step.name])
            for step in plan.steps
        ),
    )
