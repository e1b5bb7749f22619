"""A sample: what one board said about one candidate."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, get_args

import numpy as np

from codegen.canonical import canonical_json
from codegen.errors import CanonicalFormError
from codegen.graph import FloatArray
from codegen.revive import REVIVABLE, revive_json
from codegen.schedule import Candidate, Work
from microbench.board import Fingerprint, Job, Kind, Measurement
from microbench.errors import StoreError

Status = Literal["ok", "wrong", "failed"]


@dataclass(frozen=True)
class Sample:
    """One measurement as it is kept: `ok`, `wrong` (the output differs from the reference) or `failed`.

    `times_s` holds every repeat, in seconds; it is empty only for a failed sample. `message` says why
    a sample is not ok. `id` is 0 until the store gives it one. Raises StoreError for a sample that
    says nothing.
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

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.status not in get_args(Status):
            raise StoreError(f"a sample cannot have kind {self.kind!r} and status {self.status!r}")
        if self.status == "ok" and not self.times_s:
            raise StoreError(f"sample of candidate {self.candidate.hash[:12]} is ok but has no time")
        if not all(math.isfinite(time_s) and time_s >= 0 for time_s in self.times_s):
            raise StoreError(f"sample of candidate {self.candidate.hash[:12]} has a time that is none")

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
        )

    @staticmethod
    def failed(job: Job, fingerprint: Fingerprint, kind: Kind, message: str) -> Sample:
        """The sample of a candidate that the board refused or that died on it."""
        return Sample(job.candidate, fingerprint, kind, "failed", (), job.work, message=message)


def output_sha256(output: FloatArray) -> str:
    """SHA-256 of a flat output image's bytes (float32, little endian)."""
    return hashlib.sha256(np.ascontiguousarray(output, dtype="<f4").tobytes()).hexdigest()


Row = Mapping[str, Any]
_KNOWN: Mapping[str, type[Any]] = {**REVIVABLE, "Fingerprint": Fingerprint}


def to_row(sample: Sample) -> dict[str, Any]:
    """The sample as a table row, without its id."""
    try:
        counters = json.dumps(dict(sample.counters), sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise StoreError(f"sample of candidate {sample.candidate_hash[:12]}: counters: {error}") from error
    return {
        "candidate_hash": sample.candidate_hash,
        "candidate_json": canonical_json(sample.candidate),
        "fingerprint_hash": sample.fingerprint_hash,
        "fingerprint_json": canonical_json(sample.fingerprint),
        "kind": sample.kind,
        "status": sample.status,
        "times_s": json.dumps(sample.times_s, allow_nan=False),
        "work_json": canonical_json(sample.work),
        "counters_json": counters,
        "output_sha256": sample.output_sha256,
        "message": sample.message,
    }


def from_row(row: Row) -> Sample:
    """The sample of a table row; raises StoreError where its content contradicts its hashes."""
    place = f"sample {row['id']} of the store"
    try:
        sample = Sample(
            revive_json(Candidate, row["candidate_json"], _KNOWN),
            revive_json(Fingerprint, row["fingerprint_json"], _KNOWN),
            row["kind"],
            row["status"],
            tuple(json.loads(row["times_s"])),
            revive_json(Work, row["work_json"], _KNOWN),
            json.loads(row["counters_json"]),
            row["output_sha256"],
            row["message"],
            row["id"],
        )
    except (CanonicalFormError, ValueError, TypeError) as error:
        raise StoreError(f"{place} is malformed: {error}; restore the store from a copy") from error
    if (sample.candidate_hash, sample.fingerprint_hash) != (row["candidate_hash"], row["fingerprint_hash"]):
        raise StoreError(f"{place} does not have the hash it is filed under; restore the store from a copy")
    return sample
