from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "f5beb1032ca61f26610729b470657249bb8c5137432d5b67132e400f6a1d1aed"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
