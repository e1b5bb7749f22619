"""A process that runs one engine on one network and waits between its turns (programs/serve.py)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from codegen.tensor import FloatArray
from microbench.errors import PeerError
from microbench.peers.environments import last_lines
from microbench.peers.registry import PROGRAMS

LOAD_LIMIT_S = 900.0
ANSWER_LIMIT_S = 600.0
_END_LIMIT_S = 10.0
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Contender:
    """An engine with its network, ready to be started: `engine` is a file as serve.py describes it."""

    name: str
    title: str
    version: str
    python: Path
    engine: Path
    model: Path


class Worker:
    """A started contender; its process ends with this object, and at the latest with this program."""

    def __init__(self, contender: Contender, inputs: Path, threads: int, cpus: Sequence[int]) -> None:
        """`inputs` is a file of `save_inputs`. Raises PeerError with the reason where the engine does not load."""
        self.contender = contender
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        self._rest = b""
        self._process = self._start(contender, inputs, threads, cpus)
        try:
            self._answer("ready", LOAD_LIMIT_S)
        except BaseException:
            self.close()
            raise

    def run(self, count: int) -> list[int]:
        """Times of so many inferences, in nanoseconds; raises PeerError where it dies, fails or hangs."""
        self._say(f"run {count}")
        times_ns = self._answer("times_ns", ANSWER_LIMIT_S)
        if not isinstance(times_ns, list) or len(times_ns) != count:
            raise PeerError(f"it was to run {count} times and answered {times_ns!r}")
        return times_ns

    def outputs(self) -> list[FloatArray]:
        """The last results; raises PeerError as `run`."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "outputs.npz"
            self._say(f"output {path}")
            self._answer("output", ANSWER_LIMIT_S)
            with np.load(path, allow_pickle=False) as found:
                return [np.asarray(one, dtype=np.float32) for one in found.values()]

    def cpu_s(self) -> float:
        """How long its threads that are alive have been on a CPU; 0 once it has ended."""
        total_ns = 0
        for path in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat"):
            try:
                total_ns += int(path.read_text(encoding="ascii").split()[0])
            except (OSError, IndexError):
                continue  # the thread has ended meanwhile
        return total_ns * 1e-9

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it may have ended already
                self._process.stdin.close()
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(
        self, contender: Contender, inputs: Path, threads: int, cpus: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        arguments = {
            "--engine": str(contender.engine),
            "--model": str(contender.model),
            "--inputs": str(inputs),
            "--threads": str(threads),
            "--cpus": ",".join(map(str, cpus)),
        }
        words = [word for pair in arguments.items() for word in pair]
        try:
            return subprocess.Popen(
                (str(contender.python), str(PROGRAMS / "serve.py"), *words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                process_group=0,  # an interrupt from the terminal reaches this program only
            )
        except OSError as error:
            self._log.close()
            raise PeerError(f"its interpreter cannot be started: {error}") from error

    def _say(self, line: str) -> None:
        if self._process.stdin is None:
            raise PeerError("it has no input")
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise PeerError(self._end()) from error

    def _answer(self, key: str, limit_s: float) -> Any:
        line = self._line(limit_s)
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise PeerError(f"it answered what is no JSON: {line[:80]!r}") from error
        if "error" in answer:
            raise PeerError(str(answer["error"]).replace("\n", " ")[:400])
        if key not in answer:
            raise PeerError(f"it answered {line[:80]!r} where {key!r} was wanted")
        return answer[key]

    def _line(self, limit_s: float) -> str:
        """The next line of its answers."""
        end_s = time.monotonic() + limit_s
        if self._process.stdout is None:
            raise PeerError("it has no output")
        while b"\n" not in self._rest:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                self._process.kill()
                raise PeerError(f"it gave no answer within {limit_s:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                raise PeerError(self._end())
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode("utf-8", "replace")

    def _end(self) -> str:
        """How the process ended and what it said at last."""
        try:
            code = self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "it closed its output and goes on running"
        self._log.seek(0)
        said = last_lines(self._log.read().decode("utf-8", "replace"))
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"it ended with {how}: {said}"
