"""A sample: what one board said about one candidate."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, lru_cache
from statistics import median
from typing import Any, Literal, get_args

import numpy as np

from codegen.canonical import canonical_json
from codegen.errors import CanonicalFormError
from codegen.graph import LayerSpec
from codegen.revive import revivable, revive_json
from codegen.schedule import Candidate, Choice, Work
from codegen.tensor import FloatArray
from microbench.board import Fingerprint, Job, Kind, Measurement
from microbench.conditions import Conditions, as_plain, of_plain
from microbench.errors import BoardError, StoreError
from microbench.series import Series, check_names, plain_series, series_of_plain

Status = Literal["ok", "wrong", "failed"]
Role = Literal["candidate", "reference", "disturbed", "rehearsal"]
MOST_LAYERS = 4096  # kept in mind while samples are read
_START, _SPEC, _END = '{"choice":', ',"spec":', ',"type":"Candidate"}'  # of a candidate's canonical JSON
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Normalisation:
    """How one board's times became those of another of its class: multiplied by `factor`, what reference kernels took
    there over what they took here. `reference_ids`: the samples that say so, of both boards, in the store that the
    sample was taken for; `onto`: the hash of the other's serial number.

    Raises StoreError for a factor that is none.
    """

    raw_times_s: tuple[float, ...]
    factor: float
    reference_ids: tuple[int, ...]
    onto: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise StoreError(f"a sample cannot be normalised by the factor {self.factor!r}")
        if not all(math.isfinite(time_s) and time_s >= 0 for time_s in self.raw_times_s):
            raise StoreError("a normalised sample has a raw time that is none")


@dataclass(frozen=True)
class Sample:
    """One measurement as it is kept: `ok`, `wrong` (the output differs from the reference) or `failed`.

    `times_s` holds every repeat, in seconds; it is empty only for a failed sample. `message` says why
    a sample is not ok. `conditions` are readings of the board before and after, empty where it has no
    sensors. `role`: `reference` is a kernel timed again and again to see the board drift, `disturbed` what was timed
    while clock or temperature moved; neither is ever chosen. A `rehearsal` was timed as a step of a whole network, each
    time the median of a few runs; `context` says where: a digest of the network's plan, the round and the step's name.
    `series` are quantities read while it was timed, each of its own name and unit. `revision` is the algorithm's whose
    code was timed, of a rehearsal the whole network's (`codegen.revision`): code of another one has other times.
    `normalisation`: of times that were made comparable with those of another board of the class, None: they are as they
    were timed. `id` is 0 until the store gives it one. Raises StoreError for a sample that says nothing, SeriesError
    for two series of one name.
    """

    candidate: Candidate
    fingerprint: Fingerprint
    kind: Kind
    status: Status
    times_s: tuple[float, ...]
    work: Work
    counters: Mapping[str, float] = field(default_factory=dict)
    output_sha256: str = ""
    message: str = ""
    id: int = 0
    conditions: tuple[Conditions, ...] = ()
    role: Role = "candidate"
    context: str = ""
    series: tuple[Series, ...] = ()
    revision: str = ""
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.status not in get_args(Status):
            raise StoreError(f"a sample cannot have kind {self.kind!r} and status {self.status!r}")
        if self.role not in get_args(Role):
            raise StoreError(f"a sample cannot have role {self.role!r}")
        if self.output_sha256 and not _SHA256.fullmatch(self.output_sha256):
            raise StoreError(f"a sample cannot have the output checksum {self.output_sha256!r}")
        if self.status == "ok" and not self.times_s:
            raise StoreError(f"sample of candidate {self.candidate.hash[:12]} is ok but has no time")
        if not all(math.isfinite(time_s) and time_s >= 0 for time_s in self.times_s):
            raise StoreError(f"sample of candidate {self.candidate.hash[:12]} has a time that is none")
        if self.normalisation and len(self.normalisation.raw_times_s) != len(self.times_s):
            raise StoreError(f"sample of candidate {self.candidate.hash[:12]} has not a raw time for each")
        check_names(self.series)

    @property
    def candidate_hash(self) -> str:
        return self.candidate.hash

    @property
    def fingerprint_hash(self) -> str:
        return self.fingerprint.hash

    @property
    def time_s(self) -> float:
        """The median of the repeats, in seconds."""
        return median(self.times_s)

    def normalised(self, factor: float, reference_ids: Iterable[int], onto: str) -> Sample:
        """With the times of another board of its class; raises as `Normalisation`."""
        normalisation = Normalisation(self.times_s, factor, tuple(reference_ids), onto)
        return replace(
            self, times_s=tuple(factor * time_s for time_s in self.times_s), normalisation=normalisation
        )

    @property
    def as_timed(self) -> Sample:
        """With the times that its own board took."""
        if self.normalisation is None:
            return self
        return replace(self, times_s=self.normalisation.raw_times_s, normalisation=None)

    @property
    def is_timed(self) -> bool:
        """Whether it worked and took time: a view's time may be nothing at all."""
        return self.status == "ok" and self.time_s > 0

    @staticmethod
    def of(
        job: Job, fingerprint: Fingerprint, measurement: Measurement, status: Status = "ok", message: str = ""
    ) -> Sample:
        """The sample of a measurement; the caller judges the output against the reference."""
        return Sample(
            job.candidate,
            fingerprint,
            measurement.kind,
            status,
            tuple(float(time_s) for time_s in measurement.times_s),
            job.work,
            dict(measurement.counters),
            "" if measurement.output is None else output_sha256(measurement.output),
            message,
            conditions=measurement.conditions,
            series=measurement.series,
            revision=job.revision,
        )

    @staticmethod
    def failed(job: Job, fingerprint: Fingerprint, kind: Kind, message: str) -> Sample:
        """The sample of a candidate that the board refused or that died on it."""
        return Sample(
            job.candidate, fingerprint, kind, "failed", (), job.work, message=message, revision=job.revision
        )


