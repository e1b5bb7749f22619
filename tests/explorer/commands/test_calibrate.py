"""`explore calibrate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from microbench.calibration.profile_file import fitted_on, write_profile
from microbench.profile import load_profile
from tests.explorer.command_line import explore, refused
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.stand_in import devices_file

__all__ = ["sshd"]


def test_the_table_shows_published_figures_beside_the_suite() -> None:
    result = explore("calibrate", "--table")
    assert result.exit_code == 0, result.output
    for text in ("690 MB/s", "1120 MB/s", "uniforms", "semaphore"):
        assert text in result.output


@pytest.mark.parametrize("more", [(), ("--table",), ("--start", "host", "--device", "pi-zero")])
def test_a_device_without_qpus_is_refused(more: tuple[str, ...]) -> None:
    refused(explore("calibrate", "--device", "host", *more), "host", "no QPUs")


def test_the_suite_runs_in_memory_that_the_systems_l2_caches() -> None:
    result = explore("calibrate", "--table", "--gpu-memory", "cached")
    assert result.exit_code == 0, result.output
    assert "1100 MB/s" in result.output


def test_memory_that_a_board_cannot_cache_is_refused() -> None:
    refused(explore("calibrate", "--device", "pi-2", "--gpu-memory", "cached"), "pi-2", "--gpu-memory")


def test_the_cpu_of_a_virtual_board_is_not_measured() -> None:
    refused(explore("calibrate", "--cpu", "--device", "pi-zero"), "pi-zero", "this machine does not run")


def test_an_unknown_device_is_refused() -> None:
    refused(explore("calibrate", "--device", "pi-nine"), "pi-nine", "known devices")


@pytest.mark.slow
def test_a_profile_is_written_that_the_project_reads(tmp_path: Path) -> None:
    true = load_profile("pi-zero").with_v3d(vdw_row_cycles=11.0, tmu_cycles_per_request=20)
    write_profile(true, tmp_path / "board.toml")
    out = tmp_path / "fitted.toml"
    result = explore("calibrate", "--device", tmp_path / "board.toml", "--out", out)
    assert result.exit_code == 0, result.output
    assert "not identifiable" in result.output
    fitted = load_profile(str(out))
    assert fitted.name == "pi-zero-calibrated"
    assert fitted.v3d_value("tmu_cycles_per_request") == 20
    assert fitted.v3d_value("vdw_row_cycles") == pytest.approx(11.0, rel=0.05)
    assert "interval" in fitted.v3d["vdw_row_cycles"].source


def test_measurements_of_another_board_are_refused(sshd: LoopbackServer, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"format": 1, "board": "another"}\n')
    devices = devices_file(sshd, tmp_path, load_profile("pi-zero"))
    more = ("--devices", devices, "--measurements", kept)
    refused(explore("calibrate", "--device", "attic", *more), "kept.jsonl", "other circumstances")


@pytest.mark.slow
def test_a_named_board_is_calibrated_over_ssh(sshd: LoopbackServer, tmp_path: Path) -> None:
    true = load_profile("pi-zero").with_v3d(clock_hz=300e6, vdw_row_cycles=11.0, tmu_cycles_per_request=20)
    out, kept = tmp_path / "fitted.toml", tmp_path / "kept.jsonl"
    devices = devices_file(sshd, tmp_path, true)
    more = ("--devices", devices, "--out", out, "--measurements", kept)
    of_cpu = load_profile("pi-zero").cpu_costs["clock_hz"].model_copy(update={"value": 1.1e9})
    write_profile(
        load_profile("pi-zero").model_copy(update={"cpu_costs": {"clock_hz": of_cpu}}), out
    )  # measured before, by --cpu
    result = explore("calibrate", "--device", "attic", *more)
    assert result.exit_code == 0, result.output
    fitted = load_profile(str(out))
    assert fitted.name == "attic-calibrated"
    assert fitted.v3d_value("clock_hz") == 300e6
    assert fitted.v3d_value("tmu_cycles_per_request") == 20
    assert fitted.v3d_value("vdw_row_cycles") == pytest.approx(11.0, rel=0.05)
    assert fitted.v3d["vdw_row_cycles"].source.startswith(fitted_on("attic"))
    assert fitted.cpu_costs == {"clock_hz": of_cpu}
