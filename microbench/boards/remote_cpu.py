"""Another computer's CPU, of this machine's architecture: the host board's programs, run elsewhere."""

from __future__ import annotations

from dataclasses import replace

from codegen.cpu.toolchain import compiler_identity
from codegen.program import CpuProgram
from microbench.board import Fingerprint, Job, Measurement
from microbench.boards.admission import admit
from microbench.boards.cpu_harness import time_kernel
from microbench.boards.host import HostBoard
from microbench.boards.ssh_runner import RemoteRunner
from microbench.errors import CandidateError
from microbench.profile import DeviceProfile


class RemoteCpuBoard(HostBoard):
    """Times are that computer's clock (kind `host`)."""

    name = "ssh"

    def __init__(self, profile: DeviceProfile, remote: RemoteRunner) -> None:
        super().__init__(profile, executor=remote)
        self._info = remote.info
        self._remote = remote
        self.target = replace(self.target, cores=profile.cores or remote.info.cores)

    def measure(self, job: Job) -> Measurement:
        """The kernel keeps to as many cores as it has threads. Raises as the host board does."""
        admit(job, self.target)
        if not isinstance(job.program, CpuProgram):
            raise CandidateError(f"candidate {job.candidate.hash[:12]}: that machine has no QPUs")
        executor = self._remote.pinned(job.program.threads)
        output, times_s = time_kernel(job, job.program, self.target, executor)
        taken = tuple(readings.conditions() for readings in executor.readings)
        return Measurement(times_s, "host", output, conditions=taken)

    def fingerprint(self) -> Fingerprint:
        """Names that CPU and kernel; programs are compiled here."""
        compiler = compiler_identity(self.profile.compiler_target)
        software = f"{compiler} {' '.join(self.target.compiler[1:])}, Linux {self._info.kernel}"
        return Fingerprint(f"ssh {self._info.machine} {self._info.cpu}", self.profile.hash, 0.0, software)
