"""A board's CPU under emulation by a modelled core's clock: real programs, their outputs, and simulated times."""

from __future__ import annotations

from dataclasses import replace

from codegen.engines.cpu.toolchain import compiler_identity
from codegen.errors import ToolchainError
from microbench.board import Board, Fingerprint, Job, Kind, Measurement
from microbench.boards.emulated_pi import EmulatedPiBoard
from microbench.boards.host import HostBoard
from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_model_out_of_order import known_cores_64, load_core_64
from microbench.emulation.emulator import CANDIDATE_LIMIT_S
from microbench.errors import BoardError
from microbench.options import BoardOptions
from microbench.profile import DeviceProfile
from microbench.protocol import MODELLED


class EmulatedBoard(HostBoard):
    """Programs for AArch64 run under qemu-user, and the clock that they read is the core model's (`simulated`).

    Threads have a modelled core each, as many as the profile has and the model is judged with. Times are the same every
    time, and any number of boards may measure at once.
    """

    name = "emulated"
    reads_clock = False
    kind: Kind = "simulated"
    timing = MODELLED
    candidate_limit_s = CANDIDATE_LIMIT_S
    bundle_runs = 1

    def __init__(self, profile: DeviceProfile) -> None:
        """Raises BoardError where this machine lacks the emulator, ProfileError for a core without a model."""
        self._model = load_core_64(profile.cpu)
        self._clock_hz = profile.cpu_cost("clock_hz")
        threads = min(profile.target().cores, self._model.judged_threads)
        super().__init__(profile, ClockedExecutor(self._model, self._clock_hz, threads=threads))  # of bundles
        self._kernels = ClockedExecutor(self._model, self._clock_hz, wakes_at_yield=True, threads=threads)
        self.target = replace(self.target, cores=threads)

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> Board:
        """The emulated board of a profile, of one with QPUs a virtual Pi without its server; raises BoardError for one
        of neither kind.
        """
        if profile.v3d:
            return EmulatedPiBoard(profile)
        if profile.cpu not in known_cores_64() or not profile.compiler_target.startswith("aarch64"):
            raise BoardError(
                f"profile {profile.name!r} ({profile.cpu}, {profile.compiler_target or 'this machine'}) has no "
                f"modelled clock: there is one of {', '.join(known_cores_64())} in 64-bit state; take "
                "--device pi-3-64 or pi-4, or a board over SSH by --ssh user@host"
            )
        return cls(profile)

    def fingerprint(self) -> Fingerprint:
        """Names the model, by its hash, and the compiler; nothing of this machine."""
        try:
            compiler = compiler_identity(self.profile.compiler_target)
        except ToolchainError as error:
            raise BoardError(str(error)) from error
        return Fingerprint(
            f"emulated {self.profile.name}",
            self.profile.hash,
            0.0,
            f"clock model {self._model.hash} of a {self._model.name}, {compiler} {' '.join(self.target.compiler[1:])}",
            cpu_clock_hz=self._clock_hz,
        )

    def describe(self) -> str:
        return (
            f"a {self._model.name} under qemu-user, no silicon.\n"
            f"Times are those of modelled clocks of {self.target.cores} cores at {self._clock_hz / 1e9:g} GHz "
            f"(model {self._model.hash})."
        )

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError as `timed`."""
        output, times_s = self.timed(job, self._kernels)
        return Measurement(times_s, self.kind, output)
