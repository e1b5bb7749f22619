"""Journals of runs that go on, for tests of who watches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.live.journal import Journal
from explorer.terminal.progress import FoundPlan, Outlook, Silent
from tests.microbench.measured import sample

HOSTILE = "<script>alert(1)</script>'\"&\x1b[2J\u202e"
MODEL = {"model": HOSTILE, "device": "pi-zero"}


@contextmanager
def going_on(place: Path) -> Iterator[Journal]:
    """A run in the middle of its first round, every name of it hostile; it ends with the block."""
    first, second = sample(3), sample(4)
    with Journal(Silent(), MODEL) as journal:
        journal.directory(place)
        journal.phase(f"Round {HOSTILE}")
        journal.outlook(
            Outlook(
                0.125,
                f"{HOSTILE} left",
                {first.candidate_hash: f"conv: {HOSTILE}", second.candidate_hash: f"{HOSTILE}: why"},
            )
        )
        journal.expect(2)
        journal.sample(first, measured=True)
        journal.plan(FoundPlan(f"a {HOSTILE}", 0.1, 2048, HOSTILE))
        journal.plan(FoundPlan("b", 0.2, 1024, "simulated"))
        journal.plan(FoundPlan("c", 0.2, 4096, "simulated"))
        yield journal
