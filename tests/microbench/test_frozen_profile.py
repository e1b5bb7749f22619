from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "05a32b87b5513b2d50ad8d78d9630c135a7fb30c13bddedc8f13229c294b1e72"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
