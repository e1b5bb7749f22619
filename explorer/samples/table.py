"""Which samples of a store are meant, and how a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from codegen.canonical import content_hash
from codegen.graph import LayerSpec
from codegen.tensor import TensorType
from explorer.errors import UsageError
from explorer.terminal.sheet import Sheet
from microbench.board import Kind
from microbench.protocol import estimate
from microbench.store import Role, Sample, Status

HASH_DIGITS = 12


@dataclass(frozen=True)
class SampleFilter:
    """Empty fields let everything pass. Raises UsageError for a status, role or kind that no sample has.

    `layer` is a part of the layer's description, or the beginning of its hash; `board` a part of the board's model, or
    the beginning of its fingerprint's hash. Neither looks at capitals.
    """

    layer: str = ""
    algorithm: str = ""
    status: str = ""
    board: str = ""
    role: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        for name, known in (("status", Status), ("role", Role), ("kind", Kind)):
            value = getattr(self, name)
            if value and value not in get_args(known):
                raise UsageError(f"--{name} {value!r} is unknown; there are {', '.join(get_args(known))}")

    def passes(self, sample: Sample) -> bool:
        """Whether a sample is meant."""
        spec, choice = sample.candidate.spec, sample.candidate.choice
        return (
            all(
                not wanted or wanted == found
                for wanted, found in (
                    (self.algorithm, choice.algorithm),
                    (self.status, sample.status),
                    (self.role, sample.role),
                    (self.kind, sample.kind),
                )
            )
            and _named(self.layer, describe_layer(spec), content_hash(spec))
            and _named(self.board, sample.fingerprint.board, sample.fingerprint_hash)
        )

    def of(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples that are meant, in their order."""
        return filter(self.passes, samples)


def describe_layer(spec: LayerSpec) -> str:
    """Operator and shapes: `Conv2d 1x3x224x224 -> 1x32x112x112`."""
    inputs = " + ".join(_shape(tensor) for tensor in spec.inputs)
    return f"{type(spec.op).__name__} {inputs} -> {', '.join(map(_shape, spec.outputs))}"


HEADINGS = (
    "id", "layer", "engine", "algorithm", "tile", "status", "kind", "role", "board", "median", "95 % interval",
    "repeats", "outliers",
)  # fmt: skip
SERIES = "series: mean (readings)"


def samples_sheet(samples: Iterable[Sample], limit: int, with_series: bool = False) -> tuple[Sheet, int]:
    """A row per sample, at most so many, on request with the mean of every series; and how many were left out."""
    every = list(samples)
    rows = [(*_row(one), *([_series(one)] if with_series else [])) for one in every[:limit]]
    headings = (*HEADINGS, *([SERIES] if with_series else []))
    spare = ("outliers", "engine", "repeats", "role", "board", "tile", "95 % interval", "id")
    return Sheet("", headings, rows, right=HEADINGS[9:], spare=spare), max(0, len(every) - limit)


def samples_json(samples: Iterable[Sample], limit: int) -> dict[str, object]:
    """At most so many as data, and how many were left out."""
    every = list(samples)
    return {"samples": [_json(sample) for sample in every[:limit]], "left_out": max(0, len(every) - limit)}


def _json(sample: Sample) -> dict[str, object]:
    choice = sample.candidate.choice
    return {
        "id": sample.id,
        "layer": describe_layer(sample.candidate.spec),
        "engine": choice.engine,
        "algorithm": choice.algorithm,
        "split": dict(choice.split),
        "tile": dict(choice.tile),
        "status": sample.status,
        "kind": sample.kind,
        "role": sample.role,
        "board": sample.fingerprint.board,
        "fingerprint": sample.fingerprint_hash,
        "times_s": sample.times_s,
        "message": sample.message,
        "series": [{"name": one.name, "unit": one.unit, "values": one.values} for one in sample.series],
    }


def _row(sample: Sample) -> Iterator[str]:
    choice = sample.candidate.choice
    yield str(sample.id)
    yield describe_layer(sample.candidate.spec)
    yield choice.engine
    yield choice.algorithm
    yield " ".join(f"{name}={value}" for name, value in choice.tile) or "-"
    yield from (sample.status, sample.kind, sample.role)
    yield f"{sample.fingerprint.board} {sample.fingerprint_hash[:HASH_DIGITS]}"
    if not sample.times_s:
        yield from ("-", "-", "0", "0")
        return
    found = estimate(sample.times_s)
    yield f"{1e6 * found.time_s:.2f} µs"
    yield f"{1e6 * found.low_s:.2f} to {1e6 * found.high_s:.2f}" if len(sample.times_s) > 1 else "-"
    yield str(len(sample.times_s))
    yield str(sum(found.outliers))


def _series(sample: Sample) -> str:
    texts = (f"{one.name} {one.mean:.4g} {one.unit} ({len(one.values)})" for one in sample.series)
    return "\n".join(texts) or "-"


def _shape(tensor: TensorType) -> str:
    return "x".join(map(str, tensor.shape))


def _named(wanted: str, description: str, digest: str) -> bool:
    wanted = wanted.lower()
    return wanted in description.lower() or (bool(wanted) and digest.startswith(wanted))
