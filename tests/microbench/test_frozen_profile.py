from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "ea2deb9317e9eb2bb89d26cd265e0105c8b7be6540bf9f0a056396e282cd98d3"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
