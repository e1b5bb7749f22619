"""Damaged answers of a runner, as they come out of a connection, and of an SSH server before there is one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from random import Random

from microbench.errors import BoardError
from microbench.runner.client import RunnerClient
from microbench.runner.frames import ANSWER_BIT, FrameType, Writer, encode
from microbench.runner.messages import ExecutionRequest
from tests.fuzz.damage import damaged
from tests.fuzz.verdicts import verdict_of
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.random_graphs.judge import Outcome

ENDED = "what was sent is all"


class Replayed:
    """A transport whose other end says what it is given, whatever is asked."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def send(self, data: bytes, timeout_s: float) -> None:
        """Nobody listens."""

    def receive(self, size: int, timeout_s: float) -> bytes:
        part, self._said = self._said[:size], self._said[size:]
        if len(part) < size:
            raise BoardError(ENDED)
        return part

    def close(self) -> None:
        """There is nothing to close."""


def judged_reply(number: int) -> Outcome:
    """The verdict on one answer, damaged within a sound frame or without one."""
    random = Random(f"reply {number}")
    kind, payload, ask = random.choice(_answers())
    if random.random() < 0.8:
        said = encode(kind | ANSWER_BIT, damaged(payload, random))
    elif random.random() < 0.5:
        said = damaged(encode(kind | ANSWER_BIT, payload), random)
    else:
        said = encode(
            FrameType.ERROR, damaged(bytes([random.randrange(9), 0, 0, 0, 2, 0, 0, 0]) + b"no", random)
        )

    def complaint() -> str:
        ask(RunnerClient(Replayed(said), "pi", 1.0))
        return ""

    return verdict_of(complaint)


def _conditions(writer: Writer) -> None:
    for _ in range(2):
        writer.u32(5)
        for value in (250e6, 1e9, 48.3, 0.0, 1.2):
            writer.u32(0)
            writer.f64(value)


def _hello() -> bytes:
    writer = Writer()
    writer.u32(4)
    for text in ("armv6l", "6.1", "ARMv6", "mailbox", "silicon", "runner"):
        writer.string(text)
    writer.f64(250e6)
    writer.u32(1)
    writer.string("Raspberry Pi Zero W")
    writer.string("0123")
    writer.f64(1e9)
    return writer.payload()


def _gpu_run() -> bytes:
    writer = Writer()
    writer.u32(2)
    for name in ("cycles", "stalls"):
        writer.string(name)
    writer.u32(2)
    writer.u32(1)
    for _ in range(2):
        for value in (1e-3, 1e-4):
            writer.f64(value)
        writer.u32(1)
        for value in (5e-4, 1000.0, 20.0):
            writer.f64(value)
    writer.u32(1)
    writer.data(bytes(16))
    _conditions(writer)
    return writer.payload()


def _exec() -> bytes:
    writer = Writer()
    writer.u32(0)
    writer.u32(0)
    writer.f64(0.1)
    writer.data(b"out")
    writer.data(b"err")
    writer.u32(1)
    writer.u32(1)
    writer.data(b"report")
    _conditions(writer)
    return writer.payload()


Answer = tuple[FrameType, bytes, Callable[[RunnerClient], object]]


def _answers() -> Sequence[Answer]:
    sound = sound_gpu_job()
    program = sound.job.program
    assert program.kind == "gpu"
    request = ExecutionRequest("0" * 64, (), {}, ("report.json",), 1.0)

    def executed(client: RunnerClient) -> object:
        done = client.execute(request)
        return [readings.conditions() for readings in done.readings]

    def run(client: RunnerClient) -> object:
        done = client.run_gpu(program, sound.job.inputs, 2, 1.0, 1.0)
        return [readings.conditions() for readings in done.readings]

    return (
        (FrameType.HELLO, _hello(), lambda client: client.hello()),
        (FrameType.GPU_RUN, _gpu_run(), run),
        (FrameType.EXEC, _exec(), executed),
    )


class PretendedServer:
    """A server on loopback that says the same to everybody, then hangs up."""

    def __init__(self) -> None:
        self.said = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with near, contextlib.suppress(OSError):
                    near.settimeout(5.0)
                    near.sendall(self.said)
                    near.shutdown(socket.SHUT_WR)
                    while near.recv(65536):
                        pass
