"""The simulator's constants as v3d.h lists them: the compiled simulator has the same, and none is compiled to tell."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from microbench.errors import BoardError
from microbench.profile import load_profile
from microbench.virtual.build import library_path, machine_flags
from microbench.virtual.bundle import profile_header
from microbench.virtual.constants import constant_names, constants_of
from microbench.virtual.library import library


def test_the_compiled_simulator_has_the_same_constants_in_the_same_order() -> None:
    names = ctypes.CDLL(str(library_path(machine_flags()))).v3d_config_names
    names.restype = ctypes.c_char_p
    assert names().decode().rstrip(",").split(",") == list(constant_names())


def test_a_profile_gives_every_constant() -> None:
    profile = load_profile("pi-zero")
    constants = constants_of(profile)
    assert constants["clock_hz"] == profile.target().v3d_clock_hz
    assert constants["gpu_memory_bytes"] == profile.gpu_memory_bytes


def test_the_header_of_a_bundle_is_written_where_nothing_can_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise AssertionError(f"a program was started: {words}")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing compiled is kept there
    monkeypatch.setattr(subprocess, "Popen", refuse)
    header = profile_header(load_profile("pi-zero"))
    assert f".l2_bytes = {float(constants_of(load_profile('pi-zero'))['l2_bytes']).hex()}" in header


DAMAGE = (
    *((name, -1.0) for name in constant_names()),
    *((name, 1e300) for name in constant_names()),
    *((name, float("nan")) for name in constant_names()),
    *((name, float("inf")) for name in constant_names()),
    ("l2_bytes", 1e11),
    ("icache_ways", 1e9),
    ("uniform_cache_bytes", 63.0),
    ("uniform_burst_words", 1e10),
    ("sfu_exp_bits", 25.0),
    *((name, 1.5) for name in ("qpus", "qpus_per_slice", "tmus_per_slice", "l2_ways", "tmu_queue_depth")),
)


@pytest.mark.parametrize(("name", "value"), DAMAGE)
def test_a_constant_that_no_board_has_is_refused(
    name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A runner gets its constants over a link, past the checks of a profile.
    constants = {**constants_of(load_profile("pi-zero")), name: value}
    monkeypatch.setattr("microbench.virtual.library.constants_of", lambda profile: constants)
    with pytest.raises(BoardError, match="refuses the constants"):
        library().new(load_profile("pi-zero"), strict=True)
