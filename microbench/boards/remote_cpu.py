"""Another computer's CPU, of this machine's architecture: the host board's programs, run elsewhere."""

from __future__ import annotations

from dataclasses import replace

from codegen.cpu.toolchain import compiler_identity
from microbench.board import Fingerprint
from microbench.boards.host import HostBoard
from microbench.boards.ssh_runner import RemoteRunner
from microbench.profile import DeviceProfile


class RemoteCpuBoard(HostBoard):
    """Times are that computer's clock (kind `host`)."""

    name = "ssh"

    def __init__(self, profile: DeviceProfile, remote: RemoteRunner) -> None:
        super().__init__(profile, executor=remote)
        self._info = remote.info
        self.target = replace(self.target, cores=profile.cores or remote.info.cores)

    def fingerprint(self) -> Fingerprint:
        """Names that CPU and kernel; programs are compiled here."""
        compiler = compiler_identity(self.profile.compiler_target)
        software = f"{compiler} {' '.join(self.target.compiler[1:])}, Linux {self._info.kernel}"
        return Fingerprint(f"ssh {self._info.machine} {self._info.cpu}", self.profile.hash, 0.0, software)
