"""Random programs in processes of their own, so that one that crashes the simulator is caught and named."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from tests.microbench.random_programs.machine import RandomMachine, reason, verdict
from tests.microbench.random_programs.words import LENGTH, valid_words

SHARE = 1000
LONGEST_S = 900.0  # of one program; the simulator itself gives up before


@dataclass(frozen=True)
class Outcome:
    """What became of one program: a verdict, or `crashed`, or `left out` behind a crash; and the reason."""

    verdict: str
    reason: str = ""


def _work(pipe: Connection, seed: int, programs: int, strict: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine = RandomMachine(seed, strict)
    with machine.gpu:
        for _ in range(programs):
            pipe.send(machine.run(valid_words(machine.random, LENGTH)))


class _Share:
    """A process that runs some programs from one seed."""

    def __init__(self, seed: int, programs: int, strict: bool) -> None:
        self.seed, self.left, self.done = seed, programs, 0
        self.option = "--strict" if strict else "--lax"
        self.pipe, far = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_work, args=(far, seed, programs, strict), daemon=True)
        self.process.start()
        far.close()

    def next(self) -> Iterator[Outcome]:
        """The outcome of the next program; where the process died, of all that are left."""
        try:
            text = self.pipe.recv()
        except EOFError:
            self.process.join()
            yield from self.crash(f"exit code {self.process.exitcode}")
            return
        self.left, self.done = self.left - 1, self.done + 1
        kind = verdict(text)
        yield Outcome(kind, "" if kind in ("ended", "watchdog") else reason(text))

    def crash(self, how: str) -> Iterator[Outcome]:
        """The program that the process is at crashed; the others of the share are left out."""
        again = f"--seed {self.seed} --programs {self.done + 1} {self.option}"
        yield Outcome("crashed", f"{how}: seed {self.seed}, program {self.done}; again with {again}")
        yield from [Outcome("left out")] * (self.left - 1)
        self.left = 0
        self.end()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def outcomes(seed: int, programs: int, strict: bool, processes: int) -> Iterator[Outcome]:
    """Of as many programs; share after share takes the next seed."""
    sizes = iter([(seed + n, min(SHARE, programs - n * SHARE)) for n in range(-(-programs // SHARE))])
    running: list[_Share] = []
    while True:
        while len(running) < processes and (size := next(sizes, None)) is not None:
            running.append(_Share(*size, strict))
        if not running:
            return
        ready = wait([share.pipe for share in running], LONGEST_S)
        for share in list(running):
            if not ready:
                yield from share.crash(f"no answer within {LONGEST_S:g} s")
            elif share.pipe in ready:
                yield from share.next()
            if not share.left:
                share.process.join()
                running.remove(share)
