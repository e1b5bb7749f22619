"""This project's own plans of networks under a modelled core's clock, their outputs checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codegen.bundle import compile_bundle
from codegen.bundle.manifest import bundle_sources, read_manifest
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.plan import Plan
from explorer.plans.check import Trial, tolerance_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from explorer.studies.executed_instructions import largest_error
from microbench.boards.bundle_bench import run_bench
from microbench.boards.execution import Finished
from microbench.emulation.clock import ClockedExecutor, ClockReport
from microbench.emulation.core_model import CoreModel
from microbench.errors import BoardError
from microbench.profile import DeviceProfile

LIMIT_S = 1800.0


@dataclass(frozen=True)
class OwnRun:
    """One inference of a network by a plan.

    `time_s` of a run after another one; `counts` and `instructions` of that run alone, printing its time included.
    """

    model: str
    time_s: float
    instructions: int
    counts: dict[str, int]
    error: float
    tolerance: float

    @property
    def is_right(self) -> bool:
        return self.error <= self.tolerance


class _Reporting:
    """An executor that keeps what the last program took."""

    def __init__(self, executor: ClockedExecutor) -> None:
        self._executor = executor
        self.report: ClockReport | None = None

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `Executor`."""
        finished, self.report = self._executor.clocked(executable, arguments, files, outputs, limit_s)
        return finished


def clock_network(
    network: Network,
    profile: DeviceProfile,
    core: CoreModel,
    clock_hz: float,
    trial: Trial,
    plan: Plan | None = None,
) -> OwnRun:
    """Compiles a plan of a network, or for one thread the one that the roofline model composes, and runs it by the
    clock of a core.

    Raises BoardError where the board cannot be emulated or the program fails.
    """
    plan = plan or modelled_plan(network, profile)
    threads = max(step.choice.threads for step in plan.steps)
    executor = _Reporting(ClockedExecutor(core, clock_hz, threads=threads))
    with TemporaryDirectory(prefix="explore-bundle-") as scratch:
        bundle = Path(scratch) / "bundle"
        compile_bundle(network.graph, plan, profile.target(), bundle)
        manifest = read_manifest(bundle)
        program = compile_executable(bundle_sources(bundle, manifest, "none"), profile.target(), KERNEL_FLAGS)
        reports: list[ClockReport] = []
        for warmup in (0, 1):
            outputs, bench = run_bench(
                executor, program, bundle, manifest, trial.inputs, runs=1, warmup=warmup, limit_s=LIMIT_S
            )
            if executor.report is None:
                raise BoardError(f"{network.name}: the program said nothing of what it took")
            reports.append(executor.report)
    once, twice = reports
    return OwnRun(
        model=network.name,
        time_s=bench.wall_s[0],
        instructions=twice.instructions - once.instructions,
        counts={name: count - once.counts[name] for name, count in twice.counts.items()},
        error=largest_error(outputs, trial),
        tolerance=tolerance_of(plan),
    )
