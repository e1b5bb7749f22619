"""What the learned model sees of a candidate: numbers from its layer, its choice and its work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.graph import LayerSpec
from codegen.layout import Nchw
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.pool2d import Pool2d
from codegen.schedule import Candidate, Phase, Value, Work
from cost_models.machine import CONSTANT_NAMES, Machine
from cost_models.roofline import TERM_NAMES, RooflineTerms
from cost_models.tile_flow import TileFlow, stored_tiles

LEAST = 1e-6  # of what is told by its logarithm
Matrix = NDArray[np.float64]

_WORK_NAMES = tuple(field.name for field in fields(Work))
_FLOW_NAMES = (
    *("flow.memory", "flow.l2", "flow.vpm", "flow.waited", "flow.rounds", "flow.expected", "flow.stagger"),
    *("flow.between_taps", "flow.between_turns", "flow.between_passes", "flow.slice_streams"),
    *("flow.rows_at_once", "flow.columns_at_once", "flow.tile_lines", "flow.tile_words"),
    *("flow.instructions_per_line", "flow.instructions_per_word"),
)
_FIXED_NAMES = (
    *(f"work.{name}" for name in _WORK_NAMES),
    *(f"share.{name}" for name in TERM_NAMES),
    "log.expected",
    *("loads_per_mac", "uniforms_per_mac", "instructions_per_mac", "bytes_per_mac", "rows_per_store"),
    *("in.channels", "in.pixels", "out.channels", "out.pixels", "kernel", "stride", "groups"),
    *("in.row_major", "in.split_vectors"),
    *("stair.stores_per_element", "stair.tiles", "stair.rounds", "stair.raggedness", "stair.tile_macs"),
    *("stair.weight_columns", "stair.redundancy", "stair.busiest_instructions"),
    *("fit.working_set", "fit.inputs", "fit.weights", "fit.rereads", "fit.lines_reread"),
    *_FLOW_NAMES,
    *(f"board.{name}" for name in CONSTANT_NAMES),
)


@dataclass(frozen=True)
class FeatureSet:
    """Which columns there are: fixed ones, one per axis and one per algorithm that the training set has.

    An axis that a candidate lacks is -1; an algorithm's column is 1 for its own candidates, else 0.
    """

    axes: tuple[str, ...]
    algorithms: tuple[str, ...]

    @staticmethod
    def of(candidates: Sequence[Candidate]) -> FeatureSet:
        """The columns for a training set, in an order that rests on what is in them: on names where that is equal."""
        numbers = [_axes(candidate) for candidate in candidates]
        algorithms = [candidate.choice.algorithm for candidate in candidates]
        names = {name for one in numbers for name in one}
        axes = {name: [one.get(name, -1) for one in numbers] for name in names}
        own = {name: [name == one for one in algorithms] for name in set(algorithms)}
        return FeatureSet(
            tuple(sorted(axes, key=lambda name: (axes[name], name))),
            tuple(sorted(own, key=lambda name: (own[name], name))),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (*_FIXED_NAMES, *(f"axis.{n}" for n in self.axes), *(f"is.{n}" for n in self.algorithms))

    def matrix(self, seen: Sequence[SeenCandidate]) -> Matrix:
        """The candidates' columns in the order of `names`, (candidates, columns)."""
        rows = [
            (
                *one.fixed,
                *(one.axes.get(name, -1) for name in self.axes),
                *(one.algorithm == name for name in self.algorithms),
            )
            for one in seen
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.names))


@dataclass(frozen=True, eq=False)
class SeenCandidate:
    """What columns are made of, whichever there are: the fixed ones, the axes' numbers and the algorithm; `expected_s`:
    what is to be expected without any learning; `serial_s`: what a program that overlaps nothing takes, infinite where
    constants do not tell.
    """

    expected_s: float
    serial_s: float
    fixed: tuple[float, ...]
    axes: Mapping[str, int]
    algorithm: str

    @property
    def numbers(self) -> tuple[float, ...]:
        """All that is known of it without names."""
        return (*self.fixed, *sorted(self.axes.values()))

    @staticmethod
    def of(
        candidate: Candidate,
        work: Work,
        terms: RooflineTerms,
        machine: Machine,
        phases: Sequence[Phase] = (),
    ) -> SeenCandidate:
        """A candidate as a machine's model sees it; `phases`: those of its algorithm."""
        flow = _flow_of(phases or (Phase(candidate, work),), machine)
        roofline_cycles = machine.cycles(terms.expected_s, candidate.choice)
        expected_s, serial_s = terms.expected_s, math.inf
        if flow is not None:
            serial_s = terms.serial_s
            expected_s = min(serial_s, flow.cycles / machine.gpu_clock_hz)
        fixed = (
            *(math.log1p(getattr(work, name)) for name in _WORK_NAMES),
            *(getattr(terms, name) / terms.expected_s for name in TERM_NAMES),
            math.log(machine.cycles(expected_s, candidate.choice)),
            *_intensities(work),
            *_shape(candidate.spec),
            *_row_major(candidate),
            *_staircase(candidate, work, machine),
            *_fits(candidate, work, machine),
            *_flow(flow, work, roofline_cycles),
            *machine.constants,
        )
        return SeenCandidate(expected_s, serial_s, fixed, _axes(candidate), candidate.choice.algorithm)


