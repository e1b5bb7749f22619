"""The ways on from one state of a composition to the next: layers, layout changes, launches, what is kept where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import product

from codegen.bundle.tasks import is_view
from codegen.engine import Engine
from codegen.engine_registry import layout_named
from codegen.graph import Node
from codegen.memory_space import GPU, HOST
from codegen.operators.concat import Concat
from codegen.operators.reshape import Reshape
from codegen.plan import buffer_name
from explorer.compose.held import Buffer, Copy, Held, Place, space_of
from explorer.compose.offers import writes_parts
from explorer.compose.problem import OUTSIDE_LAYOUT, Problem
from explorer.compose.shortest_paths import Layer, Move, Waypoint
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import TimedCandidate


class Moves:
    """The layers of the problem: every node, followed by the layout changes of its output."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._graph = problem.graph
        self._prices = problem.prices
        self._ways = problem.ways
        nodes = self._graph.nodes
        self._position = {tensor: index for index, node in enumerate(nodes) for tensor in node.outputs}
        self._last_reader = {name: index for index, node in enumerate(nodes) for name in node.inputs}
        self._read_on_gpu: dict[tuple[str, str], bool] = {}

    def starts(self) -> Iterator[Held]:
        """The network's inputs, each where the caller has it or copied to GPU memory."""
        kinds = [self._outside_places(name) for name in self._graph.inputs]
        for places in product(*kinds):
            copies = (
                Copy(name, OUTSIDE_LAYOUT, self._buffer(name, OUTSIDE_LAYOUT, place))
                for name, place in zip(self._graph.inputs, places, strict=True)
            )
            yield Held(tuple(sorted(copies)))

    def layers(self) -> tuple[Layer[ComposedStep], ...]:
        """All layers in order; a chain skips those between its first and its last node's."""
        layers: list[Layer[ComposedStep]] = []
        for name in self._graph.inputs:
            layers += self._relayout_layers(name, -1)
        places: list[int] = []
        for index, node in enumerate(self._graph.nodes):
            places.append(len(layers))
            layers.append(Layer(partial(self._from_node, index, places), Waypoint(index)))
            behind = (tensor for pair in self._problem.pairs_behind(index) for tensor in pair.outputs)
            written = dict.fromkeys((*node.outputs, *behind))
            changes = [layer for tensor in written for layer in self._relayout_layers(tensor, index)]
            layers += [layer._replace(place=Waypoint(index, True)) for layer in changes[:1]] + changes[1:]
        return tuple(layers)

    def is_end(self, held: Held) -> bool:
        """Whether every output is there in row-major order, and nothing was copied to the GPU for nothing."""
        there = {
            copy.tensor for copy in held.copies if self._is_result(copy) and copy.buffer.place != "arena"
        }
        return set(self._graph.outputs) <= there and not held.bytes_in("promised")

    # Nodes --------------------------------------------------------------------------------------------------

    def _from_node(self, index: int, places: Sequence[int], held: Held) -> Iterator[Move[ComposedStep]]:
        """The node alone, and every chain that begins with it."""
        yield from self._node_moves(self._graph.nodes[index], index, held)
        for chain in self._problem.chains.get(index, ()):
            skips = places[chain.last] - places[index]
            for move in self._node_moves(chain.node, chain.last, held):
                yield move._replace(skips=skips)

    def _node_moves(self, node: Node, index: int, held: Held) -> Iterator[Move[ComposedStep]]:
        for timed in self._ways[node.name]:
            choice = timed.candidate.choice
            sources = _copies(held, node.inputs, choice.input_layouts)
            if sources is None:
                continue
            if is_view(timed.candidate.spec, choice):
                step = ComposedStep(node, node.outputs, timed, is_view=True)
                yield from self._free(step, index, held, sources, sources[0].buffer)
                continue
            wholes = set(map(buffer_name, node.outputs, choice.output_layouts))
            placed = [copy.buffer.name in wholes for copy in sources]
            if all(placed) and isinstance(node.op, Concat):
                step = ComposedStep(node, node.outputs, timed, in_place=True)
                yield from self._free(step, index, held, sources, sources[0].buffer)
            elif not any(placed):
                step = ComposedStep(node, node.outputs, timed)
                yield from self._computed(step, index, held, sources)

    def _free(
        self, step: ComposedStep, index: int, held: Held, sources: Sequence[Copy], buffer: Buffer
    ) -> Iterator[Move[ComposedStep]]:
        outputs = self._written(step, (buffer,))
        during = held.with_read(sources).with_copies(outputs)
        read = [copy._replace(is_read=True) for copy in sources]
        for after, released in self._afterwards(during, index, read, outputs):
            yield Move(after, 0.0, (step,), released_bytes=released)

    def _computed(
        self, step: ComposedStep, index: int, held: Held, sources: Sequence[Copy]
    ) -> Iterator[Move[ComposedStep]]:
        engine = step.timed.engine
        ready = held.with_read(sources).read_by(engine, sources)
        if ready is None:
            return
        names = {(copy.tensor, copy.layout) for copy in sources}
        read = [copy for copy in ready.copies if (copy.tensor, copy.layout) in names]
        for buffers in self._destinations(step, ready):
            outputs = self._written(step, buffers)
            during = ready.with_copies(outputs)._replace(
                launched=engine.name if engine.launches else "",
                awake=self._prices.overheads.still_awake(held.awake, step.timed),
            )
            gpu_bytes = during.bytes_in("gpu", "promised")
            arena_bytes = during.bytes_in("arena") + step.timed.workspace_bytes
            for after, released in self._afterwards(during, index, read, outputs):
                for way, cost, carries in self._launched(step, held):
                    yield Move(after, cost, (way,), gpu_bytes, arena_bytes, released, carries)

    def _launched(self, step: ComposedStep, held: Held) -> Iterator[tuple[ComposedStep, float, bool]]:
        """The step within the launch that runs, or in one of its own: with what it costs, and what is carried on."""
        cost = self._prices.of(step.timed)
        if not step.timed.engine.launches:
            yield (
                step,
                cost + (self._prices.wake if step.timed.threads > 1 and not held.awake else 0.0),
                False,
            )
        elif held.launched != step.timed.engine.name:
            yield step, cost + self._prices.launch, False
        else:
            yield step, cost, True
            anew = ComposedStep(step.node, step.tensors, step.timed, starts_launch=True)
            yield anew, cost + self._prices.launch, False

    # Layout changes -----------------------------------------------------------------------------------------

    def _relayout_layers(self, tensor: str, index: int) -> Iterator[Layer[ComposedStep]]:
        """Each wanted layout in turn, made from any that is there."""
        wanted = self._problem.wanted_layouts(tensor)
        for layout in wanted:
            yield Layer(partial(self._relayout_moves, tensor, layout, index))
        if wanted:
            yield Layer(partial(self._settled, tensor, index))

    def _relayout_moves(
        self, tensor: str, target: str, index: int, held: Held
    ) -> Iterator[Move[ComposedStep]]:
        copies = held.of(tensor)
        there = any(copy.layout == target for copy in copies)
        required = target == OUTSIDE_LAYOUT and tensor in self._graph.outputs
        if there or not required:
            yield Move(held, 0.0)
        if there or len(copies) > self._problem.most_changes(tensor):
            return
        for copy in copies:
            for timed in self._problem.relayouts(tensor, copy.layout, target):
                yield from self._computed(ComposedStep(None, (tensor,), timed), index, held, (copy,))

    def _settled(self, tensor: str, index: int, held: Held) -> Iterator[Move[ComposedStep]]:
        """A tensor that is there in several layouts, of which some may have been needed for the others only."""
        copies = held.of(tensor)
        optional = [copy for copy in copies if not self._is_result(copy)] if len(copies) > 1 else []
        for after, released in self._kept(held, (), optional):
            yield Move(after, 0.0, released_bytes=released)

    # Memory -------------------------------------------------------------------------------------------------

    def _afterwards(
        self, during: Held, index: int, read: Sequence[Copy], outputs: Sequence[Copy]
    ) -> Iterator[tuple[Held, int]]:
        """What may be kept after a step, and the bytes of GPU memory that are needed no longer.

        The copies of a tensor that nobody reads any more are dropped. Of a tensor that is there in several layouts
        those just read may be dropped or kept: whether anybody reads them again is not decided yet.
        """
        forced: list[Copy] = []
        optional: list[Copy] = []
        written = {copy.tensor for copy in outputs}
        for tensor in dict.fromkeys(copy.tensor for copy in (*read, *outputs)):
            copies = during.of(tensor)
            if self._last_reader.get(tensor, -1) <= index:
                forced += self._unneeded(tensor, copies)
            elif len(copies) > 1 and tensor not in written:
                optional += [copy for copy in copies if copy in read and not self._is_result(copy)]
        yield from self._kept(during, forced, optional)

    def _kept(
        self, during: Held, forced: Sequence[Copy], optional: Sequence[Copy]
    ) -> Iterator[tuple[Held, int]]:
        before = during.bytes_in("gpu", "promised")
        for kept in product((False, True), repeat=len(optional)):
            dropped = [*forced, *(copy for copy, keep in zip(optional, kept, strict=True) if not keep)]
            after = during.without(dropped)
            if _loses_unearned(after, dropped) or not self._readable(after, optional):
                continue
            yield after, before - after.bytes_in("gpu", "promised")

    def _unneeded(self, tensor: str, copies: Sequence[Copy]) -> list[Copy]:
        results = [copy for copy in copies if self._is_result(copy)]
        if tensor in self._graph.outputs and not results:
            return []
        return [copy for copy in copies if copy not in results]

    def _written(self, step: ComposedStep, buffers: Sequence[Buffer]) -> list[Copy]:
        """The copies that a step makes."""
        layouts = step.timed.candidate.choice.output_layouts
        copies = [Copy(*copy) for copy in zip(step.tensors, layouts, buffers, strict=True)]
        if step.node is not None:
            return copies
        return [copy._replace(is_read=self._is_result(copy)) for copy in copies]

    def _is_result(self, copy: Copy) -> bool:
        return copy.layout == OUTSIDE_LAYOUT and copy.tensor in self._graph.outputs

    def _readable(self, after: Held, optional: Sequence[Copy]) -> bool:
        return all(after.of(copy.tensor) for copy in optional)

    def _destinations(self, step: ComposedStep, held: Held) -> Iterator[tuple[Buffer, ...]]:
        """The buffers that a step's outputs may be written to: each its own, or a part of a concatenation's."""
        layouts = step.timed.candidate.choice.output_layouts
        may_be_parts = step.node is not None and writes_parts(step.node, step.timed)
        written = tuple(zip(step.tensors, layouts, strict=True))
        yield from self._homes(written, step.timed.engine, held, may_be_parts)

    def _homes(
        self, written: Sequence[tuple[str, str]], engine: Engine, held: Held, may_be_parts: bool
    ) -> Iterator[tuple[Buffer, ...]]:
        if not written:
            yield ()
            return
        (tensor, layout), *others = written
        homes = [self._buffer(tensor, layout, place) for place in self._places(tensor, layout, engine)]
        for whole in self._problem.wholes(tensor, layout) if may_be_parts else ():
            homes += self._parts(tensor, whole, layout, engine, held)
        for home in homes:
            behind = held.with_copies((Copy(tensor, layout, home),))
            for rest in self._homes(others, engine, behind, may_be_parts):
                yield (home, *rest)

    def _parts(self, tensor: str, whole: Node, layout: str, engine: Engine, held: Held) -> Iterator[Buffer]:
        existing = held.buffer(buffer_name(whole.output, layout))
        if existing is not None:
            if space_of(existing) in engine.writes:
                yield existing
        elif tensor == min(whole.inputs, key=lambda name: self._position.get(name, -1)):
            for place in self._places(whole.output, layout, engine):
                yield self._buffer(whole.output, layout, place)

    def _places(self, tensor: str, layout: str, engine: Engine) -> tuple[Place, ...]:
        if HOST not in engine.writes:
            return ("gpu",)
        places: tuple[Place, ...] = ("arena",)
        if layout == OUTSIDE_LAYOUT and tensor in self._graph.outputs:
            places = ("caller",)
        elif layout == OUTSIDE_LAYOUT and self._view_may_be_output(tensor):
            places = ("lent", "arena")
        promised = GPU in engine.writes and self._gpu_may_read(tensor, layout)
        return (*places, "promised") if promised else places

    def _view_may_be_output(self, tensor: str) -> bool:
        return any(
            node.output in self._graph.outputs or self._view_may_be_output(node.output)
            for node in self._graph.consumers(tensor)
            if isinstance(node.op, Reshape)
        )

    def _outside_places(self, tensor: str) -> tuple[Place, ...]:
        return ("caller", "promised") if self._gpu_may_read(tensor, OUTSIDE_LAYOUT) else ("caller",)

    def _gpu_may_read(self, tensor: str, layout: str) -> bool:
        """Whether some layer, layout change or reader of a view could read it in GPU memory alone."""
        key = (tensor, layout)
        if key not in self._read_on_gpu:
            self._read_on_gpu[key] = any(
                HOST not in timed.engine.reads for timed in self._possible_readers(tensor, layout)
            ) or any(
                self._gpu_may_read(node.output, layout)
                for node in self._graph.consumers(tensor)
                if isinstance(node.op, Reshape)
            )
        return self._read_on_gpu[key]

    def _possible_readers(self, tensor: str, layout: str) -> Iterator[TimedCandidate]:
        for node in self._problem.readers(tensor):
            for timed in self._ways[node.name]:
                if (tensor, layout) in zip(node.inputs, timed.candidate.choice.input_layouts, strict=True):
                    yield timed
        for target in self._problem.wanted_layouts(tensor):
            yield from self._problem.relayouts(tensor, layout, target)

    def _buffer(self, tensor: str, layout: str, place: Place) -> Buffer:
        size_bytes = layout_named(layout).size_bytes(self._graph.types[tensor])
        return Buffer(buffer_name(tensor, layout), place, size_bytes)


def _copies(held: Held, tensors: Sequence[str], layouts: Sequence[str]) -> list[Copy] | None:
    """The copies of tensors in those layouts; None where one is not there."""
    there = {(copy.tensor, copy.layout): copy for copy in held.copies}
    found = [there.get(key) for key in zip(tensors, layouts, strict=True)]
    return [copy for copy in found if copy is not None] if all(found) else None


def _loses_unearned(after: Held, dropped: Iterable[Copy]) -> bool:
    kept = {copy.buffer.name for copy in after.copies}
    return any(
        not copy.is_read or (copy.buffer.place in ("promised", "lent") and copy.buffer.name not in kept)
        for copy in dropped
    )
