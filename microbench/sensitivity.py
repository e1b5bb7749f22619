"""What a simulated time owes to constants that nobody has measured by themselves.

`explore qpu sensitivity`: a bundle or a QPU program is run on the virtual board with every constant of the GPU that is
assumed or fitted at 0.75 and at 1.5 times its value, one at a time, and by each variant of the profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.bundle import read_manifest
from codegen.plan import read_plan
from codegen.tensor import FloatArray
from microbench.boards.virtual import VirtualBoard
from microbench.profile import DeviceProfile

FACTORS = (0.75, 1.5)
# Whole numbers of things; a share of one is no machine.
DISCRETE_UNITS = ("1", "0 or 1")
SHORT_S = 10e-3  # shorter times are shown in microseconds

TimeOf = Callable[[DeviceProfile], float]


@dataclass(frozen=True)
class Sensitivity:
    """A time in seconds, simulated, with one constant at each of FACTORS times its value."""

    constant: str
    source: str
    times_s: tuple[float, ...]


def uncertain_constants(profile: DeviceProfile) -> tuple[str, ...]:
    """Names of the GPU's continuous constants that are assumed, or fitted on whole programs."""
    return tuple(
        name
        for name, constant in profile.v3d.items()
        if not constant.certain and constant.unit not in DISCRETE_UNITS
    )


def sensitivities(profile: DeviceProfile, time_of: TimeOf) -> Iterator[Sensitivity]:
    """The time under each variation, in the profile's order; `time_of` runs whatever is asked about."""
    for name in uncertain_constants(profile):
        value = profile.v3d[name].value
        times = tuple(time_of(profile.with_v3d(**{name: factor * value})) for factor in FACTORS)
        yield Sensitivity(name, profile.v3d[name].source, times)


@dataclass(frozen=True)
class VariantTime:
    """A time in seconds, simulated, by a variant of the profile."""

    variant: str
    source: str
    time_s: float


@dataclass(frozen=True)
class Sensitivities:
    """Simulated times: as the profile has it, with each assumed or fitted constant varied, and by each variant."""

    time_s: float
    constants: tuple[Sensitivity, ...]
    variants: tuple[VariantTime, ...]
    factors: tuple[float, ...] = FACTORS

    @classmethod
    def of(cls, profile: DeviceProfile, time_of: TimeOf) -> Sensitivities:
        """All of a profile's."""
        variants = (
            VariantTime(name, variant.source, time_of(profile.with_variant(name)))
            for name, variant in profile.variants.items()
        )
        return cls(time_of(profile), tuple(sensitivities(profile, time_of)), tuple(variants))

    def headings(self) -> tuple[str, ...]:
        """Of the columns of `rows`."""
        return ("constant", *(f"at {factor}x" for factor in self.factors), "source")

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The times as texts, with what they change by."""
        yield ("(as in the profile)", *([_duration(self.time_s)] * len(self.factors)), "")
        for row in self.constants:
            yield (row.constant, *(_change(time_s, self.time_s) for time_s in row.times_s), row.source)
        for one in self.variants:
            empty = ("",) * (len(self.factors) - 1)
            yield (f":{one.variant}", _change(one.time_s, self.time_s), *empty, one.source)


def _change(time_s: float, base_s: float) -> str:
    return f"{_duration(time_s)} ({100 * (time_s / base_s - 1):+.1f} %)"


def _duration(time_s: float) -> str:
    return f"{1e3 * time_s:.1f} ms" if time_s >= SHORT_S else f"{1e6 * time_s:.1f} us"


def bundle_time_s(profile: DeviceProfile, bundle: Path) -> float:
    """One run of the bundle on the virtual board of that profile, on inputs of ones; times do not depend on them."""
    plan = read_plan(bundle / "plan.json")
    read_manifest(bundle)
    inputs: tuple[FloatArray, ...] = tuple(np.ones(t.shape, np.float32) for t in plan.inputs)
    with VirtualBoard(profile) as board:
        return board.run_bundle(bundle, inputs).time_s
