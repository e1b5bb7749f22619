from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "2834f8d9d08d83e3818f7053d41f5ac2ad53135a4de4bbd7862bbe8591281eb3"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
