"""How many instructions a network takes on a board's CPU, counted under emulation, its outputs checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codegen.bundle import compile_bundle
from codegen.bundle.manifest import Manifest, bundle_sources, read_manifest
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.target import Target
from codegen.tensor import FloatArray
from explorer.errors import CheckFailedError
from explorer.measure.judge import relative_error
from explorer.plans.check import Trial, tolerance_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from microbench.boards.bundle_bench import run_bench
from microbench.emulation.emulator import EmulatedExecutor
from microbench.profile import DeviceProfile

LIMIT_S = 1800.0


@dataclass(frozen=True)
class InstructionCount:
    """Executed instructions of one inference; `error` is that of its outputs, relative to the largest one.

    `macs` are those of direct computation. `core` is what was emulated, in the emulator's words.
    """

    model: str
    device: str
    core: str
    algorithms: tuple[str, ...]
    instructions: int
    macs: int
    error: float
    tolerance: float

    @property
    def is_right(self) -> bool:
        return self.error <= self.tolerance

    @property
    def macs_per_instruction(self) -> float:
        return self.macs / self.instructions


def count_network(network: Network, profile: DeviceProfile, trial: Trial) -> InstructionCount:
    """Compiles the modelled plan of a network for one thread, compares its outputs and counts its instructions.

    Two runs less one: what loading takes is not counted; printing one more time per step is. Raises
    BoardError where the board cannot be emulated or the program fails.
    """
    executor, plan = EmulatedExecutor(profile.target()), modelled_plan(network, profile)
    with TemporaryDirectory(prefix="explore-bundle-") as scratch:
        bundle = Path(scratch) / "bundle"
        compile_bundle(network.graph, plan, profile.target(), bundle)
        once, outputs = _counted(executor, profile.target(), bundle, trial, 1)
        twice, _ = _counted(executor, profile.target(), bundle, trial, 2)
    return InstructionCount(
        model=network.name,
        device=profile.name,
        core=executor.core,
        algorithms=tuple(sorted({step.choice.algorithm for step in plan.steps if step.spec.macs})),
        instructions=twice - once,
        macs=sum(step.spec.macs for step in plan.steps),
        error=largest_error(outputs, trial),
        tolerance=tolerance_of(plan),
    )


def _counted(
    executor: EmulatedExecutor, target: Target, bundle: Path, trial: Trial, runs: int
) -> tuple[int, tuple[FloatArray, ...]]:
    """Instructions of the whole program with that many runs of the network, and its outputs."""
    manifest: Manifest = read_manifest(bundle)
    executable = compile_executable(bundle_sources(bundle, manifest, "none"), target, KERNEL_FLAGS)
    outputs, _ = run_bench(
        executor, executable, bundle, manifest, trial.inputs, runs=runs, warmup=0, limit_s=LIMIT_S
    )
    return executor.instructions, outputs


def require_right(counts: Iterable[InstructionCount]) -> None:
    """Raises CheckFailedError naming every network whose outputs are further off than its plan may be."""
    wrong = [
        f"{count.model} for {count.device} ({count.error:.3e})" for count in counts if not count.is_right
    ]
    if wrong:
        raise CheckFailedError(
            f"outputs are off by more of the largest output than is allowed: {', '.join(wrong)}: do not use these "
            "kernels there; please report it"
        )


def largest_error(outputs: Sequence[FloatArray], trial: Trial) -> float:
    """Of all outputs, relative to the largest value of each."""
    pairs = zip(outputs, trial.outputs, strict=True)
    return max(relative_error(out.reshape(wanted.shape), wanted.astype("f8")) for out, wanted in pairs)
