"""A runner as a child process of the test, spoken to over pipes: the protocol without SSH."""

from __future__ import annotations

import select
import subprocess
from pathlib import Path

from microbench.errors import BoardError


class PipeTransport:
    """`microbench.runner.client.Transport` over a child's standard input and output."""

    def __init__(
        self, program: Path, directory: Path, idle_limit_s: float = 60.0, holder: str = "somebody"
    ) -> None:
        (directory / "bin").mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            (program, directory, str(idle_limit_s), holder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def send(self, data: bytes, timeout_s: float) -> None:
        assert self.process.stdin is not None
        try:
            while data:
                data = data[self.process.stdin.write(data) or 0 :]
        except OSError as error:
            raise BoardError(f"the runner is gone: {error}") from error

    def receive(self, size: int, timeout_s: float) -> bytes:
        assert self.process.stdout is not None
        parts = b""
        while len(parts) < size:
            ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
            part = self.process.stdout.read(size - len(parts)) if ready else b""
            if not part:
                raise BoardError("the runner is gone" if ready else "the runner does not answer")
            parts += part
        return parts

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
