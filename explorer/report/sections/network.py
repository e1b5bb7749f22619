"""The network as a graph: its steps from input to output, with what computes them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from codegen.plan import PlanStep
from explorer.report.exhibits import Drawing
from explorer.report.markup import part
from explorer.report.section import Part
from explorer.runs.algorithm_style import style_of
from explorer.runs.data import RunData
from explorer.runs.frames import steps_frame
from explorer.terminal.units import seconds

WIDTH, GAP_ACROSS, GAP_DOWN, MARGIN = 244, 26, 30, 12  # pixels
LINE, CHARACTERS, CHANNEL = 16, 30, 9
BAND, NARROW = 300, 400  # least height of what paper does not break, greatest width of what it has in columns
TEXT = (
    "Every step is a node that leads to its reasons; the bar at its left has the colour of its algorithm. Lines are "
    "tensors from the step that writes to those that read."
)


@dataclass(frozen=True)
class Node:
    """A step, or an input or output of the network; `number` of the step, from 1."""

    lines: tuple[tuple[str, str], ...]  # style and text
    title: str
    algorithm: str | None
    number: int | None

    @property
    def height(self) -> int:
        return LINE * len(self.lines) + 12


@dataclass(frozen=True)
class Path:
    """A tensor's way from one node to another, as SVG draws it, from its top to its bottom."""

    drawing: str
    top: float
    bottom: float


class Network:
    """The plan as a graph."""

    name = "network"
    title = "The network as a graph"
    place = 34
    needs = "plan.json"

    def applies(self, run: RunData) -> bool:
        return True

    def parts(self, run: RunData) -> Sequence[Part]:
        return (TEXT, graph)


def graph(run: RunData) -> Drawing:
    """The steps in rows: each stands below all that it reads."""
    nodes, edges = _nodes_and_edges(run)
    rows = _rows(len(nodes), edges)
    places, width, height = _places(nodes, rows, edges)
    drawn = [_drawn(node, *places[index]) for index, node in enumerate(nodes)]
    row_of = {index: number for number, row in enumerate(rows) for index in row}
    paths, channels = [], Channels()
    for source, target in sorted(edges, key=lambda edge: row_of[edge[0]]):
        if row_of[target] == row_of[source] + 1:
            path = _short_path(nodes, places, source, target)
        else:
            channel = width + CHANNEL * channels.free(row_of[source], row_of[target])
            path = _long_path(nodes, places, source, target, channel)
        paths.append(Path(path, places[source][1] + nodes[source].height, places[target][1]))
    width += CHANNEL * channels.used + MARGIN
    label = f"Graph of {run.plan.model_name}"
    cuts = _cuts([min(places[index][1] for index in row) for row in rows], height)
    return Drawing(part("graph", width, label, width < NARROW, list(_bands(cuts, paths, drawn))))


def _cuts(tops: Sequence[float], height: int) -> list[float]:
    """Where the graph can be cut, between rows, into bands of at least `BAND`, and its ends."""
    cuts = [0.0]
    for top in tops:
        if top - GAP_DOWN / 2 >= cuts[-1] + BAND:
            cuts.append(top - GAP_DOWN / 2)
    return [*cuts, float(height)]


def _bands(
    cuts: Sequence[float], paths: Sequence[Path], drawn: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, object]]:
    """What stands between two cuts; a path that crosses one is in both."""
    for top, bottom in pairwise(cuts):
        yield {
            "top": top,
            "height": bottom - top,
            "paths": [path.drawing for path in paths if path.top < bottom and path.bottom > top],
            "nodes": [node for node in drawn if top <= node["y"] < bottom],
        }


def _nodes_and_edges(run: RunData) -> tuple[list[Node], list[tuple[int, int]]]:
    plan, times = run.plan, steps_frame(run)
    nodes = [_end("input", tensor.name, tensor.shape) for tensor in plan.inputs]
    writer = {tensor.name: index for index, tensor in enumerate(plan.inputs)}
    edges: dict[tuple[int, int], None] = {}
    for number, step in enumerate(plan.steps, 1):
        row = times.iloc[number - 1]
        nodes.append(_node(number, step, f"{seconds(float(row['time_s']))} ({row['kind']})"))
        for tensor, buffer in zip(step.inputs, step.reads, strict=True):
            source = writer.get(buffer, writer.get(tensor))
            if source is not None:
                edges[source, len(nodes) - 1] = None
        writer |= dict.fromkeys((*step.outputs, *step.writes), len(nodes) - 1)
    for output in plan.outputs:
        nodes.append(_end("output", output.name, output.shape))
        if output.name in writer:
            edges[writer[output.name], len(nodes) - 1] = None
    return nodes, list(edges)