def output_sha256(output: FloatArray) -> str:
    """SHA-256 of a flat output image's bytes (float32, little endian)."""
    return hashlib.sha256(np.ascontiguousarray(output, dtype="<f4").tobytes()).hexdigest()


Row = Mapping[str, Any]


@cache
def _known() -> Mapping[str, type[Any]]:
    return {**revivable(), "Fingerprint": Fingerprint}


@cache
def _fingerprint(text: str) -> Fingerprint:
    return revive_json(Fingerprint, text, _known())


def _candidate(text: str) -> Candidate:
    """The candidate of a canonical text; those of one layer share its spec, which is most of the text."""
    choice, middle, rest = text.partition(_SPEC)
    spec, end, nothing = rest.rpartition(_END)
    if not choice.startswith(_START) or not middle or not end or nothing:
        return revive_json(Candidate, text, _known())  # raises what is wrong, or it is not as compact as ours
    return Candidate(_layer(spec), revive_json(Choice, choice.removeprefix(_START), _known()))


@lru_cache(maxsize=MOST_LAYERS)
def _layer(text: str) -> LayerSpec:
    return revive_json(LayerSpec, text, _known())


def to_row(sample: Sample) -> dict[str, Any]:
    """The sample as a table row, without its id."""
    try:
        counters = json.dumps(dict(sample.counters), sort_keys=True, allow_nan=False)
        conditions = json.dumps(as_plain(sample.conditions), sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise StoreError(f"sample of candidate {sample.candidate_hash[:12]}: counters: {error}") from error
    return {
        "candidate_hash": sample.candidate_hash,
        "candidate_json": sample.candidate.canonical,
        "fingerprint_hash": sample.fingerprint_hash,
        "fingerprint_json": canonical_json(sample.fingerprint),
        "kind": sample.kind,
        "status": sample.status,
        "times_s": json.dumps(sample.times_s, allow_nan=False),
        "work_json": canonical_json(sample.work),
        "counters_json": counters,
        "output_sha256": sample.output_sha256,
        "message": _storable(sample.message),
        "conditions_json": conditions,
        "role": sample.role,
        "context": sample.context,
        "series_json": json.dumps(plain_series(sample.series), sort_keys=True),
        "revision": sample.revision,
        "class_hash": sample.fingerprint.class_hash,
        "normalisation_json": json.dumps(
            sample.normalisation and asdict(sample.normalisation), sort_keys=True
        ),
    }


def content_digest(sample: Sample) -> str:
    """SHA-256 of all a sample says, its id apart: what tells whether two stores hold the same sample.

    That of a sample whose times are as they were timed is the same as before there was a normalisation.
    """
    row = to_row(sample)
    del row["class_hash"]  # the fingerprint has it
    if sample.normalisation is None:
        del row["normalisation_json"]
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _normalisation(text: str) -> Normalisation | None:
    form = json.loads(text)
    if form is None:
        return None
    if not isinstance(form, dict) or set(form) != {one.name for one in fields(Normalisation)}:
        raise ValueError("a normalisation has raw times, a factor, references and a board")
    ids = form["reference_ids"]
    if not isinstance(ids, list) or not all(isinstance(number, int) for number in ids):
        raise ValueError("references are ids of samples")
    return Normalisation(tuple(form["raw_times_s"]), form["factor"], tuple(ids), str(form["onto"]))


def _counters(text: str) -> dict[str, float]:
    counters = json.loads(text)
    if not isinstance(counters, dict) or not all(isinstance(n, int | float) for n in counters.values()):
        raise ValueError("counters are numbers by name")
    return counters


def _storable(text: str) -> str:
    """A compiler's or a kernel's words may hold what no database takes: zeros and halves of characters."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def from_row(row: Row, place: str = "", remedy: str = "restore the store from a copy") -> Sample:
    """The sample of a table row; raises StoreError where its content contradicts its hashes.

    `place` is how the message calls the row, by its number in the store where it is empty.
    """
    place = place or f"sample {row['id']} of the store"
    try:
        sample = Sample(
            _candidate(row["candidate_json"]),
            _fingerprint(row["fingerprint_json"]),
            row["kind"],
            row["status"],
            tuple(json.loads(row["times_s"])),
            revive_json(Work, row["work_json"], _known()),
            _counters(row["counters_json"]),
            row["output_sha256"],
            row["message"],
            row["id"],
            of_plain(json.loads(row["conditions_json"])),
            row["role"],
            row["context"],
            series_of_plain(json.loads(row["series_json"])),
            row["revision"],
            _normalisation(row["normalisation_json"]),
        )
    except (CanonicalFormError, BoardError, StoreError, ValueError, TypeError) as error:
        raise StoreError(f"{place} is malformed: {error}; {remedy}") from error
    hashes = (sample.candidate_hash, sample.fingerprint_hash, sample.fingerprint.class_hash)
    if hashes != (row["candidate_hash"], row["fingerprint_hash"], row["class_hash"]):
        raise StoreError(f"{place} does not have the hash it is filed under; {remedy}")
    return sample
