"""Objectives as data: each a quantity of a plan with its unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from explorer.objectives.power import Power
from explorer.objectives.usage import Usage


@dataclass(frozen=True)
class Objective:
    """A quantity of which less is better.

    `column`: its name in tables of data. `summed`: it is linear in what steps take, so that a composition can price it
    step by step; others are held at once, and are capped instead. `compared`: a plan that is better in it alone has a
    place on the front; others are told, being parts of one that is compared.
    """

    name: str
    column: str
    title: str
    unit: str
    explanation: str
    of: Callable[[Usage, Power], float] = field(compare=False)
    summed: bool = True
    compared: bool = True


LATENCY = Objective(
    "latency",
    "latency_s",
    "latency",
    "s",
    "seconds of the whole network, median of the runs",
    lambda usage, _: usage.latency_s,
)
MEMORY = Objective(
    "memory",
    "peak_memory_bytes",
    "activations",
    "B",
    "bytes that its bundle allocates for activations",
    lambda usage, _: usage.gpu_bytes + usage.arena_bytes,
    summed=False,
)
GPU_MEMORY = Objective(
    "gpu-memory",
    "gpu_memory_bytes",
    "of them the GPU's",
    "B",
    "of these bytes those in the GPU's memory",
    lambda usage, _: usage.gpu_bytes,
    summed=False,
    compared=False,
)
CPU_TIME = Objective(
    "cpu-time",
    "cpu_time_s",
    "CPU time",
    "s",
    "seconds that all cores together are busy for one run",
    lambda usage, _: usage.cpu_s,
)
ENERGY = Objective(
    "energy",
    "energy_j",
    "energy",
    "J",
    "joules that the board takes for one run; empty where nothing is known of it",
    lambda usage, power: power.modelled_j(usage) if usage.metered_j is None else usage.metered_j,
)
OBJECTIVES = (LATENCY, MEMORY, GPU_MEMORY, CPU_TIME, ENERGY)


@dataclass(frozen=True)
class Weights:
    """What a composition minimises: the sum of summed objectives, each by its weight."""

    terms: tuple[tuple[Objective, float], ...] = ((LATENCY, 1.0),)
    power: Power = field(default_factory=Power)

    def of(self, usage: Usage) -> float:
        """The price of a step, or of a whole plan."""
        return sum(weight * objective.of(usage, self.power) for objective, weight in self.terms)
