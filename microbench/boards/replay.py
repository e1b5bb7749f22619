"""A board that answers from recorded samples: a search can be repeated, or studied, without the board."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import Field

from codegen.target import Target
from codegen.tensor import AnyArray
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.boards.admission import admit
from microbench.errors import BoardError, CandidateError
from microbench.options import BoardOptions, OwnOptions
from microbench.profile import DeviceProfile
from microbench.store import Store


class ReplayOptions(OwnOptions):
    """What only a replay wants to know."""

    fingerprint: str = Field(
        default="", description="hash of the fingerprint to replay, where the store has several"
    )


class ReplayBoard:
    """The newest sample of each candidate, as the recorded board gave it; no outputs. Owns its store."""

    name = "replay"
    over_ssh = False
    own_options = ReplayOptions
    computes = False
    reads_clock = False
    records = False

    def __init__(self, profile: DeviceProfile, store: Store, fingerprint: Fingerprint) -> None:
        self.profile = profile
        self.target: Target = profile.target()
        self._store = store
        self._fingerprint = fingerprint

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> ReplayBoard:
        """Replays `options.store`; raises BoardError where it is not clear which of its boards is meant."""
        if options.store is None:
            raise BoardError("the replay board answers from a store: name one with --store")
        store = Store.open(options.store)
        try:
            return cls(profile, store, _recorded(profile, store, options))
        except BoardError:
            store.close()
            raise

    def fingerprint(self) -> Fingerprint:
        """The recorded board's own."""
        return self._fingerprint

    def describe(self) -> str:
        return "the replay board, no silicon; its times are not measured now, nothing is computed"

    def kind_of(self, engine: str) -> Kind:
        """That of the recorded samples; `modelled` where there are none to tell."""
        recorded = self._store.samples(self._fingerprint.hash)
        return next((s.kind for s in recorded if s.candidate.choice.engine == engine), "modelled")

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError where no sample is of the candidate and of this revision of its algorithm, or the
        newest is not ok.
        """
        admit(job, self.target)
        place = f"candidate {job.candidate.hash[:12]} ({job.candidate.choice.algorithm})"
        found = self._store.find(job.candidate.hash, self._fingerprint.hash)
        recorded = [sample for sample in found if sample.role == "candidate"]
        samples = [sample for sample in recorded if sample.revision == job.revision]
        if not samples:
            how = "recorded for another revision of its algorithm only" if recorded else "never recorded"
            raise CandidateError(
                f"{place} was {how} on {self._fingerprint.board}; measure it there, then replay"
            )
        newest = samples[-1]
        if newest.status != "ok":
            raise CandidateError(f"{place} was recorded as {newest.status}: {newest.message}")
        return Measurement(newest.times_s, newest.kind, None, newest.counters, series=newest.series)

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Always raises BoardError: there is nothing to run it on."""
        raise BoardError(
            f"the replay board has only recorded times and cannot run {bundle}; use the board itself"
        )

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _recorded(profile: DeviceProfile, store: Store, options: BoardOptions) -> Fingerprint:
    wanted = options.own_as(ReplayOptions).fingerprint
    found = [
        fingerprint
        for fingerprint in store.fingerprints()
        if (fingerprint.hash == wanted if wanted else fingerprint.profile_hash == profile.hash)
    ]
    if len(found) == 1:
        return found[0]
    which = f"fingerprint {wanted}" if wanted else f"device {profile.name!r} with this profile"
    listed = "; ".join(f"{f.board} ({f.software}) {f.hash}" for f in (found or store.fingerprints()))
    if not found:
        raise BoardError(f"store {options.store} has no samples of {which}; it has: {listed or 'none'}")
    raise BoardError(
        f"store {options.store} has several boards of {which}; choose one by --board-option fingerprint=HASH: {listed}"
    )
