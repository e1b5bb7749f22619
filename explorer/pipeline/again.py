"""A run made again: from exactly the samples that it learned from and took, wherever they are kept by now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.engine_registry import engines
from explorer.errors import RunDataError, SampleFileError
from explorer.pipeline.prior import known_boards
from explorer.runs.files import COMMAND_FILE, Contents, recorded_contents
from explorer.samples.files import import_samples, read_samples
from explorer.settings import RunSettings
from microbench.board import Board
from microbench.store import Sample, Store, content_digest


@contextmanager
def store_of(settings: RunSettings, board: Board) -> Iterator[Store]:
    """The store that a run finds its samples in, with those of the file that it begins with.

    Of a run that is made again, it shows that run's samples alone. Raises StoreError; SampleFileError where no sample
    of the file is of such a board; RunDataError where the store lacks some of the run's.
    """
    with Store.open(settings.store) as store:
        if settings.samples is not None:
            import_samples(_usable(settings.samples, board), store)
        yield store if settings.again is None else _OneRun(store, _recorded(store, settings.again))


def contents_of(store: Store, prior: Sequence[int], measured: Sequence[int]) -> Contents:
    """What a run learned from and took, told by the ids that the samples have in a store."""
    wanted = {*prior, *measured}
    digests = {sample.id: content_digest(sample) for sample in store.samples() if sample.id in wanted}
    return Contents(*(tuple(digests[i] for i in ids if i in digests) for ids in (prior, measured)))


class _OneRun(Store):
    """A store that shows certain samples, and those that it is given."""

    def __init__(self, store: Store, shown: Iterable[int]) -> None:
        super().__init__(store._engine, store._url, store._file)
        self._shown = set(shown)

    def add(self, sample: Sample) -> int:
        number = super().add(sample)
        self._shown.add(number)
        return number

    def samples(
        self, fingerprint_hash: str | None = None, *, class_hash: str | None = None
    ) -> Iterator[Sample]:
        every = super().samples(fingerprint_hash, class_hash=class_hash)
        return (sample for sample in every if sample.id in self._shown)


def _recorded(store: Store, run: Path) -> tuple[int, ...]:
    contents = recorded_contents(run)
    if contents is None:
        raise RunDataError(
            f"{run / COMMAND_FILE} does not say which samples the run learned from and took: it did not end, or an "
            "older version made it; make it anew by the command that it names"
        )
    wanted = [*contents.prior, *contents.measured]
    held = {content_digest(sample): sample.id for sample in store.samples()}
    if missing := sum(digest not in held for digest in wanted):
        raise RunDataError(
            f"the store lacks {missing} of the {len(wanted)} samples that {run} learned from or took: name the store "
            "that it had with --store, or what was exported from there with --from"
        )
    return tuple(held[digest] for digest in wanted)


def _usable(path: Path, board: Board) -> tuple[Sample, ...]:
    """All samples of a file, some of which must be of boards that this board's model can learn from."""
    samples = read_samples(path)
    kinds = {name: board.kind_of(name) for name in engines()}
    profiles = known_boards(board)
    if not any(
        sample.candidate.choice.algorithm in algorithms()
        and sample.fingerprint.profile_hash in profiles
        and sample.kind == kinds.get(sample.candidate.choice.engine)
        for sample in samples
    ):
        boards = sorted({f"{sample.fingerprint.board} ({sample.kind})" for sample in samples})
        wanted = " and ".join(sorted(set(kinds.values())))
        raise SampleFileError(
            f"{path}: no sample is of a board of the class of {board.profile.name}, with {wanted} times and constants "
            f"that are known here; they are of {', '.join(boards) or 'none'}: ask for samples of such a board"
        )
    return samples
