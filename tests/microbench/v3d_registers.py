"""The V3D block's registers in a file that two processes map: this one plays the hardware."""

from __future__ import annotations

import mmap
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

IDENT0, L2CACTL, SLCACTL, SRQPC, SRQUA, SRQCS, DBQITE = 0x000, 0x020, 0x024, 0x430, 0x434, 0x43C, 0xE2C
IDENTITY = 0x02443356
RESET = 0x00010181
QUEUE_ERROR = 1 << 7
QUEUE_DEPTH = 16
PAGE = 4096
WAIT_S = 30.0


@dataclass
class V3dRegisters:
    """A context manager: while it is open, the block takes requests, runs them one by one and counts them.

    `ends` bounds how many programs end, `takes` how many requests are seen; `overflows_at` is the request that finds
    the queue full. `requests` are the pairs (uniforms, code) in their order; `longest_queue` of them waited at most.
    """

    path: Path
    offset: int = 0
    identity: int = IDENTITY
    ends: int = 1 << 30
    takes: int = 1 << 30
    overflows_at: int | None = None
    left_behind: int = 0  # in the status, by an earlier program
    requests: list[tuple[int, int]] = field(default_factory=list, init=False)
    resets: int = field(default=0, init=False)
    longest_queue: int = field(default=0, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _made: int = field(default=0, init=False)
    _ended: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        with self.path.open("ab") as file:
            file.truncate(max(self.offset + PAGE, self.path.stat().st_size))
        with self.path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), PAGE, offset=self.offset)
        self._words = memoryview(self._page).cast("I")
        self.write(IDENT0, self.identity)
        self.write(SRQCS, self.left_behind)
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def read(self, register: int) -> int:
        return self._words[register // 4]

    def write(self, register: int, value: int) -> None:
        self._words[register // 4] = value

    def wait_for_resets(self, count: int) -> None:
        """Until the counts were reset so often; raises TimeoutError."""
        until_s = time.monotonic() + WAIT_S
        while self.resets < count:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{self.resets} resets of {count}")
            time.sleep(0.01)

    def _play(self) -> None:
        while not self._stopped.is_set():
            if self.read(SRQCS) == RESET:
                self.resets += 1
                self._made = self._ended = 0
                self.write(SRQCS, 0)
            elif self.read(SRQPC) != 0 and len(self.requests) < self.takes:
                self._take()
            elif self._ended < min(self._made, self.ends):
                self._ended += 1
                self._say()
            time.sleep(0)

    def _take(self) -> None:
        self.requests.append((self.read(SRQUA), self.read(SRQPC)))
        self.write(SRQPC, 0)
        self._made += 1
        self.longest_queue = max(self.longest_queue, self._made - self._ended)
        self._say()

    def _say(self) -> None:
        is_full = self._made == self.overflows_at or self._made - self._ended > QUEUE_DEPTH
        waiting = min(self._made - self._ended, QUEUE_DEPTH)
        status = self._ended % 256 << 16 | self._made % 256 << 8 | waiting
        self.write(SRQCS, status | (QUEUE_ERROR if is_full else 0))
