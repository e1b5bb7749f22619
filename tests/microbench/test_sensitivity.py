"""The sensitivity of a bundle's time to constants that are assumed or fitted."""

from __future__ import annotations

from pathlib import Path

from codegen.bundle import compile_bundle
from microbench.profile import DeviceProfile, load_profile
from microbench.sensitivity import FACTORS, bundle_time_s, sensitivities, uncertain_constants
from tests.microbench.test_virtual_board import PROFILE, on_qpus, small_graph


def test_only_continuous_uncertain_constants_are_varied() -> None:
    names = uncertain_constants(load_profile("pi-zero"))
    assert "memory_bytes_per_cycle" in names
    assert not {"clock_hz", "qpus", "uniform_cache_ways", "fmul_rounds_to_nearest"} & set(names)


def certain_but(profile: DeviceProfile, *names: str) -> DeviceProfile:
    """The profile with a source for every constant of the GPU except these: each variation compiles a bundle."""
    constants = {
        name: constant if name in names else constant.model_copy(update={"source": "known"})
        for name, constant in profile.v3d.items()
    }
    return profile.model_copy(update={"v3d": constants})


def test_more_bandwidth_never_takes_longer(tmp_path: Path) -> None:
    graph = small_graph()
    compile_bundle(graph, on_qpus(graph), PROFILE.target(), tmp_path)
    names = ("memory_bytes_per_cycle", "uniform_sdram_extra_s")
    profile = certain_but(PROFILE, *names)
    rows = {row.constant: row for row in sensitivities(profile, lambda p: bundle_time_s(p, tmp_path))}
    assert set(rows) == set(uncertain_constants(profile)) == set(names)
    slower, faster = rows["memory_bytes_per_cycle"].times_s
    assert FACTORS[0] < 1 < FACTORS[1]
    assert slower >= bundle_time_s(PROFILE, tmp_path) >= faster
