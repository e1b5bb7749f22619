"""Samples as CSV or Parquet: what others may read, and what a store takes in again.

The columns of the store come back as they went out, hashes and fingerprints included; the columns before them are for
readers and are not read back.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codegen.canonical import content_hash
from explorer.errors import MissingExtraError, SampleFileError
from explorer.samples.table import describe_layer
from microbench.errors import StoreError
from microbench.protocol import outliers
from microbench.store import Sample, Store, content_digest, from_row, to_row
from microbench.store.migrations.to_5 import upgraded_candidate
from microbench.store.migrations.to_6 import without_generator
from microbench.store.migrations.to_11 import class_hash

if TYPE_CHECKING:
    import pandas as pd

CSV, PARQUET = ".csv", ".parquet"
INSTALL_LINE = "pip install -e '.[parquet]'"
READERS_COLUMNS = (
    "layer",
    "spec_hash",
    "board",
    "engine",
    "algorithm",
    "split",
    "tile",
    "median_s",
    "repeats",
    "outliers",
)
STORE_COLUMNS = (
    "candidate_hash",
    "candidate_json",
    "fingerprint_hash",
    "fingerprint_json",
    "kind",
    "status",
    "role",
    "context",
    "times_s",
    "work_json",
    "counters_json",
    "conditions_json",
    "series_json",
    "output_sha256",
    "message",
    "revision",
    "normalisation_json",
)
# Exported before samples had such a column: all were timed alone, nothing else was read, by code of no known revision,
# and the times are as they were timed.
WITHOUT = {"context": "", "series_json": "[]", "revision": "", "normalisation_json": "null"}


@dataclass(frozen=True)
class Imported:
    """How many samples of a file were new to the store, and how many it had already."""

    new: int
    known: int


def check_format(path: Path) -> None:
    """Raises SampleFileError for an ending that is no known format, MissingExtraError where it needs more packages."""
    if path.suffix not in (CSV, PARQUET):
        raise SampleFileError(
            f"{path}: samples are written and read as *{CSV} or *{PARQUET}; name such a file"
        )
    if path.suffix == PARQUET and find_spec("pyarrow") is None:
        raise MissingExtraError(
            f"{path}: Parquet needs pyarrow: type  {INSTALL_LINE}  in the project's directory, or take a *{CSV} file"
        )


def export_samples(samples: Iterable[Sample], path: Path) -> int:
    """Writes the samples in their order, the whole file or nothing; returns how many they are.

    Raises as `check_format`, and OSError where the file cannot be written.
    """
    check_format(path)
    import pandas as pd

    columns = [*READERS_COLUMNS, *STORE_COLUMNS]
    frame = pd.DataFrame([_exported(sample) for sample in samples], columns=columns)
    frame = frame.astype({"median_s": float, "repeats": int, "outliers": str})
    unfinished = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == CSV:
            frame.to_csv(unfinished, index=False, lineterminator="\n", encoding="utf-8")
        else:
            frame.to_parquet(unfinished, engine="pyarrow", index=False)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(frame)


def import_samples(samples: Sequence[Sample], store: Store) -> Imported:
    """Takes in the samples that the store has not got, with their fingerprints; equal ones once."""
    held = {content_digest(sample) for sample in store.samples()}
    new = 0
    for sample in samples:
        digest = content_digest(sample)
        if digest not in held:
            store.add(sample)
            held.add(digest)
            new += 1
    return Imported(new, len(samples) - new)


def read_samples(path: Path) -> tuple[Sample, ...]:
    """The samples of an exported file, with id 0, all of them checked.

    Raises SampleFileError for a file that is no export, or a row whose content is malformed or contradicts its hashes;
    otherwise as `check_format`.
    """
    check_format(path)
    rows = _rows(_frame(path), path)
    remedy = "ask for the export again"
    try:
        return tuple(
            from_row(_upgraded(row), f"{path}: sample {number}", remedy) for number, row in enumerate(rows, 1)
        )
    except StoreError as error:
        raise SampleFileError(str(error)) from error


def _upgraded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row as this version exports it; what is not filed under its own hash stays as it is, to be refused."""
    candidate, fingerprint = row["candidate_json"], row["fingerprint_json"]
    upgraded = {**row, "class_hash": ""}
    if _hash(candidate) == row["candidate_hash"]:
        upgraded["candidate_json"], upgraded["candidate_hash"] = upgraded_candidate(candidate)
    if _hash(fingerprint) == row["fingerprint_hash"]:
        new, new_hash, generator = without_generator(fingerprint)
        upgraded |= {"fingerprint_json": new, "fingerprint_hash": new_hash, "class_hash": class_hash(new)}
        upgraded["revision"] = row["revision"] or generator
    return upgraded


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _exported(sample: Sample) -> Mapping[str, Any]:
    spec, choice = sample.candidate.spec, sample.candidate.choice
    return {
        "layer": describe_layer(spec),
        "spec_hash": content_hash(spec),
        "board": sample.fingerprint.board,
        "engine": choice.engine,
        "algorithm": choice.algorithm,
        "split": " ".join(f"{name}={value}" for name, value in choice.split),
        "tile": " ".join(f"{name}={value}" for name, value in choice.tile),
        "median_s": sample.time_s if sample.times_s else None,
        "repeats": len(sample.times_s),
        "outliers": json.dumps([place for place, far in enumerate(outliers(sample.times_s)) if far]),
        **to_row(sample),
    }


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix == CSV:
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        return pd.read_parquet(path, engine="pyarrow")
    except FileNotFoundError as error:
        raise SampleFileError(
            f"{path} is not there; name a file that `explore samples export` wrote"
        ) from error
    except (
        ValueError,
        OSError,
    ) as error:  # pandas and pyarrow raise kinds of ValueError for what they cannot parse
        raise SampleFileError(f"{path} is no export of samples: {error}; ask for it again") from error


def _rows(frame: pd.DataFrame, path: Path) -> Iterator[dict[str, Any]]:
    for column, value in WITHOUT.items():
        if column not in frame.columns:
            frame = frame.assign(**{column: value})
    missing = [column for column in STORE_COLUMNS if column not in frame.columns]
    if missing:
        raise SampleFileError(
            f"{path} is no export of samples: it lacks the columns {', '.join(missing)}; ask for it again"
        )
    for number, row in enumerate(frame[list(STORE_COLUMNS)].to_dict("records"), 1):
        if not all(isinstance(value, str) for value in row.values()):
            raise SampleFileError(
                f"{path}: sample {number} is malformed: a column is no text; ask for the export again"
            )
        yield {**{str(column): value for column, value in row.items()}, "id": 0}
