"""A network's time on a device in a moment: the roofline's best of a few candidates for each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from codegen.algorithm import Algorithm, algorithms
from codegen.engine_registry import engine_named
from codegen.errors import ScheduleError
from codegen.graph import Graph, LayerSpec
from codegen.schedule import Candidate, Point, Space
from codegen.target import Target
from codegen.tensor import TensorType
from cost_models.roofline import RooflineModel
from microbench.profile import DeviceProfile

TRIED = 24  # points of each algorithm's space


@dataclass(frozen=True)
class RoughTime:
    """Modelled seconds of all layers, and those of them that the QPUs are the fastest for; changes of layout and what a
    launch costs are left out. `missing`: layers that no algorithm computes on that device.

    `launched_bytes`: GPU memory that these layers of the QPUs need at least, weights unpadded and the activations of
    one layer at a time; `gpu_memory_bytes`: what the device has.
    """

    device: str
    title: str
    seconds: float
    launched_seconds: float
    missing: tuple[str, ...]
    launched_bytes: int
    gpu_memory_bytes: int

    @property
    def exceeds_gpu_memory(self) -> bool:
        """Whether not all of those layers can run on the QPUs."""
        return self.launched_bytes > self.gpu_memory_bytes


def rough_time(graph: Graph, profile: DeviceProfile) -> RoughTime:
    """The sum of the layers' best times, each layer on the engine that is the fastest for it."""
    counts = Counter(LayerSpec.of(graph, node) for node in graph.nodes)
    target, model = profile.target(), RooflineModel(profile)
    total = launched = 0.0
    launched_weights = most_activations = 0
    lacking: set[LayerSpec] = set()
    for spec, count in counts.items():
        best = min(_times(spec, target, model), default=None)
        if best is None:
            lacking.add(spec)
            continue
        total += count * best[0]
        if engine_named(best[1]).launches:
            launched += count * best[0]
            launched_weights += count * _bytes(spec.weights)
            most_activations = max(most_activations, _bytes((*spec.inputs, *spec.outputs)))
    missing = tuple(node.name for node in graph.nodes if LayerSpec.of(graph, node) in lacking)
    return RoughTime(
        profile.name,
        profile.title,
        total,
        launched,
        missing,
        launched_weights + most_activations,
        target.gpu_memory_bytes,
    )


def _bytes(tensors: Iterable[TensorType]) -> int:
    return sum(tensor.size_bytes for tensor in tensors)


def _times(spec: LayerSpec, target: Target, model: RooflineModel) -> Iterator[tuple[float, str]]:
    fits = _bytes((*spec.inputs, *spec.weights, *spec.outputs)) <= target.gpu_memory_bytes
    for algorithm in algorithms().values():
        if not algorithm.applies(spec, target) or (engine_named(algorithm.engine).launches and not fits):
            continue
        for candidate in _candidates(algorithm, spec, target):
            work = algorithm.work(spec, target, candidate.choice)
            yield model.predict([(candidate, work)])[0].time_s, candidate.choice.engine


def _candidates(algorithm: Algorithm, spec: LayerSpec, target: Target) -> Iterator[Candidate]:
    space, found = algorithm.space(spec, target), 0
    step = max(1, space.size // (4 * TRIED))
    for number in range(space.size - 1, -1, -step):  # the largest tiles and splits first
        with suppress(ScheduleError):
            yield Candidate(spec, algorithm.choice(spec, target, _point(space, number)))
            found += 1
        if found >= TRIED:
            return


def _point(space: Space, number: int) -> Point:
    """The point of that number, in lexicographic order."""
    point = {}
    for axis in reversed(space.axes):
        number, place = divmod(number, len(axis.values))
        point[axis.name] = axis.values[place]
    return point
