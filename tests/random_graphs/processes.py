"""Questions answered in processes of their own, share by share, so that one that kills its process is caught."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait

from tests.random_graphs.judge import Outcome

Judge = Callable[[int], Outcome]
SHARE = 200
LONGEST_S = 300.0  # of one question
DEEPEST = 10_000  # calls in each other


def _work(pipe: Connection, judge: Judge, first: int, count: int) -> None:
    sys.setrecursionlimit(DEEPEST)
    for number in range(first, first + count):
        try:
            outcome = judge(number)
        except Exception as error:  # noqa: BLE001 - whatever is not typed is what this looks for
            outcome = Outcome("crashed", f"{type(error).__name__}: {error}")
        pipe.send(outcome)


class _Share:
    """A process that answers some questions."""

    def __init__(self, judge: Judge, first: int, count: int) -> None:
        self.number, self.end = first, first + count
        self._judge = judge
        self._start()

    def _start(self) -> None:
        self.pipe, far = multiprocessing.Pipe(duplex=False)
        arguments = (far, self._judge, self.number, self.end - self.number)
        self.process = multiprocessing.get_context("fork").Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        far.close()

    def next(self) -> tuple[int, Outcome]:
        """The outcome of the next question; one that killed the process is left behind."""
        number = self.number
        try:
            outcome = self.pipe.recv()
            self.number += 1
        except EOFError:
            self.process.join()
            outcome = Outcome("crashed", f"exit code {self.process.exitcode}")
            self.skip()
        return number, outcome

    def skip(self) -> None:
        """Goes on behind the question that the process is at."""
        self.stop()
        self.number += 1
        if self.number < self.end:
            self._start()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def outcomes(judge: Judge, first: int, count: int, processes: int) -> Iterator[tuple[int, Outcome]]:
    """Of the questions from `first` on, by number, in the order in which they end."""
    starts = iter(range(first, first + count, SHARE))
    running: list[_Share] = []
    while True:
        while len(running) < processes and (start := next(starts, None)) is not None:
            running.append(_Share(judge, start, min(SHARE, first + count - start)))
        if not running:
            return
        ready = wait([share.pipe for share in running], LONGEST_S)
        for share in list(running):
            if not ready:
                number = share.number
                share.skip()
                yield number, Outcome("crashed", f"takes more than {LONGEST_S:.0f} s")
            elif share.pipe in ready:
                yield share.next()
            if share.number >= share.end:
                share.stop()
                running.remove(share)
