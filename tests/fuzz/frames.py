"""Frames that a runner gets, sound ones with damaged payloads and damaged ones, by a runner under gcc's sanitizers."""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from codegen.engines.cpu.toolchain import compile_executable
from microbench.profile import load_profile
from microbench.runner.build import content_sha256
from microbench.runner.frames import ANSWER_BIT, HEADER, FrameType, encode
from microbench.runner.messages import ExecutionRequest, exec_request, gpu_run_request, hello_request
from microbench.virtual.build import THIS_MACHINE
from microbench.virtual.constants import constants_of
from tests.fuzz.damage import damaged
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.sanitized_runner import SanitizedRunner
from tests.random_graphs.judge import Outcome

BATCH = 50  # frames
SILENCE_S = 60.0
STOPPED, BROKEN = 70, 76  # by a limit of its own request, by a frame that it cannot trust
GPU_BYTES = 1 << 20
LAUNCH_LIMIT_S, LIMIT_S = 1e-4, 0.2
LARGEST_BATCH_BYTES = 60_000  # a pipe takes it while nobody reads


@cache
def sound() -> tuple[tuple[FrameType, bytes], ...]:
    """Requests as a host asks them, of a small GPU and with short limits."""
    constants = {**constants_of(load_profile("pi-zero")), "gpu_memory_bytes": float(GPU_BYTES)}
    job = sound_gpu_job().job
    assert job.program.kind == "gpu"
    absent = ExecutionRequest("0" * 64, ("a",), {"in.bin": b"abc"}, ("out.bin",), LIMIT_S)
    there = ExecutionRequest(content_sha256(_tool()), ("a",), {"in.bin": b"abc"}, ("in.bin",), LIMIT_S)
    gpu = (FrameType.GPU_RUN, gpu_run_request(job.program, job.inputs, 1, LAUNCH_LIMIT_S, LIMIT_S))
    return (
        (FrameType.HELLO, hello_request(tuple(constants.values()))),
        *(gpu,) * 6,
        *((FrameType.EXEC, exec_request(absent)),) * 4,
        (FrameType.EXEC, exec_request(there)),
    )


@cache
def _tool() -> Path:
    return compile_executable({"tool.c": "int main(void) { return 3; }\n"}, THIS_MACHINE, ("-static",))


@dataclass
class Conversation:
    """A runner for as long as it lives, then the next one."""

    runner: SanitizedRunner
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp()))
    process: subprocess.Popen[bytes] | None = None

    def started(self) -> subprocess.Popen[bytes]:
        """One that serves, greeted."""
        if self.process is None or self.process.poll() is not None:
            (self.directory / "bin").mkdir(exist_ok=True)
            program = self.directory / "bin" / content_sha256(_tool())
            program.write_bytes(_tool().read_bytes())
            program.chmod(0o700)
            with (self.runner.reports / "said").open(
                "wb"
            ) as said:  # of undefined behaviour it tells there alone
                self.process = subprocess.Popen(
                    (self.runner.program, self.directory, "60", "fuzz"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    bufsize=0,
                )
            kind, payload = sound()[0]
            self.ask(encode(kind, payload), 1)
        return self.process

    def ask(self, frames: bytes, count: int) -> int:
        """Sends them at once and reads so many answers; how many there were until it ended."""
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(frames)
        said = b""
        for answered in range(count):
            while (whole := _whole(said)) is None:
                ready, _, _ = select.select([process.stdout], [], [], SILENCE_S)
                part = process.stdout.read(1 << 16) if ready else b""
                if not part:
                    if not ready:
                        process.kill()
                    process.wait(SILENCE_S)
                    return answered
                said += part
            said = said[whole:]
        return count


def _whole(said: bytes) -> int | None:
    """The bytes of the first answer; None where it has not arrived."""
    if len(said) < HEADER.size:
        return None
    _, kind, size, _ = HEADER.unpack(said[: HEADER.size])
    assert kind & ANSWER_BIT, f"an answer of type {kind}"
    return HEADER.size + size if len(said) >= HEADER.size + size else None


_conversations: dict[Path, Conversation] = {}  # of this process


def judged_frames(number: int, runner: SanitizedRunner) -> Outcome:
    """The verdict on a batch: every frame has an answer, or one that is damaged itself ends the runner in order."""
    random = Random(f"frames {number}")
    talk = _conversations.setdefault(runner.program, Conversation(runner))
    process = talk.started()
    frames = [_frame(random) for _ in range(BATCH)]
    if number % 10 == 0:
        frames[-1] = damaged(frames[-1], random)
    while len(b"".join(frames)) > LARGEST_BATCH_BYTES:
        frames.pop()
    answered = talk.ask(b"".join(frames), len(frames))
    if answered < len(frames):
        if process.returncode not in (STOPPED, BROKEN):
            return Outcome("crashed", f"exit code {process.returncode}: {runner.found()}")
        return Outcome("ended in order")
    return Outcome("answered")


def _frame(random: Random) -> bytes:
    kind, payload = random.choice(sound())
    other = random.choice((0, 1, 2, 3, 5, 77, 0xFFFFFFFF)) if random.random() < 0.05 else kind
    changed = damaged(payload, random, keeps_length=random.random() < 0.6)
    return encode(other, changed if random.random() < 0.95 else payload)