def _node(number: int, step: PlanStep, time: str) -> Node:
    heading = f"{number}. {type(step.spec.op).__name__}"
    shape = " ".join("×".join(map(str, tensor.shape)) for tensor in step.spec.outputs)
    lines = [
        ("head", heading),
        *(("", line) for line in textwrap.wrap(step.name, CHARACTERS)),
        *(("small", line) for line in textwrap.wrap(f"→ {shape}", CHARACTERS)),
        ("small", step.choice.algorithm),
        ("small", time),
    ]
    return Node(tuple(lines), f"{heading}: {step.summary}", step.choice.algorithm, number)


def _end(what: str, name: str, shape: Sequence[int]) -> Node:
    text = "×".join(map(str, shape))
    lines = [("head", what), *(("", line) for line in textwrap.wrap(name, CHARACTERS)), ("small", text)]
    return Node(tuple(lines), f"{what} {name}", None, None)


def _rows(count: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Nodes by the longest path that leads to them; edges go from lower numbers to higher ones."""
    depth = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        depth[target] = max(depth[target], depth[source] + 1)
    rows: list[list[int]] = [[] for _ in range(max(depth) + 1)]
    for index, row in enumerate(depth):
        rows[row].append(index)
    return rows


def _places(
    nodes: Sequence[Node], rows: Sequence[Sequence[int]], edges: Sequence[tuple[int, int]]
) -> tuple[Mapping[int, tuple[float, float]], int, int]:
    """Left upper corners, and the size of all; in a row, nodes stand in the order of what they read."""
    widest = max(len(row) for row in rows)
    width = widest * (WIDTH + GAP_ACROSS) - GAP_ACROSS + 2 * MARGIN
    readers: dict[int, list[int]] = {}
    for source, target in edges:
        readers.setdefault(target, []).append(source)
    places: dict[int, tuple[float, float]] = {}
    top = float(MARGIN)
    for row in rows:
        order = sorted(row, key=lambda index: (_middle(places, readers.get(index, ())), index))
        left = (width - len(row) * (WIDTH + GAP_ACROSS) + GAP_ACROSS) / 2
        for position, index in enumerate(order):
            places[index] = (left + position * (WIDTH + GAP_ACROSS), top)
        top += max(nodes[index].height for index in row) + GAP_DOWN
    return places, width, round(top - GAP_DOWN + MARGIN)


def _middle(places: Mapping[int, tuple[float, float]], sources: Sequence[int]) -> float:
    return sum(places[index][0] for index in sources) / len(sources) if sources else 0.0


def _short_path(
    nodes: Sequence[Node], places: Mapping[int, tuple[float, float]], source: int, target: int
) -> str:
    """From the lower edge of one node to the upper edge of another, as a smooth curve."""
    (left, top), (other_left, other_top) = places[source], places[target]
    x, y = left + WIDTH / 2, top + nodes[source].height
    to_x, to_y = other_left + WIDTH / 2, other_top
    bend = min(GAP_DOWN, (to_y - y) / 2)
    return f"M{x:g} {y:g}C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"


def _long_path(
    nodes: Sequence[Node],
    places: Mapping[int, tuple[float, float]],
    source: int,
    target: int,
    channel: float,
) -> str:
    """From the lower edge to a line of its own at the right of all nodes, down, and to the upper edge of the reader."""
    (left, top), (other_left, other_top) = places[source], places[target]
    x, y = left + 0.75 * WIDTH, top + nodes[source].height
    to_x, to_y = other_left + 0.75 * WIDTH, other_top
    bend = GAP_DOWN / 2
    return (
        f"M{x:g} {y:g}C{x:g} {y + bend:g} {channel:g} {y:g} {channel:g} {y + bend:g}V{to_y - bend:g}"
        f"C{channel:g} {to_y:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"
    )


class Channels:
    """Lines beside the nodes for what passes by rows: no two that meet have the same."""

    def __init__(self) -> None:
        self._ends: list[int] = []

    @property
    def used(self) -> int:
        return len(self._ends)

    def free(self, first: int, last: int) -> int:
        """The innermost that is free from a row on; it is taken up to another. Asked in the order of first rows."""
        for number, end in enumerate(self._ends):
            if end <= first:
                self._ends[number] = last
                return number
        self._ends.append(last)
        return len(self._ends) - 1


def _drawn(node: Node, left: float, top: float) -> Mapping[str, Any]:
    return {
        "x": left,
        "y": top,
        "width": WIDTH,
        "height": node.height,
        "title": node.title,
        "number": node.number,
        "style": style_of(node.algorithm) if node.algorithm else None,
        "lines": [
            {"css": css, "text": text, "y": top + LINE * (number + 1) + 1}
            for number, (css, text) in enumerate(node.lines)
        ],
    }
