"""The speed benchmark runs; what it measures is this machine's and asserted nowhere."""

from __future__ import annotations

import pytest

from microbench.profile import load_profile
from microbench.virtual.speed import KERNELS, kernel_speed


def test_a_kernel_s_speed_is_its_instructions_over_every_run() -> None:
    speed = kernel_speed(load_profile("pi-zero"), *KERNELS[-1], runs=2)
    assert speed.instructions > 1e5
    assert len(speed.rates) == len(speed.seconds) == 2
    assert speed.rates[0] * speed.seconds[0] == pytest.approx(speed.instructions)
