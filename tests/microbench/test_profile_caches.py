"""The CPU's caches of a profile: what tiles are meant for, and what a profile may say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.cpu.machine import cache_bytes
from codegen.operators.fully_connected import FullyConnected
from codegen.tensor import TensorType
from microbench.errors import ProfileError
from microbench.profile import DeviceProfile, known_profiles, load_profile
from tests.codegen.layers import layer_spec

MINIMAL = """\
name = "a"
title = "A board"
board = "null"
cpu = "cortex-a53"
cores = 1
compiler_target = ""
"""


def with_l2(name: str, l2_bytes: int) -> DeviceProfile:
    content = load_profile(name).model_dump()
    content["cpu_caches"]["l2_bytes"] = {"value": l2_bytes, "unit": "B", "source": "assumed"}
    return DeviceProfile.model_validate(content)


@pytest.mark.parametrize("name", known_profiles())
def test_tiles_are_for_the_second_level_where_a_core_has_one(name: str) -> None:
    profile = load_profile(name)
    wanted = 16 << 10 if name in ("pi-1", "pi-zero") else 512 << 10
    assert cache_bytes(profile.target()) == wanted
    assert all(cache.unit == "B" and cache.source for cache in profile.cpu_caches.values())


def test_a_larger_cache_is_another_profile_and_spares_reading_again() -> None:
    small, large = (with_l2("pi-3-64", size) for size in (4096, 1 << 24))
    assert small.hash != large.hash
    algorithm, weights = (
        algorithm_named("cpu_blocked_fully_connected"),
        (TensorType((64, 2048)), TensorType((64,))),
    )
    spec = layer_spec(FullyConnected(), (TensorType((1, 2048)),), TensorType((1, 64)), weights)
    point = {"lanes": 4, "blocks": 1, "input": "row_major", "threads": 1}
    choice = algorithm.choice(spec, large.target(), point)
    read = [algorithm.work(spec, profile.target(), choice).streamed_bytes_read for profile in (small, large)]
    assert read[0] > read[1] == spec.inputs[0].size_bytes + sum(w.size_bytes for w in spec.weights)


def test_a_profile_without_caches_has_the_smallest(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(MINIMAL)
    assert cache_bytes(load_profile(str(path)).target()) == 16 << 10


def test_an_unknown_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(MINIMAL + '[cpu_caches]\nl2_byte = { value = 1, unit = "B", source = "assumed" }\n')
    with pytest.raises(ProfileError, match=r"cpu_caches.*l2_byte.*l1d_bytes, l2_bytes"):
        load_profile(str(path))
