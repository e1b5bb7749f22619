"""Whole plans on the board: of those that a search with a twin came by, the one that takes least."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from codegen.bundle import compile_bundle
from codegen.canonical import content_hash
from codegen.plan import Plan
from explorer.compose.compose import Composition, retimed
from explorer.compose.timed_candidates import by_candidate
from explorer.plans.planning import decisions
from explorer.plans.searched_network import SearchedNetwork
from explorer.terminal.progress import Progress
from microbench.board import BundleRun
from microbench.errors import CandidateError

Perform = Callable[[Path, Plan], tuple[BundleRun, str]]


def fastest_plan(
    found: SearchedNetwork,
    compositions: Sequence[Composition],
    most: int,
    perform: Perform,
    progress: Progress,
) -> Composition | None:
    """The composition whose bundle took least on the board, of the last `most` that decide differently.

    `perform` runs a bundle and says what is wrong with its outputs, if anything is. None where none works. Raises
    BoardError.
    """
    contenders = _distinct(found, compositions)[:most]
    progress.phase("Whole plans")
    progress.expect(len(contenders))
    times_s: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as place:
        for number, composition in enumerate(contenders):
            plan, bundle = found.plan(composition), Path(place) / str(number)
            compile_bundle(found.network.graph, plan, found.target, bundle)
            try:
                run, wrong = perform(bundle, plan)
            except CandidateError:
                continue
            finally:
                progress.done()
            if not wrong:
                times_s.append((run.time_s, number))
    return contenders[min(times_s)[1]] if times_s else None


def _distinct(found: SearchedNetwork, compositions: Sequence[Composition]) -> list[Composition]:
    """The last first, with the times that are known now; without those that take what failed on the board."""
    known = by_candidate(found.expected)
    kept: dict[str, Composition] = {}
    for composition in reversed(compositions):
        if all(step.timed.candidate in known for step in composition.steps):
            again = retimed(composition, known, found.overheads)
            kept.setdefault(content_hash(decisions(found.plan(again))), again)
    return list(kept.values())
