"""Opens the boards of a device's variants, to time candidates under other constants than its profile's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.schedule import Candidate
from explorer.errors import UsageError
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer
from explorer.measure.workers import Workers
from explorer.pipeline.boards import alike, close, open_board_of
from explorer.plans.searched_network import SearchedNetwork
from explorer.robust.network import with_least_regret
from explorer.settings import RunSettings
from explorer.terminal.progress import Progress
from microbench.board import Board
from microbench.store import Sample, Store


def require_variants(board: Board) -> None:
    """Raises UsageError where a board has no constants that could be others."""
    if board.reads_clock:
        raise UsageError(
            f"--robust is about constants that a simulator assumes; the {board.name} board has a clock of its own: "
            "leave it out"
        )
    if not board.profile.robust_against:
        raise UsageError(
            f"--robust: the profile {board.profile.name!r} names no variants in robust_against; add some, or leave "
            "it out"
        )


def robust(
    found: SearchedNetwork, settings: RunSettings, jobs: JobBuilder, store: Store, progress: Progress
) -> SearchedNetwork:
    """The searched network with the plan that has the least regret over the profile and its variants.

    Times found before are in the store. Raises as `open_board_of` and the measurer do, CompositionError.
    """

    def time_under(variant: str, candidates: Sequence[Candidate]) -> Sequence[Sample]:
        progress.phase(f"Under {variant}")
        varied = replace(settings, device=f"{settings.device}:{variant}")
        first = open_board_of(varied)
        with Workers(alike(first, varied), close) as boards:
            fingerprint = boards.call(lambda board: board.fingerprint())
            launch_s = found.overheads.launch_s
            return Measurer(boards, jobs, store, fingerprint, progress, launch_s).samples(candidates)

    return with_least_regret(found, found.profile.robust_against, time_under)
