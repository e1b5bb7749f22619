"""A board reached over SSH: the same programs, measured the same way, run by a runner at the other end."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from codegen.target import Target
from codegen.tensor import AnyArray
from microbench.board import Board, BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.boards.execution import Executor
from microbench.boards.gpu_launcher import GpuLauncher
from microbench.boards.remote_cpu import RemoteCpuBoard
from microbench.boards.silicon import SiliconBoard
from microbench.boards.ssh_runner import RemoteRunner
from microbench.boards.stand_in import StandInBoard
from microbench.boards.virtual import VirtualBoard
from microbench.boards.virtual_pi import VirtualPiBoard, VirtualPiCpuBoard
from microbench.errors import BoardError
from microbench.options import BoardOptions, OwnOptions, SshOptions
from microbench.profile import DeviceProfile
from microbench.streams import StreamRequest, StreamRun, stream_on
from microbench.virtual.build import software_name


class SshBoard:
    """What kind its times are depends on what answers: a simulator, a Raspberry Pi, or a computer without QPUs.

    With a simulator at the other end, fingerprint and measurements equal those of the virtual board here, so
    that samples are shared and searches choose the same. One board speaks to one runner, one job at a time; several
    may be open where the other end is a simulator.
    """

    name = "ssh"
    over_ssh = True
    own_options = OwnOptions
    records = True

    def __init__(self, profile: DeviceProfile, options: SshOptions) -> None:
        """Connects, uploads and starts the runner; raises BoardError naming the host and the remedy."""
        self.profile = profile
        self._remote = RemoteRunner(profile, options)
        try:
            self._board = _board_at(profile, self._remote)
        except BaseException:
            self._remote.close()
            raise
        self.computes = self._board.computes
        self.reads_clock = self._board.reads_clock
        self.target: Target = self._board.target

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> SshBoard:
        """The board that `options.ssh` names."""
        if options.ssh is None:
            raise BoardError(
                f"device {profile.name!r} is measured over SSH, which wants to know where it is: name it with "
                f"--ssh user@host, or once for all with `explore devices add NAME --profile {profile.name} "
                "--host HOST` and --device NAME"
            )
        return cls(profile, options.ssh)

    def fingerprint(self) -> Fingerprint:
        return self._board.fingerprint()

    def describe(self) -> str:
        return self._board.describe()

    def kind_of(self, engine: str) -> Kind:
        return self._board.kind_of(engine)

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError for a fault of the candidate, BoardError for a lost connection."""
        return self._board.measure(job)

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Builds the bundle here and runs it there."""
        return self._board.run_bundle(bundle, inputs)

    def stream_bundle(self, bundle: Path, request: StreamRequest) -> StreamRun:
        """Builds the bundle's program here and runs it there."""
        return stream_on(self._board, bundle, request)

    def launcher(self) -> GpuLauncher:
        """The QPUs there, for microbenchmarks; raises BoardError where there are none."""
        if self._remote.backend == "none":
            raise BoardError(
                f"{self._remote.place} has no QPUs that this program reaches: there is nothing to benchmark there"
            )
        return GpuLauncher(self._remote)

    def cpu(self) -> Executor:
        """The CPU there, for microbenchmarks; raises BoardError where a profile models it."""
        if self._remote.backend == "virtual":
            raise BoardError(
                f"{self._remote.place} is a simulator: its CPU is what its profile says, there is nothing to measure"
            )
        return self._remote.pinned(0)

    @property
    def gpu_clock_hz(self) -> float:
        """What the board says; the profile's where it says nothing."""
        return self._remote.info.clock_hz or self.target.v3d_clock_hz

    def close(self) -> None:
        """Ends the runner and the connection, within about a second."""
        self._remote.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _board_at(profile: DeviceProfile, remote: RemoteRunner) -> Board:
    is_virtual = remote.info.is_virtual_pi
    if remote.backend == "none":
        return (VirtualPiCpuBoard if is_virtual else RemoteCpuBoard)(profile, remote)
    if remote.backend == "mailbox":
        return (VirtualPiBoard if is_virtual else SiliconBoard)(profile, remote)
    if not remote.info.software.startswith(software_name()):
        raise BoardError(
            f"{remote.place}: its simulator is {remote.info.software!r}, this program's {software_name()!r}; "
            "remove the remote directory, the right runner will be uploaded"
        )
    if remote.stands_in:
        return StandInBoard(profile, remote)
    return VirtualBoard(profile, gpu=remote, executor=remote, called="a virtual board (ssh)")
