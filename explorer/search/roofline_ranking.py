"""The candidates of a layer under one algorithm in the order of the roofline: choices without a measurement."""

from __future__ import annotations

from codegen.algorithm import Algorithm
from codegen.graph import LayerSpec
from codegen.schedule import Candidate, Work
from cost_models.roofline import RooflineModel
from explorer.search.candidate_pool import CandidatePool
from microbench.profile import DeviceProfile

ENUMERATED = 4096  # of a larger space the sampler proposes points
PROPOSED = 256
SEED = 0


def ranked_candidates(
    algorithm: Algorithm, spec: LayerSpec, profile: DeviceProfile, threads: int | None = None
) -> tuple[tuple[Candidate, float], ...]:
    """Candidates with modelled seconds, the fastest first; empty where the algorithm does not apply.

    `threads`: those with that many alone. Of equal times that with the fewest instructions is the
    first, then that which comes first in its space.
    """
    target = profile.target()
    if not algorithm.applies(spec, target):
        return ()
    model = RooflineModel(profile)

    def work_of(candidate: Candidate) -> Work:
        return algorithm.work(spec, target, candidate.choice)

    def modelled_s(candidate: Candidate) -> float:
        return model.predict([(candidate, work_of(candidate))])[0].time_s

    pool = CandidatePool(spec, algorithm, target, ENUMERATED, SEED)
    pool.extend(PROPOSED, modelled_s)
    wanted = (c for c in pool.candidates if threads is None or c.choice.threads == threads)
    timed = ((candidate, modelled_s(candidate)) for candidate in wanted)
    return tuple(sorted(timed, key=lambda pair: (pair[1], work_of(pair[0]).instructions)))
