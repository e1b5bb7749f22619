"""The decisions: a Choice for one layer, a Candidate to be measured, the Work it amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from codegen.canonical import canonical_json, text_hash
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec

Value = int | str
Values = tuple[tuple[str, Value], ...]
Point = Mapping[str, Any]
"""A `Value` for each axis of a space; which of the two it is, its axis says."""
AxisNames = Mapping[str, tuple[str, ...]]


def values(point: Point) -> Values:
    """A point of a space in its hashable form, sorted by axis."""
    return tuple(
        sorted((str(name), value if isinstance(value, str) else int(value)) for name, value in point.items())
    )


@dataclass(frozen=True, order=True)
class Choice:
    """How one layer is computed. The search point, the cache key, the plan's entry and the test fixture.

    Fields:
        engine: name of the processor that runs it
        algorithm: name of the algorithm, which is a definition here; of a plug-in's, that one's
        split: decisions on how the work goes over threads or QPUs: pairs of an axis and its value, sorted
        tile: decisions on what is computed at a time, and how: pairs of an axis and its value, sorted
        input_layouts: the layout in which each input is read
        output_layouts: the layout in which each output is written
        precision: name of the type that sums are in
    """

    engine: str
    algorithm: str
    split: Values
    tile: Values
    input_layouts: tuple[str, ...]
    output_layouts: tuple[str, ...]
    precision: str = "float32"

    @property
    def output_layout(self) -> str:
        """The layout of the only output; raises ScheduleError where there are several."""
        if len(self.output_layouts) != 1:
            raise ScheduleError(
                f"{self.algorithm} gives {len(self.output_layouts)} outputs, where one is expected"
            )
        return self.output_layouts[0]

    @property
    def splits(self) -> dict[str, Any]:
        return dict(self.split)

    @property
    def tiles(self) -> dict[str, Any]:
        return dict(self.tile)

    @property
    def threads(self) -> int:
        """How many threads of the CPU share the layer; 1 where its algorithm has no such split."""
        return int(self.splits.get("threads", 1))


@dataclass(frozen=True)
class Candidate:
    """A layer and one way to compute it: the unit of measurement, identified by its content.

    Fields:
        spec: what the layer computes
        choice: how it is computed
    """

    spec: LayerSpec
    choice: Choice

    @cached_property
    def canonical(self) -> str:
        """Its canonical JSON, put together from that of the layer, which many candidates share."""
        return f'{{"choice":{canonical_json(self.choice)},"spec":{self.spec.canonical},"type":"Candidate"}}'

    @cached_property
    def hash(self) -> str:
        return text_hash(self.canonical)


@dataclass(frozen=True)
class Work:
    """What a candidate asks of the machine, counted from shapes alone; all totals, of all processing elements.

    The analytic cost models and the CPU table read these; a field that does not apply is 0.
    `balance` is the busiest element's share of the work times the number of elements (1 is a perfect split).
    """

    macs: float
    alu_instructions: float = 0.0  # issue slots: QPU instructions, or CPU arithmetic instructions
    load_instructions: float = 0.0  # QPU: 16-lane TMU requests; CPU: loads
    uniform_words: float = 0.0
    hiding_instructions: float = (
        0.0  # QPU: that a kernel puts between asking for a line of uniforms and its use
    )
    store_instructions: float = 0.0  # QPU: 16-word DMA rows; CPU: stores
    dma_stores: float = 0.0  # QPU: DMA transfers started
    unique_bytes_read: float = 0.0  # every distinct byte once
    streamed_bytes_read: float = 0.0  # bytes that a small last-level cache has to fetch, re-reads included
    bytes_written: float = 0.0
    balance: float = 1.0
    working_set_bytes: float = 0.0  # what one pass of the inner loop nest touches
    workspace_bytes: float = 0.0  # memory the kernel needs beside its buffers, of all its threads

    @property
    def instructions(self) -> float:
        """Arithmetic, loads and stores together: what tells apart candidates that memory makes equally fast."""
        return self.alu_instructions + self.load_instructions + self.store_instructions


@dataclass(frozen=True)
class Phase:
    """A part of a candidate that is done before the next begins: a candidate of its own for whoever predicts times."""

    candidate: Candidate
    work: Work


@dataclass(frozen=True)
class Axis:
    """One decision and the values it may take: numbers, or names."""

    name: str
    values: tuple[Value, ...]
    role: Literal["split", "tile"] = "tile"


@dataclass(frozen=True)
class Space:
    """The cartesian product of axes; `Algorithm.choice` refuses the points that a kernel cannot have."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        size = 1
        for axis in self.axes:
            size *= len(axis.values)
        return size

    def points(self) -> tuple[dict[str, Any], ...]:
        """Every point, in lexicographic order."""
        points: list[dict[str, Any]] = [{}]
        for axis in self.axes:
            points = [{**point, axis.name: value} for point in points for value in axis.values]
        return tuple(points)
