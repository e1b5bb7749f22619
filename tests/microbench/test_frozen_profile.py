from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "bc2f09a958e49ed6c68f66f6eb64e2e35456ffd0a10ea535de88d7bd1c5daf6e"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
