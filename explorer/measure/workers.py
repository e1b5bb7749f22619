"""Daemon threads that each own one board: the main thread stays free to be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

Owned = TypeVar("Owned")
Argument = TypeVar("Argument")
Result = TypeVar("Result")

PATIENCE_S = 2.0  # for a board that is busy when the run ends with an error; an interrupt waits for nothing

_Task = Callable[[Owned], None]


class Workers(Generic[Owned]):
    """One thread per owned object. Tasks start in the order they are given; results come back in that order.

    Threads are daemons on purpose: an interrupt ends the program although a board is still busy.
    Nothing is lost by it, because results are stored by the main thread as they come back.
    """

    def __init__(self, owned: Iterable[Owned], release: Callable[[Owned], None] = lambda _: None) -> None:
        self._release = release
        self._tasks: SimpleQueue[_Task[Owned] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, args=(item,), name=f"board-{index}", daemon=True)
            for index, item in enumerate(owned)
        ]
        for thread in self._threads:
            thread.start()

    def map(
        self, work: Callable[[Owned, Argument], Result], arguments: Iterable[Argument]
    ) -> Iterator[Result]:
        """`work(owned, argument)` of every argument, in order; an exception is raised where a result was due.

        After an exception the tasks not yet started are dropped.
        """
        dropped = threading.Event()
        outcomes: list[_Outcome[Result]] = []
        for argument in arguments:
            outcome: _Outcome[Result] = _Outcome()
            outcomes.append(outcome)
            self._tasks.put(_task(work, argument, outcome, dropped))
        try:
            for outcome in outcomes:
                yield outcome.get()
        finally:
            dropped.set()

    def call(self, work: Callable[[Owned], Result]) -> Result:
        """`work(owned)` in one of the threads."""
        return next(iter(self.map(lambda owned, _: work(owned), (None,))))

    def begin(
        self, work: Callable[[Owned], Result], dropped: threading.Event | None = None
    ) -> Callable[[], Result]:
        """As `call`, while other things are done: what this returns is called once and waits for the result, which
        does not come where the work had not started when it was `dropped`.
        """
        outcome: _Outcome[Result] = _Outcome()
        self._tasks.put(_task(lambda owned, _: work(owned), None, outcome, dropped or threading.Event()))
        return outcome.get

    def close(self, wait_s: float | None = None) -> None:
        """Ends the threads after their tasks; each releases what it owns. Waits so long, None: for ever.

        Only its own thread may release a thing: it may be in use when another decides that this is the end.
        """
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(wait_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close(wait_s=PATIENCE_S if issubclass(kind, Exception) else 0.0)

    def _serve(self, owned: Owned) -> None:
        while (task := self._tasks.get()) is not None:
            task(owned)
        self._release(owned)


class _Outcome(Generic[Result]):
    """A result or an exception, once."""

    def __init__(self) -> None:
        self._answers: SimpleQueue[Result | _Raised] = SimpleQueue()

    def set(self, answer: Result | _Raised) -> None:
        self._answers.put(answer)

    def get(self) -> Result:
        answer = self._answers.get()
        if isinstance(answer, _Raised):
            raise answer.error
        return answer


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _task(
    work: Callable[[Owned, Argument], Result],
    argument: Argument,
    outcome: _Outcome[Result],
    dropped: threading.Event,
) -> _Task[Owned]:
    def run(owned: Owned) -> None:
        if dropped.is_set():
            return
        try:
            outcome.set(work(owned, argument))
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread, which raises it
            outcome.set(_Raised(error))

    return run
