"""Cost models judged by samples of a store: what each predicts of candidates, layers and networks it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from codegen.algorithm import algorithms
from codegen.engine_registry import engine_named
from codegen.graph import LayerSpec
from cost_models.evaluation import Grouped, Scores, cross_predict, scores, within
from cost_models.model import Observation
from cost_models.registry import cost_model_named
from cost_models.shapes import shape_of
from explorer.errors import UsageError
from explorer.studies.truth_samples import truth_samples
from microbench.profile import DeviceProfile
from microbench.store import Sample

NEAR = 3.0  # times the fastest of a layer: whoever takes longer is never chosen
SHORTEST_S = 1e-7
HELD_OUT = ("candidate", "shape", "network")


@dataclass(frozen=True)
class ModelScores:
    """A model's scores where `held_out` was never seen, over all candidates or those near the best of their layer; one
    for each way to deal them out.
    """

    model: str
    held_out: str
    near: bool
    scores: tuple[Scores, ...]


@dataclass(frozen=True)
class TimedObservations:
    """What a store says of one board; sentences: `left_out` on samples of other code, `noise` on the noise floor."""

    observations: tuple[Observation, ...]
    left_out: str
    noise: str


def timed_observations(store: str, profile: DeviceProfile) -> TimedObservations:
    """The newest sample of each candidate on boards with the profile's constants, of the algorithms as they are
    installed; modelled ones are left out.

    Times are those within a launch, and work is as it is counted now. Raises UsageError where there is none, StoreError
    for a damaged store.
    """
    found: dict[str, Observation] = {}
    boards: dict[str, list[Sample]] = {}
    known = truth_samples(store, profile, _counts)
    for sample in known.samples:
        boards.setdefault(sample.fingerprint_hash, []).append(sample)
    for sample in max(boards.values(), key=len, default=[]):
        candidate, algorithm = sample.candidate, algorithms()[sample.candidate.choice.algorithm]
        work = algorithm.work(candidate.spec, profile.target(), candidate.choice)
        found[candidate.hash] = Observation(candidate, work, _within_a_launch(sample, profile))
    if not found:
        raise UsageError(
            f"{store} has no times of {profile.name} that a model could be judged by: {known.remedy}, or name another "
            "store"
        )
    return TimedObservations(tuple(found.values()), known.sentence, known.noise)


def model_scores(
    models: Iterable[str],
    profile: DeviceProfile,
    judged: Sequence[Observation],
    learned: Sequence[Observation] | None,
    networks: Mapping[LayerSpec, str],
    seeds: int = 1,
) -> Iterator[ModelScores]:
    """Scores of each model by each of HELD_OUT; by network where layers of at least two were judged.

    `learned`: what models may learn from, None: the judged ones themselves. `networks`: the one that each layer belongs
    to. `seeds`: in how many ways candidates and shapes are dealt out; networks are held out one by one.
    """
    for name in models:
        for held_out in HELD_OUT:
            grouped = _grouped(judged, held_out, networks)
            if held_out == "network" and len({group for _, group in grouped}) < 2:
                continue
            taught = None if learned is None else _grouped(learned, held_out, networks)
            make = partial(cost_model_named, name, profile)
            ways = range(1 if held_out == "network" else seeds)
            found = [cross_predict(make, grouped, taught, seed) for seed in ways]
            for near in (False, True):
                results = [scores(within(one, NEAR) if near else one) for one in found]
                told = tuple(result for result in results if result is not None)
                if told:
                    yield ModelScores(name, held_out, near, told)


def _grouped(
    observations: Sequence[Observation], held_out: str, networks: Mapping[LayerSpec, str]
) -> list[Grouped]:
    if held_out == "network":
        return [(o, networks[o.candidate.spec]) for o in observations if o.candidate.spec in networks]
    if held_out == "shape":
        return [(o, shape_of(o.candidate.spec)) for o in observations]
    return [(o, o.candidate.hash) for o in observations]


def _counts(sample: Sample) -> bool:
    return sample.kind != "modelled" and sample.is_timed


def _within_a_launch(sample: Sample, profile: DeviceProfile) -> float:
    if not engine_named(sample.candidate.choice.engine).launches:
        return sample.time_s
    return max(SHORTEST_S, sample.time_s - profile.v3d_value("launch_overhead_s"))
