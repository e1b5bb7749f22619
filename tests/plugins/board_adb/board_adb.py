"""A board that this project does not bring: the CPU of an Android phone, reached through adb."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from codegen.engines.cpu.toolchain import compiler_identity
from codegen.tensor import FloatArray
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.boards.execution import Finished
from microbench.boards.host import HostBoard
from microbench.boards.local_machine import hash_of_serial
from microbench.boards.subprocesses import Ended, run_limited
from microbench.errors import BoardError
from microbench.options import BoardOptions, OwnOptions
from microbench.profile import DeviceProfile
from microbench.series import Series

ANSWER_LIMIT_S = 30.0
EXIT_LIMIT = 124  # of `timeout`, where it ended the program
EXIT_SIGNAL = 128  # of a shell, and the signal's number on top
READINGS = "power.txt"
# Seconds since the phone was started and microwatts, as long as the program runs; the exit code is the program's.
WATCHED = """cd {directory} || exit 126
{command} & program=$!
while kill -0 $program 2> /dev/null; do
    read seconds _ < /proc/uptime; read microwatts < {power} && echo $seconds $microwatts; sleep 0.05
done > {readings} 2> /dev/null
wait $program"""


class AdbOptions(OwnOptions):
    """What adb has to know."""

    serial: str = Field(description="serial number of the phone, as `adb devices` lists it")
    directory: str = Field(
        default="/data/local/tmp/explore-edge", description="directory of the phone where programs may run"
    )
    power: str = Field(
        default="/sys/class/power_supply/battery/power_now",
        description="file of the phone that tells what it draws, in microwatts",
    )


class Phone:
    """Runs compiled programs on the phone (an `Executor`) and keeps what was read while the last one ran."""

    def __init__(self, options: AdbOptions) -> None:
        self.options = options
        self.power: tuple[Series, ...] = ()

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `microbench.boards.execution.Executor`."""
        directory = self.options.directory
        with tempfile.TemporaryDirectory(prefix="explore-adb-") as scratch:
            here = Path(scratch)
            for name, content in files.items():
                (here / name).write_bytes(content)
            self.adb("shell", f"rm -rf {shlex.quote(directory)} && mkdir -p {shlex.quote(directory)}")
            self.adb("push", str(executable), f"{directory}/program")
            for name in files:
                self.adb("push", str(here / name), f"{directory}/{name}")
            script = WATCHED.format(
                directory=shlex.quote(directory),
                command=shlex.join(["timeout", f"{limit_s:g}", "./program", *arguments]),
                power=shlex.quote(self.options.power),
                readings=READINGS,
            )
            ended = _on_the_phone(run_limited(self._words("shell", script), limit_s + ANSWER_LIMIT_S, here))
            written = (
                {name: self._pulled(name, here) for name in (*outputs, READINGS)} if ended.is_good else {}
            )
        self.power = power_series(written.pop(READINGS, None) or b"")
        return Finished(ended, {name: content for name, content in written.items() if content is not None})

    def adb(self, *words: str) -> str:
        """What adb answers; raises BoardError where it cannot be started or complains."""
        try:
            answer = subprocess.run(
                self._words(*words), capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True
            )
        except FileNotFoundError as error:
            raise BoardError("adb is not installed here: install Android's platform tools") from error
        except subprocess.TimeoutExpired as error:
            raise BoardError(
                f"phone {self.options.serial}: no answer in {ANSWER_LIMIT_S:g} s; plug it in"
            ) from error
        except subprocess.CalledProcessError as error:
            raise BoardError(
                f"phone {self.options.serial}: {error.stderr.strip()}; see `adb devices`"
            ) from error
        return answer.stdout.strip()

    def _words(self, *words: str) -> list[str]:
        return ["adb", "-s", self.options.serial, *words]

    def _pulled(self, name: str, here: Path) -> bytes | None:
        self.adb("pull", f"{self.options.directory}/{name}", str(here / name))
        return (here / name).read_bytes()


class AdbBoard(HostBoard):
    """Times are the phone's clock, of kind `silicon`; every measurement has a series `power`, in watts."""

    name = "adb"
    own_options = AdbOptions
    kind: Kind = "silicon"

    def __init__(self, profile: DeviceProfile, phone: Phone) -> None:
        super().__init__(profile, executor=phone)
        self._phone = phone

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> AdbBoard:
        """Raises BoardError where no such phone answers."""
        phone = Phone(options.own_as(AdbOptions))
        phone.adb("get-state")
        return cls(profile, phone)

    def fingerprint(self) -> Fingerprint:
        """The phone's model and kernel; programs are compiled here."""
        compiler = compiler_identity(self.profile.compiler_target)
        return Fingerprint(
            self._phone.adb("shell", "getprop ro.product.model"),
            self.profile.hash,
            0.0,
            f"{compiler} {' '.join(self.target.compiler[1:])}",
            serial_hash=hash_of_serial(self._phone.options.serial),
            kernel=self._phone.adb("shell", "uname -sr"),
        )

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError where the program crashes or hangs, BoardError where the phone is gone."""
        output, times_s = self.timed(job, self._phone)
        return Measurement(times_s, self.kind, output, series=self._phone.power)

    def run_bundle(self, bundle: Path, inputs: tuple[FloatArray, ...]) -> BundleRun:
        """As `measure`; the power is that of all runs together."""
        return replace(super().run_bundle(bundle, inputs), series=self._phone.power)


def _on_the_phone(ended: Ended) -> Ended:
    """How the program there ended, from how the shell did that ran it."""
    if ended.exit_code == EXIT_LIMIT:
        return Ended(None, "did not end within its time limit")
    if ended.exit_code is not None and ended.exit_code > EXIT_SIGNAL:
        return Ended(EXIT_SIGNAL - ended.exit_code, ended.complaint)
    return ended


def power_series(readings: bytes) -> tuple[Series, ...]:
    """Lines of seconds and microwatts as a series; none where the phone does not tell."""
    pairs = [
        (float(seconds), float(microwatts)) for seconds, microwatts in map(bytes.split, readings.splitlines())
    ]
    if not pairs:
        return ()
    start_s = pairs[0][0]
    return (
        Series(
            "power",
            "W",
            tuple(1e-6 * microwatts for _, microwatts in pairs),
            tuple(seconds - start_s for seconds, _ in pairs),
        ),
    )
