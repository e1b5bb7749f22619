"""Reference kernels, timed on every board of a class whose clock is read: what one takes longer than another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from explorer.errors import FarmError
from microbench.protocol import FEWEST_REFERENCES
from microbench.store import Sample

Timed = dict[str, list[tuple[int, float]]]  # by reference: ids and seconds, the oldest first


class References:
    """The board whose reference was timed first is the base: the times of all others become its own."""

    def __init__(self, known: Iterable[Sample]) -> None:
        """`known`: the store's samples of the class, the oldest first."""
        self._timed: dict[str, Timed] = {}  # by instance
        for sample in known:
            self.take(sample)

    def take(self, sample: Sample) -> None:
        """Takes note of a stored sample; only references count."""
        if sample.role == "reference" and sample.is_timed:
            own = self._timed.setdefault(sample.fingerprint.serial_hash, {})
            own.setdefault(sample.candidate_hash, []).append((sample.id, sample.as_timed.time_s))

    @property
    def base(self) -> str | None:
        """The serial number's hash of the base; None where no reference was ever timed."""
        return next(iter(self._timed), None)

    def is_comparable(self, sample: Sample) -> bool:
        """Whether its time is one of the base."""
        instance = sample.normalisation.onto if sample.normalisation else sample.fingerprint.serial_hash
        return self.base in (None, instance)

    def normalised(self, sample: Sample) -> Sample:
        """With the time of the base; as it is where it is the base's, or there are no references.

        Raises FarmError where no reference was timed on both.
        """
        instance = sample.fingerprint.serial_hash
        if self.base in (None, instance):
            return sample
        factor, ids = self._factor(instance)
        return sample.normalised(factor, ids, self.base or "")

    def _factor(self, instance: str) -> tuple[float, tuple[int, ...]]:
        """The geometric mean over the references, and the ids of what it is from: the base's oldest, whose frame all
        others are in, and the newest of the board, which shows how it is now.
        """
        base, own = self._timed[self.base or ""], self._timed.get(instance, {})
        ids: list[int] = []
        logs = []
        for reference in sorted(base.keys() & own.keys()):
            first, last = base[reference][:FEWEST_REFERENCES], own[reference][-FEWEST_REFERENCES:]
            ids += [number for number, _ in (*first, *last)]
            logs.append(math.log(median(t for _, t in first) / median(t for _, t in last)))
        if not logs:
            raise FarmError(
                f"board {instance!r} has timed no reference kernel that the base of its class has: their times cannot "
                "be compared; name another store with --store, or leave the board out"
            )
        return math.exp(sum(logs) / len(logs)), tuple(ids)
