"""Where copies may lie, and what the copies of a state take up."""

from __future__ import annotations

from typing import NamedTuple

from codegen.engine_registry import layout_named, memories
from codegen.graph import Node
from codegen.memory_space import GPU, HOST
from codegen.operators.concat import Concat
from codegen.operators.reshape import Reshape
from explorer.compose.marks import APART, LENT, NEED, ON_GPU, ON_HOST, PART, VIEWS, Marks
from explorer.compose.memory_use import HeldBytes
from explorer.compose.problem import OUTSIDE_LAYOUT, Problem

Root = tuple[str, str]
"""The tensor and the layout that a buffer was made for."""
Asked = tuple[str, int]
"""A tensor and the mask of what is asked of it."""


class _Taken(NamedTuple):
    """What copies say of their buffer: in which memory it is if they say so, and whether it is the caller's."""

    space: str
    is_callers: bool


class Homes:
    """The buffers of one problem's copies. One that leaves open in which memory it is takes up nothing."""

    def __init__(self, problem: Problem, marks: Marks) -> None:
        self._problem = problem
        self._graph = problem.graph
        self._marks = marks
        self._on_gpu, self._on_host = self._layouts_of_memories()
        self._producer = {tensor: i for i, node in enumerate(self._graph.nodes) for tensor in node.outputs}
        self._last = {tensor: i for i, node in enumerate(self._graph.nodes) for tensor in node.inputs}
        self._whole = self._wholes()
        self._sizes: dict[Root, tuple[int, int]] = {}
        self._depths: dict[str, int] = {}
        self._held: dict[tuple[Asked, ...], HeldBytes] = {}

    # Places ---------------------------------------------------------------------------------------------------

    def spaces(self, layout: str) -> tuple[int, ...]:
        """The memories that a copy in a layout may be in, as bits; nothing to tell where it is the host's alone."""
        if layout not in self._on_gpu:
            return (0,)
        return (ON_HOST, ON_GPU) if layout in self._on_host else (ON_GPU,)

    def homes(self, tensor: str, layout: str, reader: int) -> tuple[int, ...]:
        """Whose buffers a copy may be in that a node of that number reads, as bits, as far as it has to tell."""
        whole = self._whole.get(tensor)
        if whole is not None and self._problem.can_place(whole[1], layout):
            number = whole[0]
            if self._last[tensor] > number and reader >= number:
                return (APART,) if reader == number else (PART, APART)
        return (APART, *VIEWS[: self.depth(tensor)]) if self.depth(tensor) else (0,)

    def depth(self, tensor: str) -> int:
        """How many views back its buffer may come from, where readers have to tell; else 0."""
        if tensor not in self._depths:
            self._depths[tensor] = self._sought_depth(tensor)
        return self._depths[tensor]

    def _sought_depth(self, tensor: str) -> int:
        number = self._producer.get(tensor)
        if number is None or not isinstance(self._graph.nodes[number].op, Reshape):
            return 0
        source = self._graph.nodes[number].inputs[0]
        before = self.depth(source)
        is_shared = source in (*self._graph.inputs, *self._graph.outputs) or source in self._whole
        if not (before or is_shared or self._last[source] > number):
            return 0
        return min(before + 1, len(VIEWS))

    # Bytes ----------------------------------------------------------------------------------------------------

    def held(self, state: tuple[Asked, ...]) -> HeldBytes:
        """What the copies that a state asks for take up."""
        if state not in self._held:
            if len(self._held) > 200_000:
                self._held.clear()
            self._held[state] = self._sum(state)
        return self._held[state]

    def _sum(self, state: tuple[Asked, ...]) -> HeldBytes:
        taken: dict[Root, _Taken] = {}
        masks: dict[str, int] | None = None
        for tensor, mask in state:
            for layout, bits in self._marks.fields(mask):
                root, is_known = (tensor, layout), True
                if bits & PART:
                    root = (self._whole[tensor][1].output, layout)
                elif any(bits & view for view in VIEWS):
                    masks = dict(state) if masks is None else masks
                    root, is_known = self._shown(tensor, layout, bits, masks)
                space = self._space(layout, bits) if is_known else ""
                callers = bool(bits & LENT) or self._is_callers(tensor, layout) or self._is_callers(*root)
                before = taken.get(root)
                if before is not None:
                    space, callers = space or before.space, callers or before.is_callers
                taken[root] = _Taken(space, callers)
        gpu = arena = 0
        for root, (space, callers) in taken.items():
            if space == GPU:
                gpu += self._size(root)[1]
            elif space == HOST and not callers:
                arena += self._size(root)[0]
        return HeldBytes(gpu, arena)

    def _shown(self, tensor: str, layout: str, bits: int, masks: dict[str, int]) -> tuple[Root, bool]:
        """The buffer that a view shows, and whether its size is known to count."""
        for view in VIEWS:
            tensor = self._graph.nodes[self._producer[tensor]].inputs[0]
            if bits & view:
                break
        own = self._marks.bits(masks.get(tensor, 0), layout)
        if own & PART:
            return (self._whole[tensor][1].output, layout), True
        return (tensor, layout), bool(own & NEED) or tensor not in self._whole

    def _is_callers(self, tensor: str, layout: str) -> bool:
        return layout == OUTSIDE_LAYOUT and (tensor in self._graph.outputs or tensor in self._graph.inputs)

    def _space(self, layout: str, bits: int) -> str:
        if bits & ON_GPU:
            return GPU
        return HOST if bits & ON_HOST or layout not in self._on_gpu else ""

    def _size(self, root: Root) -> tuple[int, int]:
        """In the arena, and in GPU memory."""
        if root not in self._sizes:
            size = layout_named(root[1]).size_bytes(self._graph.types[root[0]])
            self._sizes[root] = (size, memories()[GPU].taken_bytes(size) if GPU in memories() else size)
        return self._sizes[root]

    def _wholes(self) -> dict[str, tuple[int, Node]]:
        """For each part of a concatenation that may be in place its number and itself."""
        return {
            tensor: (number, node)
            for number, node in enumerate(self._graph.nodes)
            if isinstance(node.op, Concat)
            for tensor in node.inputs
            if any(self._problem.can_place(node, layout) for layout in self._marks.layouts)
        }

    def _layouts_of_memories(self) -> tuple[set[str], set[str]]:
        """Those that some copy in GPU memory may have, and those that some copy in the host's may have."""
        gpu: set[str] = set()
        host = {OUTSIDE_LAYOUT}
        for timed in self._problem.every_way():
            choice, engine = timed.candidate.choice, timed.engine
            if HOST not in engine.reads:
                gpu |= {*choice.input_layouts}
            if HOST in engine.writes:
                host |= {*choice.output_layouts}
            else:
                gpu |= {*choice.output_layouts}
        return gpu, host
