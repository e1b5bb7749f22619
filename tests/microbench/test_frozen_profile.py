from __future__ import annotations

from microbench.profile import load_profile

FROZEN = "9bc5f9857efbc6087c68447ce409aa0412c391384ea347e4ef9015a17a2155b4"


def test_the_constants_of_the_pi_zero_are_those_that_all_stated_times_rest_on() -> None:
    """See CONTRIBUTING.md, "Timing constants": a change is a commit of its own that restates every time."""
    assert load_profile("pi-zero").hash == FROZEN