def _axes(candidate: Candidate) -> dict[str, int]:
    choice = candidate.choice
    return {
        **{f"split.{name}": _number(choice.algorithm, name, value) for name, value in choice.split},
        **{f"tile.{name}": _number(choice.algorithm, name, value) for name, value in choice.tile},
    }


def _number(algorithm: str, axis: str, value: Value) -> int:
    """The value, or the place of a name among those that the algorithm gives the axis."""
    if isinstance(value, str):
        return algorithm_named(algorithm).axis_names[axis].index(value)
    return value


def _intensities(work: Work) -> tuple[float, ...]:
    macs = max(work.macs, 1.0)
    return (
        work.load_instructions * 16 / macs,
        work.uniform_words * 16 / macs,
        work.alu_instructions * 16 / macs,
        (work.unique_bytes_read + work.bytes_written) / macs,
        work.store_instructions / max(work.dma_stores, 1.0),
    )


def _row_major(candidate: Candidate) -> tuple[float, float]:
    """Whether the first input lies as ONNX has it, and the share of its channels that begin within a vector there, so
    that a load of neighbouring pixels takes two lines.
    """
    if candidate.choice.input_layouts[:1] != (Nchw.name,):
        return 0.0, 0.0
    pixels = math.prod(candidate.spec.inputs[0].shape[2:])
    return 1.0, 1.0 - math.gcd(pixels, LANES) / LANES


def _staircase(candidate: Candidate, work: Work, machine: Machine) -> tuple[float, ...]:
    """Where time goes in steps: whole tiles dealt out in whole rounds, and results computed twice."""
    choice = candidate.choice
    elements = machine.elements(choice)
    stores = max(work.dma_stores, 1.0)
    tiles = max(1.0, stored_tiles(choice, work))
    rounds = math.ceil(tiles * work.balance / elements - 1e-9)
    share = work.balance / elements
    results = sum(tensor.elements for tensor in candidate.spec.outputs)
    pixel_tiles = choice.splits.get("pixel_tiles")
    return (
        math.log(stores * share),
        math.log(tiles),
        math.log(max(rounds, 1)),
        rounds * elements / tiles,
        math.log(max(work.macs, 1.0) / tiles),
        elements / pixel_tiles if pixel_tiles else -1.0,
        work.store_instructions * LANES / results,
        math.log(max(work.alu_instructions, 1.0) * share),
    )


def _fits(candidate: Candidate, work: Work, machine: Machine) -> tuple[float, ...]:
    """What is read against the cache that all share, and how often it is read again."""
    cache_bytes = machine.cache_bytes(candidate.choice)
    unique_bytes = max(work.unique_bytes_read, 1.0)
    return (
        math.log1p(work.working_set_bytes / cache_bytes),
        math.log1p(sum(tensor.size_bytes for tensor in candidate.spec.inputs) / cache_bytes),
        math.log1p(sum(tensor.size_bytes for tensor in candidate.spec.weights) / cache_bytes),
        math.log(max(work.streamed_bytes_read, unique_bytes) / unique_bytes),
        math.log1p(work.load_instructions * LINE_BYTES / unique_bytes),
    )


def _flow_of(phases: Sequence[Phase], machine: Machine) -> TileFlow | None:
    if machine.paths is None or not machine.on_gpu(phases[0].candidate.choice):
        return None
    return TileFlow.of_phases(phases, machine.paths)


def _flow(flow: TileFlow | None, work: Work, roofline_cycles: float) -> tuple[float, ...]:
    """Resources of the GPU against a QPU's own time, and caches against what is read in between; 0 of a CPU."""
    if flow is None:
        return (0.0,) * len(_FLOW_NAMES)
    return (
        _log(flow.memory / flow.pipeline),
        math.log1p(flow.l2 / flow.pipeline),
        _log(flow.vpm),
        flow.waited,
        math.log(flow.rounds),
        math.log(flow.cycles / roofline_cycles),
        _log(flow.vpm * flow.between_turns),  # how far QPUs are apart, in what L2 holds
        _log(flow.between_taps),
        _log(flow.between_turns),
        _log(flow.between_passes),
        math.log1p(flow.slice_streams),
        math.log(flow.tiles.rows_at_once),
        math.log(flow.tiles.columns_at_once),
        *(math.log1p(count / flow.tiles.count) for count in (work.load_instructions, work.uniform_words)),
        *(
            math.log1p(work.alu_instructions / max(1.0, count))
            for count in (work.load_instructions, work.uniform_words)
        ),
    )


def _log(value: float) -> float:
    return math.log(max(value, LEAST))


def _shape(spec: LayerSpec) -> tuple[float, ...]:
    def plane(shape: tuple[int, ...]) -> tuple[float, float]:
        channels = shape[1] if len(shape) > 1 else 1
        return float(channels), float(np.prod(shape[2:], dtype=np.int64))

    kernel, stride, groups = 1, 1, 1
    if isinstance(spec.op, (Conv2d, ConvTranspose2d, Pool2d)):
        kernel, stride = spec.op.kernel[0] * spec.op.kernel[1], spec.op.strides[0] * spec.op.strides[1]
    if isinstance(spec.op, (Conv2d, ConvTranspose2d)):
        groups = spec.op.groups
    result = max((tensor.shape for tensor in spec.outputs), key=math.prod)
    source = spec.inputs[0].shape if spec.inputs else result
    return (*plane(source), *plane(result), float(kernel), float(stride), float(groups))
