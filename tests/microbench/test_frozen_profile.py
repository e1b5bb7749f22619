from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "13d0e27bf69bdbb3568950f720e82a7813002e14531c320dbdfbabc637468f5c"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
