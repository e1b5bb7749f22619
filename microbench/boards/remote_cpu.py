"""Another computer's CPU: the host board's programs, run elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from codegen.engines.cpu.toolchain import compiler_identity
from codegen.tensor import FloatArray
from microbench.board import BundleRun, Fingerprint, Job, Measurement
from microbench.boards.host import HostBoard
from microbench.boards.ssh_runner import RemoteRunner
from microbench.profile import DeviceProfile


class RemoteCpuBoard(HostBoard):
    """Times are that computer's clock: of kind `silicon` where it is a Raspberry Pi, by its own word, else `host`."""

    name = "ssh"

    def __init__(self, profile: DeviceProfile, remote: RemoteRunner) -> None:
        self._unpinned = remote.pinned(0)
        super().__init__(profile, executor=self._unpinned)
        self._info = remote.info
        self._remote = remote
        self.kind = "silicon" if remote.info.is_raspberry_pi else "host"
        self.target = replace(self.target, cores=profile.cores or remote.info.cores)

    def measure(self, job: Job) -> Measurement:
        """The kernel keeps to as many cores as it has threads. Raises as the host board does."""
        executor = self._remote.pinned(job.candidate.choice.threads)
        output, times_s = self.timed(job, executor)
        taken = tuple(readings.conditions() for readings in executor.readings)
        return Measurement(times_s, self.kind, output, conditions=taken)

    def run_bundle(self, bundle: Path, inputs: tuple[FloatArray, ...]) -> BundleRun:
        """As the host board does."""
        return replace(super().run_bundle(bundle, inputs), conditions=self._unpinned.conditions)

    def fingerprint(self) -> Fingerprint:
        """Names that board or CPU, and its kernel; programs are compiled here."""
        info = self._info
        compiler = compiler_identity(self.profile.compiler_target)
        software = f"{compiler} {' '.join(self.target.compiler[1:])}"
        model = f"ssh {info.machine} {info.board or info.cpu}"
        return Fingerprint(model, self.profile.hash, 0.0, software, **self._remote.identity)
