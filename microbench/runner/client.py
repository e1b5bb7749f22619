"""The host's end of a conversation with a runner, over whatever carries bytes both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from codegen.program import GpuProgram
from codegen.tensor import FloatArray
from microbench.errors import BoardError, CandidateError, HazardError
from microbench.runner.frames import (
    ANSWER_BIT,
    PROTOCOL_VERSION,
    Fault,
    FrameError,
    FrameType,
    Reader,
    decode,
    encode,
)
from microbench.runner.messages import (
    Execution,
    ExecutionRequest,
    GpuRun,
    RunnerInfo,
    exec_answer,
    exec_request,
    gpu_run_answer,
    gpu_run_request,
    hello_answer,
    hello_request,
)

QUIT_TIMEOUT_S = 0.5


class Transport(Protocol):
    """Carries bytes to a runner and back. Both directions raise BoardError when it breaks or time is up."""

    def send(self, data: bytes, timeout_s: float) -> None: ...

    def receive(self, size: int, timeout_s: float) -> bytes:
        """Exactly so many bytes."""
        ...

    def close(self) -> None: ...


class ExecutableAbsentError(BoardError):
    """The runner does not have the executable yet."""


class BoardBusyError(BoardError):
    """Another host works on the board; the message names it and its process there."""


class BoardFullError(BoardError):
    """The board's disk is full; the message says how much is needed, how much is free, and where."""


class ConnectionLostError(BoardError):
    """The runner is out of reach; a new connection may reach it, or another."""


class RunnerEndedError(ConnectionLostError):
    """The runner ended in the middle of a request while the connection held."""


class RunnerClient:
    """Asks a runner one thing at a time. After any failure of the connection it answers only with BoardError.

    `place` names the board in messages; `timeout_s` bounds each wait, on top of a request's own limit.
    """

    def __init__(self, transport: Transport, place: str, timeout_s: float = 120.0) -> None:
        self._transport = transport
        self._place = place
        self._timeout_s = timeout_s
        self._broken = False

    def hello(self, constants: Sequence[float] = ()) -> RunnerInfo:
        """Opens the runner's GPU with these constants (`v3d.h`); raises BoardError for another version."""
        info = hello_answer(self._ask(FrameType.HELLO, hello_request(constants), 0.0))
        if info.protocol != PROTOCOL_VERSION:
            raise BoardError(
                f"{self._place}: the runner speaks protocol {info.protocol}, this program "
                f"{PROTOCOL_VERSION}; remove the remote directory, the right runner will be uploaded"
            )
        return info

    def run_gpu(
        self,
        program: GpuProgram,
        inputs: Sequence[FloatArray],
        repeats: int,
        launch_limit_s: float,
        limit_s: float,
    ) -> GpuRun:
        """Loads the program afresh for each repeat and runs its launches.

        `launch_limit_s` is in the GPU's own time, `limit_s` in the board's. Raises HazardError where
        the GPU stops the program, CandidateError where the program cannot be loaded.
        """
        request = gpu_run_request(program, inputs, repeats, launch_limit_s, limit_s)
        return gpu_run_answer(self._ask(FrameType.GPU_RUN, request, limit_s))

    def execute(self, request: ExecutionRequest) -> Execution:
        """Runs an executable; raises ExecutableAbsentError where it must be uploaded first."""
        answer = self._ask(FrameType.EXEC, exec_request(request), request.limit_s)
        return exec_answer(answer, request.outputs)

    def close(self) -> None:
        """Ends the runner; within about a second even where the board has gone silent."""
        if not self._broken:
            self._broken = True
            try:
                self._transport.send(encode(FrameType.QUIT, b""), QUIT_TIMEOUT_S)
                decode(lambda size: self._transport.receive(size, QUIT_TIMEOUT_S))
            except BoardError:
                pass  # it ends with its connection
        self._transport.close()

    def _ask(self, kind: FrameType, payload: bytes, limit_s: float) -> bytes:
        if self._broken:
            raise ConnectionLostError(
                f"{self._place}: the connection was lost or closed; open the board again"
            )
        answer_timeout_s = self._timeout_s + limit_s
        # An exception of any kind between question and answer, Ctrl-C too, leaves the two ends out of step.
        self._broken = True
        try:
            self._transport.send(encode(kind, payload), self._timeout_s)
            answered, answer = decode(lambda size: self._transport.receive(size, answer_timeout_s))
        except FrameError as error:
            raise FrameError(f"{self._place}: {error}") from error
        if answered == FrameType.ERROR:
            self._fail(Reader(answer))
        if answered != kind | ANSWER_BIT:
            raise FrameError(f"{self._place}: asked {kind.name}, answered with frame type {answered}")
        self._broken = False
        return answer

    def _fail(self, reader: Reader) -> None:
        code, message = reader.u32(), reader.string()
        text = f"{self._place}: {message}"
        self._broken = code in (Fault.PROTOCOL, Fault.BUSY)
        if code == Fault.STOPPED:
            raise HazardError(text)
        if code == Fault.CANDIDATE:
            raise CandidateError(text)
        if code == Fault.ABSENT:
            raise ExecutableAbsentError(text)
        if code == Fault.BUSY:
            raise BoardBusyError(f"{text}; wait for that run, or end that process")
        raise BoardFullError(text) if code == Fault.FULL else BoardError(text)
