"""The right runner for what answers at the other end: built here, uploaded once, started and greeted."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import platform
import posixpath
import random
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict, TypeVar

from codegen.elf import ElfError
from codegen.processors import ARM_MACHINES, check_executable, processors_of
from codegen.program import GpuProgram
from codegen.tensor import FloatArray
from microbench.boards.execution import Finished
from microbench.boards.local_machine import hash_of_serial
from microbench.boards.ssh_link import SshLink
from microbench.boards.ssh_sudo import runner_as_root
from microbench.boards.subprocesses import Ended, ended_with
from microbench.conditions import Conditions
from microbench.errors import BoardError, CandidateError
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
from microbench.runner.build import Backend, device_runner, runner_revision
from microbench.runner.client import (
    ConnectionLostError,
    ExecutableAbsentError,
    RunnerClient,
    RunnerEndedError,
)
from microbench.runner.frames import Ending
from microbench.runner.messages import Execution, ExecutionRequest, GpuRun, RunnerInfo
from microbench.runner.readings import Readings
from microbench.virtual.bundle import LAUNCH_LIMIT_S
from microbench.virtual.constants import constants_of

IDLE_LIMIT_S = 4 * 3600  # a search may think for long; a forgotten runner still ends
ATTEMPTS = 3  # to get one answer
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 10.0  # between attempts to connect
GPU_LIMIT_S = 600.0  # of wall-clock time for one candidate
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # a program that uses this package decides itself what it shows

Answer = TypeVar("Answer")

_PLATFORM_MEMORY = {"cached": 1.0, "direct": 2.0}  # platform.h


class WrongProcessorError(BoardError):
    """What should run on the board was built for another processor."""


class BoardIdentity(TypedDict):
    """What the runner says of its machine, by the names that `Fingerprint` has for it."""

    cpu_clock_hz: float
    serial_hash: str
    kernel: str
    runner: str


class RemoteRunner:
    """A runner on a board reached over SSH, greeted and ready. Raises BoardError when it is not.

    A lost connection is made anew, with growing pauses, and the request it broke is asked again: requests leave
    nothing behind on the board.
    """

    def __init__(self, profile: DeviceProfile, options: SshOptions) -> None:
        self._profile = profile
        self._options = options
        self._holder = _holder()  # a runner of its own that it lost is its to end, another's is not
        self._is_closed = False
        self._client: RunnerClient | None = None
        self._there: set[str] = set()  # hashes of programs that this connection found or put there
        self._directory = runner_directory(options)
        self._link = SshLink(options)
        try:
            self.machine = self._link.run(("uname", "-m"))
            self._processors = processors_of(self.machine, self._link.run(("cat", "/proc/cpuinfo")))
            self.backend = backend_for(profile, self.machine, options)
            self.stands_in = self.backend == "virtual" and options.backend == "stand-in"
            self.info: RunnerInfo = self._first_start()
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """How messages name the board."""
        return self._link.place

    @property
    def identity(self) -> BoardIdentity:
        """What tells this board from others."""
        return identity_of(self.info, self.backend)

    def run(self, program: GpuProgram, inputs: Sequence[FloatArray], repeats: int) -> GpuRun:
        """A program on the GPU there (`Gpu`)."""
        return self._asked(
            lambda runner: runner.run_gpu(program, inputs, repeats, LAUNCH_LIMIT_S, GPU_LIMIT_S)
        )

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """A program on the CPU there (`Executor`), on any of its cores."""
        return _finished(self.executed(executable, arguments, files, outputs, limit_s), limit_s)

    def pinned(self, cores: int) -> PinnedExecutor:
        """The CPU there, as many of its cores as given."""
        return PinnedExecutor(self, cores)

    def executed(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
        cores: int = 0,
    ) -> Execution:
        """A program on the CPU there, uploaded where it is not there yet; `cores` 0: not pinned.

        The runner takes a program by its name: what is in the file is checked once a connection.
        """
        content = executable.read_bytes()  # once: another process may build it anew meanwhile
        request = ExecutionRequest(
            hashlib.sha256(content).hexdigest(), tuple(arguments), files, tuple(outputs), limit_s, cores
        )

        def ask(runner: RunnerClient) -> Execution:
            if request.sha256 not in self._there:
                self._upload(content)
            try:
                return runner.execute(request)
            except ExecutableAbsentError:
                self._upload(content)
                return runner.execute(request)

        return self._asked(ask)

    def close(self) -> None:
        """Ends the runner and the connection; harmless when they are gone."""
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
        self._link.close()

    def _first_start(self) -> RunnerInfo:
        """The board was reached, so that a connection lost from here on may come back."""
        try:
            return self._start()
        except ConnectionLostError as error:
            return self._reconnect(error)

    def _asked(self, ask: Callable[[RunnerClient], Answer]) -> Answer:
        """The answer, at the third attempt at the latest.

        Raises ConnectionLostError when the board stays out of reach, CandidateError when its runner ended at every
        attempt while the connection held: it is what was asked that ends it.
        """
        lost: list[ConnectionLostError] = []
        while len(lost) < ATTEMPTS:
            if self._client is None or self._is_closed:
                raise BoardError(f"{self.place}: the connection is closed; open the board again")
            try:
                return ask(self._client)
            except ConnectionLostError as error:
                lost.append(error)
                found = self._reconnect(error)
                if found != self.info:
                    self._drop()
                    raise BoardError(
                        f"{self.place}: another board or system answers than before; run again"
                    ) from error
        if all(isinstance(error, RunnerEndedError) for error in lost):
            raise CandidateError(f"{lost[-1]} (the runner ended each of {len(lost)} times it was asked)")
        raise lost[-1]

    def _reconnect(self, lost: ConnectionLostError) -> RunnerInfo:
        """What a new runner over a new link says of itself; raises the loss itself when time is up."""
        log.warning("connecting again for up to %g s: %s", self._options.reconnect_s, lost)
        until_s = time.monotonic() + self._options.reconnect_s
        self._drop()
        for pause_s in pauses():
            if time.monotonic() + pause_s >= until_s:
                raise lost
            time.sleep(pause_s)
            try:
                self._link = SshLink(self._options)
                found = self._start()
            except ConnectionLostError as error:
                self._drop()
                log.info("%s", error)
                continue
            except BaseException:
                self._drop()
                raise
            log.warning("%s: connected again", self.place)
            return found
        raise lost

    def _upload(self, content: bytes) -> str:
        directory = posixpath.join(self._directory, "bin")
        try:
            check_executable(content, self._processors, static=self.machine != platform.machine())
        except ElfError as error:
            raise WrongProcessorError(f"{self.place}: {error}") from error
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._link.upload(content, directory, sha256)
        self._there.add(sha256)
        return path

    def _start(self) -> RunnerInfo:
        self._there.clear()
        content = device_runner(self.backend, self._profile).read_bytes()
        if self._options.sudo:
            self._link.make_directory(posixpath.join(self._directory, "bin"))
            program = runner_as_root(self._link, content, partial(self._upload, content))
        else:
            program = (self._upload(content),)
        command = [*program, self._directory, str(IDLE_LIMIT_S), self._holder]
        if self._options.launch != "mailbox":
            command.append(self._options.launch)
        self._client = RunnerClient(self._link.start(tuple(command)), self.place, self._options.timeout_s)
        return self._client.hello(_constants(self.backend, self._profile, self.stands_in))


@dataclass(frozen=True)
class PinnedExecutor:
    """An `Executor` whose programs keep to some of the board's cores; it keeps the readings of the last one."""

    runner: RemoteRunner
    cores: int
    readings: list[Readings] = field(default_factory=list)

    @property
    def conditions(self) -> tuple[Conditions, ...]:
        """The last program's, before and after it."""
        return tuple(readings.conditions() for readings in self.readings)

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `Executor`."""
        execution = self.runner.executed(executable, arguments, files, outputs, limit_s, self.cores)
        self.readings[:] = execution.readings
        return _finished(execution, limit_s)


def runner_directory(options: SshOptions) -> str:
    """Where the runner works there: as root in a directory of its own, for what it makes is root's."""
    return posixpath.join(options.remote_directory, "root") if options.sudo else options.remote_directory


