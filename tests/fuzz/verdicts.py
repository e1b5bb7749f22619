"""What may become of something damaged: it is taken for what it still says, or refused by a typed error."""

from __future__ import annotations

from collections.abc import Callable

from codegen.errors import ExploreError
from tests.random_graphs.judge import Outcome

SOUND, REFUSED, WRONG = "read", "refused", "wrong"


def verdict_of(read: Callable[[], str]) -> Outcome:
    """`read` reads it all and says what is wrong with that, nothing where it is sound. An error that is not typed is
    left to the caller, who counts it as a crash.
    """
    try:
        complaint = read()
    except ExploreError:
        return Outcome(REFUSED)
    return Outcome(WRONG, complaint) if complaint else Outcome(SOUND)
