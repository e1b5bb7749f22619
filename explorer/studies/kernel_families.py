"""Executed instructions of row-major CPU kernels beside those of the kernels on blocks of channels, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.algorithm import Algorithm, algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.blocked.kernel import BlockedKernel
from codegen.graph import LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Candidate
from explorer.errors import CheckFailedError
from explorer.measure.jobs import JobBuilder
from explorer.measure.judge import Judge
from explorer.search.roofline_ranking import ranked_candidates
from microbench.boards.cpu_harness import time_kernel
from microbench.emulation.emulator import CANDIDATE_LIMIT_S, EmulatedExecutor
from microbench.profile import DeviceProfile
from microbench.protocol import Timing

SEED = 0
ONE_CALL = Timing(warm_up_s=0.0, minimum_total_s=0.0)
SLOWEST_MACS_PER_S = 0.5e6  # emulated, on a machine that others keep busy
# Further blocked kernels have no row-major twin.
KERNELS = (
    "cpu_conv_direct",
    "cpu_conv_im2col",
    "cpu_pointwise_gemm",
    "cpu_conv_transpose",
    "cpu_pool",
    "cpu_blocked_conv",
    "cpu_blocked_depthwise",
    "cpu_blocked_conv_transpose",
    "cpu_blocked_pool",
    "cpu_blocked_fully_connected",
)


@dataclass(frozen=True)
class KernelCount:
    """Instructions of one call of a kernel; `lanes` channels a block, None where its tensors are row-major.

    The candidate is that with the fewest among the counted ones.
    """

    layer: str
    candidate: Candidate
    lanes: int | None
    instructions: int


def count_families(
    profile: DeviceProfile, layers: Mapping[str, LayerSpec], points: int
) -> Iterator[KernelCount]:
    """For every layer each row-major kernel, and each blocked one with one lane and with as many as the target has.

    Of each the `points` candidates of one thread that the roofline ranks first are counted. Raises BoardError where
    the board cannot be emulated, CandidateError where a program fails, CheckFailedError where an output is wrong.
    """
    executor, judge = EmulatedExecutor(profile.target()), Judge(SEED)
    for name, spec in layers.items():
        for algorithm, lanes in _variants(profile):
            ranked = ranked_candidates(algorithm, spec, profile, threads=1)
            counts = [
                KernelCount(name, candidate, lanes, _counted(algorithm, candidate, profile, executor, judge))
                for candidate, _ in ranked[:points]
            ]
            if counts:
                yield min(counts, key=lambda count: count.instructions)


def limit_s(spec: LayerSpec, repeats: int) -> float:
    """Seconds of this machine after which so many emulated calls of a layer's kernel hang."""
    return CANDIDATE_LIMIT_S + repeats * spec.macs / SLOWEST_MACS_PER_S


def fewest_row_major(counts: Sequence[KernelCount]) -> Mapping[str, int]:
    """For each layer the instructions of the row-major kernel that needs fewest."""
    fewest: dict[str, int] = {}
    for count in counts:
        if count.lanes is None:
            fewest[count.layer] = min(count.instructions, fewest.get(count.layer, count.instructions))
    return fewest


def _variants(profile: DeviceProfile) -> Iterator[tuple[Algorithm, int | None]]:
    known = algorithms()
    for name in KERNELS:
        algorithm = known.get(name)
        if isinstance(algorithm, BlockedKernel):
            for lanes in (1, algorithm.lanes(profile.target())):
                yield type(algorithm)(lanes), lanes
        elif algorithm is not None:
            yield algorithm, None


def _counted(
    algorithm: Algorithm,
    candidate: Candidate,
    profile: DeviceProfile,
    executor: EmulatedExecutor,
    judge: Judge,
) -> int:
    """Two repeats less one: what loading takes is not counted."""
    assert isinstance(algorithm, CpuAlgorithm)
    job = JobBuilder(profile.target(), SEED, {algorithm.name: algorithm}).job(candidate)
    assert isinstance(job.program, CpuProgram)
    counts = []
    for repeats in (1, 2):
        output, _ = time_kernel(
            replace(job, repeats=repeats),
            job.program,
            profile.target(),
            executor,
            ONE_CALL,
            limit_s(candidate.spec, repeats),
        )
        counts.append(executor.instructions)
    verdict = judge.judge(candidate, output)
    if not verdict.correct:
        raise CheckFailedError(
            f"{algorithm.name} for {profile.name}: {verdict.message}: do not use this kernel there; please report it"
        )
    return counts[1] - counts[0]
