from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "1fc6304757acdf5a1ce1b4d5cfe1bf4d165d872ecf23a89ab1195b98d9dce1a1"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
