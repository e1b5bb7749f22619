"""What a link costs: the same jobs here and over it, one after the other, by the wall clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from codegen.schedule import Candidate
from explorer.errors import UsageError
from explorer.measure.taking import CANDIDATE_FAULTS
from explorer.pipeline.boards import open_board_of
from explorer.settings import RunSettings
from explorer.studies.same_candidates import job_builder, same_candidates
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.units import seconds
from microbench.board import Board, Job
from microbench.boards.ssh_link import SshLink
from microbench.options import SshOptions


@dataclass(frozen=True)
class SampleCost:
    """Seconds from asking a board for a sample until it is here: directly, over the link for the first time, with what
    is uploaded for it, and over the link again.
    """

    candidate: Candidate
    direct_s: float
    first_s: float
    again_s: float


def link_costs(direct: RunSettings, remote: RunSettings, most: int) -> tuple[SampleCost, ...]:
    """Of every candidate that works on both. Compilers' work is done before: a direct sample is taken once unseen.

    `remote.ssh` says where; the runner's directory there is a fresh one, and gone afterwards.
    """
    if remote.ssh is None:
        raise UsageError("there is no link without a place to reach: name it with --ssh")
    fresh = replace(remote.ssh, remote_directory=f"{remote.ssh.remote_directory}/link-{secrets.token_hex(4)}")
    try:
        with open_board_of(direct) as here, open_board_of(replace(remote, ssh=fresh)) as there:
            jobs = job_builder(here, direct)
            found = [_cost(here, there, jobs.job(one)) for one in same_candidates(here, direct, most)]
    finally:
        _remove(fresh)
    return tuple(cost for cost in found if cost is not None)


def cost_table(costs: Sequence[SampleCost]) -> StudyTable:
    """Raises UsageError where there are none."""
    if not costs:
        raise UsageError("no candidate works on both boards; `explore samples list --status failed` says why")
    columns = (("layer", LEFT), ("algorithm", LEFT), ("direct", RIGHT), ("over the link, first", RIGHT))
    rows = [
        (
            cost.candidate.spec.describe(),
            cost.candidate.choice.algorithm,
            *map(seconds, (cost.direct_s, cost.first_s, cost.again_s)),
        )
        for cost in costs
    ]
    first_s = median(cost.first_s - cost.direct_s for cost in costs)
    again_s = median(cost.again_s - cost.direct_s for cost in costs)
    direct_s = median(cost.direct_s for cost in costs)
    note = (
        f"Over {len(costs)} candidates the link costs {signed(first_s)} a sample the first time (median; the program "
        f"is uploaded) and {signed(again_s)} after that, beside {seconds(direct_s)} that a sample takes directly."
    )
    return StudyTable("What the link costs", (*columns, ("again", RIGHT)), tuple(rows), (note,))


def signed(time_s: float) -> str:
    """A difference of times: noise may make it less than nothing."""
    return f"{'-' if time_s < 0 else ''}{seconds(abs(time_s))}"


def _cost(here: Board, there: Board, job: Job) -> SampleCost | None:
    try:
        here.measure(job)
        direct_s, first_s, again_s = (_wall_s(board, job) for board in (here, there, there))
    except CANDIDATE_FAULTS:
        return None
    return SampleCost(job.candidate, direct_s, first_s, again_s)


def _wall_s(board: Board, job: Job) -> float:
    begin_s = time.perf_counter()
    board.measure(job)
    return time.perf_counter() - begin_s


def _remove(options: SshOptions) -> None:
    link = SshLink(options)
    try:
        link.run(("rm", "-rf", "--", options.remote_directory))
    finally:
        link.close()