def identity_of(info: RunnerInfo, backend: Backend) -> BoardIdentity:
    """The fields of a `Fingerprint` from what a runner says of its machine."""
    return BoardIdentity(
        cpu_clock_hz=info.cpu_clock_hz,
        serial_hash=hash_of_serial(info.serial),
        kernel=f"Linux {info.kernel}",
        runner=f"protocol {info.protocol}, {runner_revision(backend)}",
    )


def pauses() -> Iterator[float]:
    """Seconds to wait before each attempt to connect: doubled up to a limit, shifted so that hosts spread."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.75, 1.25)
        pause_s = min(2 * pause_s, LAST_PAUSE_S)


def _holder() -> str:
    """What another host is told of this one; its random end tells it from another board opened here."""
    name = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"{re.sub(r'[^A-Za-z0-9@._-]', '?', name)[:100]} process {os.getpid()} {secrets.token_hex(4)}"


def backend_for(profile: DeviceProfile, machine: str, options: SshOptions) -> Backend:
    """Which GPU the runner gets, from the profile and what `uname -m` says there.

    Raises BoardError where no runner can be built for that machine, or a wish contradicts it.
    """
    backend = _backend_at(profile, machine, options, f"{options.host} ({machine})")
    if options.launch != "mailbox" and backend != "mailbox":
        raise BoardError(
            f"{options.host} ({machine}) has no QPUs to launch by {options.launch}; remove launch = "
            f'"{options.launch}" from the board'
        )
    return backend


def _backend_at(profile: DeviceProfile, machine: str, options: SshOptions, place: str) -> Backend:
    own = machine == platform.machine()
    if not profile.compiler_target:
        if not own:
            raise BoardError(
                f"{place} is not of this machine's kind ({platform.machine()}): choose its own profile"
            )
        return "none"
    if not profile.v3d:
        return _cpu_alone(profile, machine, place)
    wanted = options.backend or ("virtual" if own else "mailbox")
    if wanted != "mailbox" and not own:
        raise BoardError(
            f"{place} cannot run the virtual board built on {platform.machine()}; use its own GPU"
        )
    if wanted == "mailbox" and machine not in ARM_MACHINES:
        known = ", ".join(ARM_MACHINES)
        raise BoardError(
            f"{place} is no Raspberry Pi with a 32-bit system ({known}), so it has no firmware mailbox"
        )
    return "virtual" if wanted == "stand-in" else wanted


def _cpu_alone(profile: DeviceProfile, machine: str, place: str) -> Backend:
    """Static 32-bit programs also run under a 64-bit kernel; the other way round nothing does."""
    architecture = profile.compiler_target.partition("-")[0]
    fitting = (*ARM_MACHINES, "aarch64") if architecture == "arm" else (architecture,)
    if machine not in fitting:
        raise BoardError(
            f"{place} does not run programs of profile {profile.name!r} ({profile.compiler_target}); "
            "name the board's own profile"
        )
    return "none"


def _constants(backend: Backend, profile: DeviceProfile, stands_in: bool) -> Sequence[float]:
    """Of a simulator all of them; of silicon how memory is to be allocated, where there are two ways, and of a
    simulator that stands in for silicon always.
    """
    if stands_in:
        return (profile.v3d_value("memory_is_cached"),)
    if backend == "virtual":
        return tuple(constants_of(profile).values())
    if backend == "mailbox" and len(profile.gpu_memories) > 1:
        return (_PLATFORM_MEMORY[profile.gpu_memory or "direct"],)
    return ()


def _finished(execution: Execution, limit_s: float) -> Finished:
    written = {name: content for name, content in execution.outputs.items() if content is not None}
    if execution.ending == Ending.LIMIT:
        return Finished(Ended(None, f"did not end within {limit_s:g} s"), written)
    code = -execution.code if execution.ending == Ending.SIGNAL else execution.code
    return Finished(ended_with(code, execution.stderr), written)
