"""A virtual Pi without its server: what a run over SSH to one measures, in this process' reach."""

from __future__ import annotations

from pathlib import Path

from codegen.bundle.manifest import read_manifest
from codegen.engines.cpu.toolchain import compiler_identity
from codegen.tensor import AnyArray
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.boards.admission import admit
from microbench.boards.bundle_bench import time_bundle
from microbench.boards.bundle_stream import time_stream
from microbench.boards.cpu_harness import time_kernel
from microbench.boards.silicon import bundle_run
from microbench.boards.virtual import VirtualBoard
from microbench.boards.virtual_pi import in_whole_ns
from microbench.emulation.emulator import CANDIDATE_LIMIT_S
from microbench.profile import DeviceProfile
from microbench.protocol import MODELLED
from microbench.streams import StreamRequest, StreamRun
from microbench.virtual.build import software_name
from microbench.virtual_pi.executor import PiExecutor


class EmulatedPiBoard(VirtualBoard):
    """QPU programs as on the virtual board; programs for the CPU, and bundles, under qemu-user by the clock of a
    virtual Pi, an instruction a cycle. All times are `simulated`, and the same every time.
    """

    name = "emulated"

    def __init__(self, profile: DeviceProfile) -> None:
        """Raises as `PiExecutor`."""
        self._guest = PiExecutor(profile)
        super().__init__(profile, called="a virtual Pi without its server")

    def fingerprint(self) -> Fingerprint:
        """Names compiler and simulator, and by the release the constants and the clock; nothing of this machine."""
        compiler = f"{compiler_identity(self.profile.compiler_target)} {' '.join(self.target.compiler[1:])}"
        return Fingerprint(
            f"emulated {self.profile.name}",
            self.profile.hash,
            self.target.v3d_clock_hz,
            f"{software_name()}, {compiler}",
            kernel=self._guest.release,
            cpu_clock_hz=self.profile.cpu_cost("clock_hz"),
        )

    def describe(self) -> str:
        return (
            f"{self._called}, no silicon.\n"
            f"Its QPUs are simulated ({software_name()}), its CPU is emulated, its clock is an instruction a cycle."
        )

    def kind_of(self, engine: str) -> Kind:
        return "simulated"

    def measure(self, job: Job) -> Measurement:
        """Raises as the virtual board does, and CandidateError where a program for the CPU crashes or hangs."""
        if job.program.kind != "cpu":
            return super().measure(job)
        admit(job, self.target)
        output, times_s = time_kernel(job, job.program, self.target, self._guest, MODELLED, CANDIDATE_LIMIT_S)
        return in_whole_ns(Measurement(times_s, "simulated", output))

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """As a virtual Pi does: cross-compiled, its launches through the mailbox."""
        outputs, report = time_bundle(self._guest, self.target, bundle, _platform(bundle), inputs)
        return bundle_run(outputs, report, "simulated")

    def stream_bundle(self, bundle: Path, request: StreamRequest) -> StreamRun:
        """As a virtual Pi does."""
        return time_stream(self._guest, self.target, bundle, _platform(bundle), request, "simulated")

    @property
    def directory(self) -> Path:
        """The emulated machine's files."""
        return self._guest.directory

    def close(self) -> None:
        """Removes them."""
        self._guest.close()


def _platform(bundle: Path) -> str:
    return "none" if read_manifest(bundle).gpu is None else "mailbox"
