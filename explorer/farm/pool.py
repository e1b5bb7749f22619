"""The client's side of a farm: orders are handed out, two to a board, answers come back; lost boards cost nothing."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from distributed import Client, Future
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from codegen.schedule import Candidate
from codegen.tensor import AnyArray
from explorer.errors import FarmError
from explorer.farm import tasks
from explorer.farm.bench import Answer, Introduction, Order, resource_prefix
from explorer.farm.place import Place, security_of
from microbench.board import BundleRun

QUEUED = 2  # orders of a board: it has the next when it is done with one
FAILURES = 3  # of a board, or of a candidate on different boards
REFRESH_S = 0.5  # between two looks at which boards there are
PATIENCE_S = 60.0  # for a board to join where none is left
CONNECT_S = 10.0


@dataclass(frozen=True)
class SetAside:
    """A board that is not asked any more, and why."""

    board: str
    reason: str


@dataclass
class _Asked:
    candidate: Candidate
    failures: dict[str, str] = field(default_factory=dict)  # reasons by the board's address


@dataclass(frozen=True)
class Settled:
    """An answer; `is_last`: the candidate is not asked of another board. Of one that was lost with every board that
    took it, `lost` says how.
    """

    candidate: Candidate
    answer: Answer | None
    is_last: bool
    lost: str = ""


class Pool:
    """All boards of one class of a farm. Used in one thread.

    Raises FarmError where nothing answers at the address, no board there is of the wanted class, or boards of several
    classes are. `wanted`: the profile's hash and the board's name, empty where any will do.
    """

    def __init__(self, place: Place, profile_hash: str, board: str, describe: str) -> None:
        self.place = place
        self.set_aside: list[SetAside] = []
        self.answered: set[str] = set()  # names of boards
        self._failures: Counter[str] = Counter()  # of boards, by address
        self._due: deque[_Asked] = deque()
        self._out: dict[Future, _Asked] = {}
        self._done: SimpleQueue[tuple[float, Future]] = SimpleQueue()
        self.busy_s = 0.0  # in which a candidate was with a board, or on its way
        self._busy_from_s = 0.0
        self._begun: set[str] = set()
        self._looked_s = 0.0
        self._boards: Mapping[str, tuple[str, str]] = {}
        self._client = connected(place)
        try:
            self._resource = self._chosen(profile_hash, board, describe)
            self._boards = self._present()
            self.introduction: Introduction = self._alone(tasks.introduce)
        except BaseException:
            self.close()
            raise

    @property
    def width(self) -> int:
        """How many boards there are."""
        return len(self._present())

    @property
    def dashboard(self) -> str:
        """The link of Dask's pages about the farm."""
        return str(self._client.dashboard_link)

    def begin(self, candidates: Iterable[Candidate], order: Callable[[Candidate], Order]) -> None:
        """Hands out candidates as soon as boards have room; each once, until it is settled."""
        self._order = order
        for candidate in candidates:
            if candidate.hash not in self._begun:
                self._begun.add(candidate.hash)
                self._due.append(_Asked(candidate))
        self._hand_out()

    def settled(self) -> tuple[Settled, ...]:
        """Waits for answers, at least one; raises FarmError where no board is left, or the farm is. Boards have their
        next orders before this returns.
        """
        futures = self._arrived()
        asked = [self._out.pop(future) for future in futures]
        answers = self._answers(futures)  # all are here before a board is set aside with what it answered
        found = tuple(self._settle(one, answers[future]) for one, future in zip(asked, futures, strict=True))
        self._hand_out()
        return found

    def run_bundle(self, files: Mapping[str, bytes], inputs: tuple[AnyArray, ...]) -> BundleRun:
        """On the first of the boards by name, the same one as long as it is there; raises what the board raises."""
        first = min(self._require_boards(), key=lambda address: self._boards[address][0])
        run: BundleRun = self._alone(tasks.run_bundle, files, inputs, workers=[first])
        return run

    def drop(self) -> None:
        """Leaves out what no board has answered yet."""
        self._client.cancel(list(self._out), force=True)
        self._out, self._begun = {}, set()
        self._due.clear()
        self._done = SimpleQueue()

    def close(self) -> None:
        """Leaves the farm as it is."""
        self._client.close(timeout=CONNECT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chosen(self, profile_hash: str, board: str, describe: str) -> str:
        """The one class that is wanted: a task that asks for what no board has would wait for ever."""
        every: dict[str, tuple[str, str]] = self._client.run_on_scheduler(tasks.boards_of, "")
        prefix = resource_prefix(board, profile_hash)
        classes = {resource for _, resource in every.values() if resource.startswith(prefix)}
        if len(classes) == 1:
            return classes.pop()
        there = ", ".join(sorted(f"{name} ({resource})" for name, resource in every.values())) or "none"
        if classes:
            raise FarmError(
                f"the farm at {self.place.address} has boards of {len(classes)} classes that are {describe}, whose "
                f"times cannot be compared: {there}; leave those of all but one out"
            )
        raise FarmError(
            f"the farm at {self.place.address} has no board that is {describe}; it has: {there}. Let one join with "
            f"explore farm join {self.place.address}, or name the device of those that are there with --device"
        )

    def _alone(self, task: Callable[..., Any], *arguments: object, workers: Collection[str] = ()) -> Any:
        where = {"workers": list(workers)} if workers else {}
        future = self._client.submit(
            task,
            *arguments,
            key=_key(task.__name__),
            resources={self._resource: 1},
            pure=False,
            retries=0,
            **where,
        )
        return self._result(future)

    def _hand_out(self) -> None:
        """Together what may go to any board: a message to the scheduler takes both ends as long as several orders."""
        room = QUEUED * len(self._present()) - len(self._out)
        anywhere: list[_Asked] = []
        while self._due and room > 0:
            asked = self._due.popleft()
            others = [address for address in self._boards if address not in asked.failures]
            if asked.failures and others:
                self._submit([asked], workers=others, allow_other_workers=True)
            else:
                anywhere.append(asked)
            room -= 1
        if anywhere:
            self._submit(anywhere)

    def _submit(self, orders: Sequence[_Asked], **where: Any) -> None:
        if not self._out:
            self._busy_from_s = time.monotonic()
        futures = self._client.map(
            tasks.measure,
            [self._order(asked.candidate) for asked in orders],
            key=[_key(f"measure-{asked.candidate.hash[:12]}") for asked in orders],
            resources={self._resource: 1},
            pure=False,
            retries=0,
            **where,
        )
        for future, asked in zip(futures, orders, strict=True):
            self._out[future] = asked
            future.add_done_callback(self._note_done)

    def _arrived(self) -> list[Future]:
        """All that is done by now, at least one."""
        waited_from_s = time.monotonic()
        while True:
            try:
                done = [self._done.get(timeout=REFRESH_S)]
                break
            except Empty:
                self._hand_out()
                if self._present():
                    waited_from_s = time.monotonic()
                elif time.monotonic() - waited_from_s > PATIENCE_S:
                    self._require_boards()
                if self._client.status not in ("running", "connecting"):
                    raise FarmError(f"{self._lost}; start it again") from None
        while not self._done.empty():
            done.append(self._done.get())
        found = [future for _, future in done if future in self._out]
        if len(found) == len(self._out):
            self.busy_s += max(done_s for done_s, _ in done) - self._busy_from_s
        return found

    def _note_done(self, future: Future) -> None:
        self._done.put((time.monotonic(), future))

    def _answers(self, futures: Sequence[Future]) -> dict[Future, Answer | str]:
        """What boards said, fetched together, or how all were lost that were asked."""
        fetched = [future for future in futures if future.status == "finished"]
        answers: dict[Future, Answer | str] = {}
        with suppress(KilledWorker):  # an answer was lost with its board, and all who took it again
            answers.update(zip(fetched, self._fetched(fetched), strict=True))
        for future in futures:
            if future in answers:
                future.release()
                continue
            try:
                answers[future] = self._result(future)
            except KilledWorker as error:
                answers[future] = f"every board that took it was lost: {error}"
        self.answered.update(answer.board for answer in answers.values() if isinstance(answer, Answer))
        return answers

    def _settle(self, asked: _Asked, answer: Answer | str) -> Settled:
        if isinstance(answer, str):
            self._begun.discard(asked.candidate.hash)
            return Settled(asked.candidate, None, True, answer)
        if not answer.failure:
            self._begun.discard(asked.candidate.hash)
            return Settled(asked.candidate, answer, True)
        self._note(answer)
        asked.failures[answer.address] = f"{answer.board}: {answer.failure}"
        if len(asked.failures) < FAILURES:
            self._due.appendleft(asked)
            return Settled(asked.candidate, answer, False)
        self._begun.discard(asked.candidate.hash)
        return Settled(asked.candidate, answer, True, "; ".join(asked.failures.values()))

    def _note(self, answer: Answer) -> None:
        self._failures[answer.address] += 1
        if self._failures[answer.address] == FAILURES:
            self.set_aside.append(SetAside(answer.board, answer.failure))
            self._client.run_on_scheduler(tasks.remove_board, answer.address)
            self._looked_s = 0.0

    def _result(self, future: Future) -> Any:
        """Raises FarmError where the farm was lost, and what the task raised."""
        try:
            return self._fetched([future])[0]
        finally:
            future.release()

    def _fetched(self, futures: list[Future]) -> list[Any]:
        """What tasks returned, or the first one's error. An answer that was lost with its board comes from the next
        that takes the task; raises FarmError where no board is left to take it, or the farm is lost.
        """
        while True:
            with self._explained():
                try:
                    answers: list[Any] = self._client.sync(
                        lambda: self._client.gather(futures, asynchronous=True), callback_timeout=PATIENCE_S
                    )
                    return answers
                except TimeoutError:
                    if any(future.status == "error" for future in futures):
                        raise  # the task's own
            self._require_boards()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (CancelledError, FutureCancelledError, OSError) as error:
            raise FarmError(f"{self._lost}: {error}; start it again") from error

    @property
    def _lost(self) -> str:
        return f"the farm at {self.place.address} was lost; samples already taken are kept"

    def _present(self) -> Mapping[str, tuple[str, str]]:
        if time.monotonic() - self._looked_s > REFRESH_S:
            try:
                self._boards = self._client.run_on_scheduler(tasks.boards_of, self._resource)
            except OSError as error:
                raise FarmError(f"{self._lost}: {error}; start it again") from error
            self._looked_s = time.monotonic()
        return self._boards

    def _require_boards(self) -> Mapping[str, tuple[str, str]]:
        if not self._present():
            aside = "; ".join(f"{one.board} was set aside: {one.reason}" for one in self.set_aside)
            raise FarmError(
                f"no board of the class is left at {self.place.address} ({aside or 'all have left'}); let one join "
                "with explore farm join, then run again, no sample is lost"
            )
        return self._boards


def connected(place: Place) -> Client:
    """A client; raises FarmError where nothing answers."""
    try:
        return Client(place.address, security=security_of(place), timeout=CONNECT_S, set_as_default=False)
    except OSError as error:
        raise FarmError(
            f"no farm answers at {place.address}: {error}; start one with explore farm up"
        ) from error


def _key(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex}"
