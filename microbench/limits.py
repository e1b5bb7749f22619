"""How long anything may be waited for."""

from __future__ import annotations

from microbench.errors import TimeLimitError

LONGEST_LIMIT_S = 31 * 86400.0  # as the runner takes (watch.c)


def check_limit(what: str, seconds: float) -> None:
    """Raises TimeLimitError for what is no limit: not above 0, not finite, or longer than any clock is asked for."""
    if not 0.0 < seconds <= LONGEST_LIMIT_S:
        raise TimeLimitError(
            f"{what} of {seconds:g} s: a limit is above 0 and at most {LONGEST_LIMIT_S:g} s, which is a month; "
            "name one that is"
        )
