"""What other networks and boards taught: samples of a store that a run's cost model learns from beside its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from codegen.algorithm import algorithms
from codegen.chains import chain_nodes
from codegen.engine_registry import engine_named, engines
from codegen.graph import Graph, LayerSpec
from codegen.operators.relayout import Relayout
from codegen.target import Target
from cost_models.model import Observation
from microbench.board import Board, Fingerprint
from microbench.profile import DeviceProfile, known_profiles, load_profile
from microbench.store import Sample, Store

MOST_OBSERVATIONS = 1500  # the newest: more of them teach little and cost time at every fit
SHORTEST_S = 1e-7


@dataclass(frozen=True)
class Prior:
    """Observations, with the store's ids of the samples that they are."""

    observations: tuple[Observation, ...] = ()
    sample_ids: tuple[int, ...] = ()


def prior_of(
    store: Store, board: Board, fingerprint: Fingerprint, graph: Graph, ids: Collection[int] | None = None
) -> Prior:
    """The newest samples of other layers than the graph's and of other boards, of algorithms that there are.

    Only times of the kind that this board gives, and of boards whose constants are known here. `ids`: of a run that is
    made again, the samples that it learned from; those that the store lacks are left out. Raises StoreError.
    """
    own = {
        LayerSpec.of(graph, node) for node in (*graph.nodes, *(chain.node for chain in chain_nodes(graph)))
    }
    kinds = {name: board.kind_of(name) for name in engines()}
    profiles = known_boards(board)

    def teaches(sample: Sample) -> bool:
        if ids is not None:
            return sample.id in ids
        layer = sample.candidate.spec
        is_own = sample.fingerprint == fingerprint and (layer in own or isinstance(layer.op, Relayout))
        return not is_own and kinds.get(sample.candidate.choice.engine) == sample.kind

    newest: dict[tuple[str, str], Sample] = {}
    for sample in store.samples():
        if _is_usable(sample, profiles) and teaches(sample):
            newest[sample.candidate_hash, sample.fingerprint_hash] = sample
    chosen = sorted(newest.values(), key=lambda sample: sample.id)[-MOST_OBSERVATIONS:]
    return _prior(chosen, profiles)


def known_boards(board: Board) -> Mapping[str, DeviceProfile]:
    """Profiles by their hashes: the board's own, and those that there are here."""
    return {profile.hash: profile for profile in (*_known(), board.profile)}


def _prior(samples: Iterable[Sample], profiles: Mapping[str, DeviceProfile]) -> Prior:
    chosen = tuple(samples)
    targets = {digest: profile.target() for digest, profile in profiles.items()}
    found = tuple(
        _observation(s, profiles[s.fingerprint.profile_hash], targets[s.fingerprint.profile_hash])
        for s in chosen
    )
    return Prior(found, tuple(sample.id for sample in chosen))


def _observation(sample: Sample, profile: DeviceProfile, target: Target) -> Observation:
    """Work as it is counted now; the time within a launch."""
    candidate, choice = sample.candidate, sample.candidate.choice
    work = algorithms()[choice.algorithm].work(candidate.spec, target, choice)
    time_s = sample.time_s
    if engine_named(choice.engine).launches and sample.kind != "modelled":
        time_s = max(SHORTEST_S, time_s - profile.v3d_value("launch_overhead_s"))
    return Observation(candidate, work, time_s, profile)


def _is_usable(sample: Sample, profiles: Mapping[str, DeviceProfile]) -> bool:
    return (
        sample.role == "candidate"
        and sample.kind != "modelled"
        and sample.is_timed
        and sample.fingerprint.profile_hash in profiles
        and sample.candidate.choice.algorithm in algorithms()
    )


@cache
def _known() -> tuple[DeviceProfile, ...]:
    return tuple(load_profile(name) for name in known_profiles())
