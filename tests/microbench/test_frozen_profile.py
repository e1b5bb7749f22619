from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "a126d76127ffefc1bb35e6d74336f92998dc7c65f3b3ead86f0439bc5edbb305"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
