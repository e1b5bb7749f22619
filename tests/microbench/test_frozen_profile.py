from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "3916429a3bd1159ffef7cdb869a6e8ea2c0a6a24e8cc6f1fddba6764dc32a03b"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
