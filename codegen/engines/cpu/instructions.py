"""Counts of scalar CPU instructions and bytes: the Work of the C kernels."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.engines.cpu.machine import ORDERED_LANES, OrderedForm, accumulator_capacity
from codegen.graph import LayerSpec
from codegen.operator import Epilogued
from codegen.schedule import Work
from codegen.target import Target

LOOP_INSTRUCTIONS = 3.0  # counter, compare, branch
ADDRESS_INSTRUCTIONS = 2.0  # the pointers that an inner loop advances


@dataclass
class Count:
    """A running count of instructions, all in units of one scalar instruction."""

    alu: float = 0.0
    loads: float = 0.0
    stores: float = 0.0

    def add(self, times: float, alu: float = 0.0, loads: float = 0.0, stores: float = 0.0) -> None:
        """`times` executions of a piece of code with that many instructions of each sort."""
        self.alu += times * alu
        self.loads += times * loads
        self.stores += times * stores

    def add_tiles(
        self, steps: float, rows: int, columns: int, target: Target, ordered: OrderedForm = ""
    ) -> None:
        """`steps` rank-1 updates of a register tile; accumulators that do not fit spill at each step.

        Those in an order of their own (`ordered`) are unrolled by channels of a block; VFP loads two columns at a time.
        """
        if ordered:
            loads = rows + (columns / 2 if ordered == "vfp" else columns)
            self.add(steps, alu=rows * columns + LOOP_INSTRUCTIONS / ORDERED_LANES, loads=loads)
            return
        held = rows * columns + min(rows, columns) + 1
        spilled = max(0, held - accumulator_capacity(target))
        self.add(
            steps,
            alu=rows * columns + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS,
            loads=rows + columns + spilled,
            stores=spilled,
        )

    def add_copy(self, elements: float) -> None:
        """A copy of that many elements, one at a time, loop unrolled by four."""
        self.add(elements, alu=(LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / 4, loads=1, stores=1)

    def work(
        self,
        spec: LayerSpec,
        macs: float,
        streamed_bytes: float,
        working_set_bytes: float,
        *,
        balance: float = 1.0,
        workspace_bytes: float = 0.0,
        constant_bytes: int | None = None,
    ) -> Work:
        """The Work of a layer with these instructions; `streamed_bytes` is at least every input byte once.

        `constant_bytes`: of what is read of the weights; None: all of them.
        """
        unique = float(input_bytes(spec) + (weight_bytes(spec) if constant_bytes is None else constant_bytes))
        return Work(
            macs=macs,
            alu_instructions=self.alu,
            load_instructions=self.loads,
            store_instructions=self.stores,
            unique_bytes_read=unique,
            streamed_bytes_read=max(unique, streamed_bytes),
            bytes_written=float(sum(tensor.size_bytes for tensor in spec.outputs)),
            balance=balance,
            working_set_bytes=float(working_set_bytes),
            workspace_bytes=workspace_bytes,
        )


def input_bytes(spec: LayerSpec) -> int:
    """Bytes of a layer's activations read."""
    return sum(tensor.size_bytes for tensor in spec.inputs)


def weight_bytes(spec: LayerSpec) -> int:
    """Bytes of a layer's constants."""
    return sum(tensor.size_bytes for tensor in spec.weights)


def epilogue_instructions(spec: LayerSpec) -> float:
    """Arithmetic instructions per output element that the layer's epilogue costs."""
    return spec.op.epilogue.instructions if isinstance(spec.op, Epilogued) else 0.0


def loads_of(bytes_once: float, passes: float, cache: int) -> float:
    """Bytes fetched when a block is passed over several times: once where it stays in the cache."""
    return bytes_once if bytes_once <= cache else bytes_once * passes
