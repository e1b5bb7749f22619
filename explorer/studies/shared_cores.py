"""Two threads on unequal CPUs: a static split of layers beside parts that threads take over, and finer parts."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from codegen.algorithm import algorithm_named
from codegen.bundle import compile_bundle
from codegen.bundle.manifest import bundle_sources, read_manifest
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.errors import ScheduleError
from codegen.plan import Plan, PlanStep
from codegen.target import Target
from codegen.tensor import AnyArray
from explorer.errors import UsageError
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.progress import Progress
from microbench.boards.bundle_bench import BUNDLE_LIMIT_S, run_bench
from microbench.boards.execution import LocalExecutor
from microbench.profile import DeviceProfile

INTRODUCTION = (
    "A network in two threads on this machine, written by `explore bench threads`, with both CPUs free and with one "
    "shared with a busy process. Plans are modelled ones; whatever else the machine does disturbs all ways alike."
)
THREADS, FINER = 2, 4
ALONE, STATIC, TAKEN = "one thread", "static split", "parts taken over"
FINE = f"{FINER} parts a thread, taken over"
STATIC_FLAG = "-DPOOL_TAKES_OVER=0"
BUSY = "import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True:\n    pass\n"


@dataclass(frozen=True, eq=False)
class Way:
    """A compiled way to run a network; `times_s` by whether a CPU is shared: the mean run of every turn."""

    name: str
    program: Path
    bundle: Path
    cpus: frozenset[int]
    times_s: Mapping[bool, list[float]]

    def median_s(self, is_shared: bool) -> float:
        """Of the turns."""
        return statistics.median(self.times_s[is_shared])


def finer(plan: Plan, target: Target) -> Plan:
    """The same plan with `FINER` parts a thread, in every step whose algorithm takes that many."""
    parts = THREADS * FINER
    divided = replace(target, cores=parts)
    return plan.model_copy(update={"steps": tuple(_divided(step, divided, parts) for step in plan.steps)})


def _divided(step: PlanStep, target: Target, parts: int) -> PlanStep:
    choice = step.choice
    if choice.threads != THREADS:
        return step
    point = {**choice.splits, **choice.tiles, "threads": parts}
    try:
        finer_choice = algorithm_named(choice.algorithm).choice(step.spec, target, point)
    except ScheduleError:
        return step
    return step.model_copy(update={"choice": finer_choice})


def ways_of(network: Network, profile: DeviceProfile, place: Path) -> list[Way]:
    """One thread on the CPU that will be shared, two threads by a static split, taking over, and with finer parts.

    Raises UsageError where this process may not run on two CPUs, otherwise as `modelled_plan` and `compile_bundle`.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < THREADS:
        raise UsageError(f"two threads need two CPUs, and this process may run on {len(cpus)}")
    target, both = profile.target(), frozenset(cpus[:THREADS])
    plans = {threads: modelled_plan(network, profile, threads) for threads in (1, THREADS)}
    wanted: tuple[tuple[str, Plan, tuple[str, ...], frozenset[int]], ...] = (
        (ALONE, plans[1], (), frozenset(cpus[1:THREADS])),
        (STATIC, plans[THREADS], (STATIC_FLAG,), both),
        (TAKEN, plans[THREADS], (), both),
        (FINE, finer(plans[THREADS], target), (), both),
    )
    ways = []
    for number, (name, plan, flags, own) in enumerate(wanted):
        bundle = place / f"{network.name}-{number}"
        manifest = compile_bundle(network.graph, plan, target, bundle)
        sources = bundle_sources(bundle, manifest, "none")
        program = compile_executable(sources, target, (*KERNEL_FLAGS, *pool_flags(manifest.files), *flags))
        ways.append(Way(name, program, bundle, own, {False: [], True: []}))
    return ways


def time_ways(
    ways: Sequence[Way], inputs: tuple[AnyArray, ...], turns: int, runs: int, seed: int, progress: Progress
) -> None:
    """Runs every way in every turn, in a new random order, with both CPUs free and with one of them shared."""
    order, shared_cpu = random.Random(seed), max(ways[0].cpus)
    progress.expect(2 * turns)
    for _ in range(turns):
        for is_shared in (False, True):
            for way in order.sample(list(ways), len(ways)):
                with _shared(shared_cpu if is_shared else None), _kept_to(way.cpus):
                    way.times_s[is_shared].append(_mean_run_s(way, inputs, runs))
            progress.done()


def _mean_run_s(way: Way, inputs: tuple[AnyArray, ...], runs: int) -> float:
    manifest = read_manifest(way.bundle)
    _, report = run_bench(
        LocalExecutor(),
        way.program,
        way.bundle,
        manifest,
        inputs,
        runs=runs,
        warmup=2,
        limit_s=BUNDLE_LIMIT_S,
    )
    return statistics.fmean(report.wall_s)


@contextmanager
def _shared(cpu: int | None) -> Iterator[None]:
    """A process that keeps a CPU busy meanwhile."""
    if cpu is None:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", BUSY.format(cpu=cpu)]) as busy:
        try:
            yield
        finally:
            busy.kill()


@contextmanager
def _kept_to(cpus: frozenset[int]) -> Iterator[None]:
    """What this thread starts meanwhile runs there alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores_table(network: str, ways: Sequence[Way]) -> StudyTable:
    """Times of all ways beside the static split with free CPUs, and beside the ideal with a shared one."""
    alone, static = ways[0], ways[1]
    speed = alone.median_s(False) / alone.median_s(True)
    ideal_s = static.median_s(False) * 2.0 / (1.0 + speed)
    rows = tuple(
        (
            way.name,
            f"{way.median_s(False) * 1e3:.3f}",
            f"{way.median_s(False) / static.median_s(False):.3f}" if way is not alone else "-",
            f"{way.median_s(True) * 1e3:.3f}",
            f"{way.median_s(True) / ideal_s:.3f}" if way is not alone else "-",
        )
        for way in ways
    )
    columns = (
        ("way", LEFT),
        ("free, ms", RIGHT),
        ("/ static", RIGHT),
        ("shared, ms", RIGHT),
        ("/ ideal", RIGHT),
    )
    notes = (
        f"{len(static.times_s[False])} turns in random order, medians of the turns' mean runs. Shared: a busy process "
        f"on one of the two CPUs, which gives one thread there {speed:.2f} of its speed; the ideal, "
        f"{ideal_s * 1e3:.3f} ms, is the static split's time with free CPUs by the sum of both CPUs' speeds.",
    )
    return StudyTable(f"{network} in two threads", columns, rows, notes)
