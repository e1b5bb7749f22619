"""The right runner for what answers at the other end: built here, uploaded once, started and greeted."""

from __future__ import annotations

import platform
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from codegen.cpu.toolchain import compiler_identity
from codegen.graph import FloatArray
from codegen.program import GpuProgram
from microbench.boards.execution import Finished
from microbench.boards.ssh_link import SshLink
from microbench.boards.subprocesses import Ended, ended_with
from microbench.errors import BoardError
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
from microbench.runner.build import Backend, build_runner, content_sha256
from microbench.runner.client import ExecutableAbsentError, RunnerClient
from microbench.runner.frames import Ending
from microbench.runner.messages import Execution, ExecutionRequest, GpuRun, RunnerInfo
from microbench.virtual.build import THIS_MACHINE, software_name
from microbench.virtual.bundle import LAUNCH_LIMIT_S
from microbench.virtual.library import config_values, library

IDLE_LIMIT_S = 4 * 3600  # a search may think for long; a forgotten runner still ends
GPU_LIMIT_S = 600.0  # of wall-clock time for one candidate
ARM_MACHINES = ("armv6l", "armv7l", "armv8l")


class RemoteRunner:
    """A runner on a board reached over SSH, greeted and ready. Raises BoardError when it is not."""

    def __init__(self, profile: DeviceProfile, options: SshOptions) -> None:
        self._options = options
        self._link = SshLink(options)
        self._client: RunnerClient | None = None
        try:
            self.machine = self._link.run(("uname", "-m"))
            self.backend = backend_for(profile, self.machine, options)
            self._runner = self._start(_build(self.backend, profile))
            self.info: RunnerInfo = self._runner.hello(_constants(self.backend, profile))
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """How messages name the board."""
        return self._link.place

    def run(self, program: GpuProgram, inputs: Sequence[FloatArray], repeats: int) -> GpuRun:
        """A program on the GPU there (`Gpu`)."""
        return self._runner.run_gpu(program, inputs, repeats, LAUNCH_LIMIT_S, GPU_LIMIT_S)

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """A program on the CPU there (`Executor`); it is uploaded where it is not there yet."""
        name = content_sha256(executable)
        request = ExecutionRequest(name, tuple(arguments), files, tuple(outputs), limit_s)
        try:
            execution = self._runner.execute(request)
        except ExecutableAbsentError:
            self._link.upload(executable.read_bytes(), self._bin(), name)
            execution = self._runner.execute(request)
        return _finished(execution, limit_s)

    def close(self) -> None:
        """Ends the runner and the connection; harmless when they are gone."""
        if self._client is not None:
            self._client.close()
        self._link.close()

    def _bin(self) -> str:
        return posixpath.join(self._options.remote_directory, "bin")

    def _start(self, executable: Path) -> RunnerClient:
        name = content_sha256(executable)
        program = self._link.upload(executable.read_bytes(), self._bin(), name)
        command = (program, self._options.remote_directory, str(IDLE_LIMIT_S))
        self._client = RunnerClient(self._link.start(command), self.place, self._options.timeout_s)
        return self._client


def backend_for(profile: DeviceProfile, machine: str, options: SshOptions) -> Backend:
    """Which GPU the runner gets, from the profile and what `uname -m` says there.

    Raises BoardError where no runner can be built for that machine, or the wish contradicts it.
    """
    own = machine == platform.machine()
    place = f"{options.host} ({machine})"
    if profile.board == "host":
        if not own:
            raise BoardError(
                f"{place} is not of this machine's kind ({platform.machine()}): choose its own profile"
            )
        return "none"
    wanted = options.backend or ("virtual" if own else "mailbox")
    if wanted == "virtual" and not own:
        raise BoardError(
            f"{place} cannot run the virtual board built on {platform.machine()}; use its own GPU"
        )
    if wanted == "mailbox" and machine not in ARM_MACHINES:
        known = ", ".join(ARM_MACHINES)
        raise BoardError(
            f"{place} is no Raspberry Pi with a 32-bit system ({known}), so it has no firmware mailbox"
        )
    return wanted


def _build(backend: Backend, profile: DeviceProfile) -> Path:
    if backend == "virtual":
        return build_runner(backend, software_name())
    target = THIS_MACHINE if backend == "none" else profile.target()
    return build_runner(backend, f"runner built by {compiler_identity(target.compiler[0])}", target)


def _constants(backend: Backend, profile: DeviceProfile) -> Sequence[float]:
    return tuple(config_values(profile, library().config_names)) if backend == "virtual" else ()


def _finished(execution: Execution, limit_s: float) -> Finished:
    written = {name: content for name, content in execution.outputs.items() if content is not None}
    if execution.ending == Ending.LIMIT:
        return Finished(Ended(None, f"did not end within {limit_s:g} s"), written)
    code = -execution.code if execution.ending == Ending.SIGNAL else execution.code
    return Finished(ended_with(code, execution.stderr), written)
