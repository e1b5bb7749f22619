"""A virtual Pi behind its SSH server: measured as a real one is, and said to be none."""

from __future__ import annotations

from dataclasses import replace

from microbench.board import Job, Kind, Measurement, clocked_on
from microbench.boards.remote_cpu import RemoteCpuBoard
from microbench.boards.silicon import SiliconBoard
from microbench.boards.ssh_runner import RemoteRunner
from microbench.emulation.emulator import CANDIDATE_LIMIT_S
from microbench.profile import DeviceProfile
from microbench.protocol import MODELLED

_NS_DIGITS = 9
_NO_SILICON = (
    "This is no silicon: its QPUs are simulated, its CPU is emulated, its clock is an instruction a cycle."
)


def in_whole_ns(measured: Measurement) -> Measurement:
    """Times and counters by the clock of a virtual Pi, which counts so: differences of its readings, in floats, do not
    depend on when they were taken.
    """
    counters = {name: round(value, _NS_DIGITS) for name, value in measured.counters.items()}
    times_s = tuple(round(time_s, _NS_DIGITS) for time_s in measured.times_s)
    return replace(measured, times_s=times_s, counters=counters)


class VirtualPiBoard(SiliconBoard):
    """One with QPUs: the same programs as on silicon, through the same mailbox; times are `simulated`."""

    kind: Kind = "simulated"
    timing = MODELLED
    reads_clock = False

    def measure(self, job: Job) -> Measurement:
        """As on silicon, in whole nanoseconds."""
        return in_whole_ns(super().measure(job))

    def describe(self) -> str:
        return f"{clocked_on(self.fingerprint())}\n{_NO_SILICON}"


class VirtualPiCpuBoard(RemoteCpuBoard):
    """One whose QPUs are out of reach, under a 64-bit kernel; times are `simulated`."""

    timing = MODELLED
    reads_clock = False
    candidate_limit_s = CANDIDATE_LIMIT_S
    bundle_runs = 1

    def __init__(self, profile: DeviceProfile, remote: RemoteRunner) -> None:
        super().__init__(profile, remote)
        self.kind = "simulated"

    def describe(self) -> str:
        return f"{clocked_on(self.fingerprint())}\n{_NO_SILICON}"
