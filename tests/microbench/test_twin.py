"""Which profile is a device's twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from microbench.boards.null import NullBoard
from microbench.boards.ssh import SshBoard
from microbench.calibration.profile_file import fitted_on, write_profile
from microbench.errors import TwinError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.twin import CALIBRATED, calibrated_file, is_calibrated, require_twin, twin_profile
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.stand_in import stand_in

__all__ = ["sshd"]

STOCK = load_profile("pi-zero")


def test_the_twin_is_the_profile_that_calibration_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(STOCK.with_v3d(vdw_row_cycles=9.0), calibrated_file("pi-zero"))
    assert twin_profile("pi-zero", None, CALIBRATED).v3d_value("vdw_row_cycles") == 9.0


def test_without_one_calibration_is_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TwinError, match="explore calibrate --device pi-zero"):
        twin_profile("pi-zero", None, CALIBRATED)


def test_a_device_is_calibrated_where_constants_of_its_qpus_were_found_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_calibrated("attic")
    for place, calibrated in (("the virtual board", False), ("another", False), ("attic", True)):
        found = STOCK.v3d["vdw_row_cycles"].model_copy(update={"source": f"{fitted_on(place)}, interval"})
        profile = STOCK.model_copy(update={"v3d": {**STOCK.v3d, "vdw_row_cycles": found}})
        write_profile(profile, calibrated_file("attic"))
        assert is_calibrated("attic") is calibrated
    calibrated_file("attic").write_text("no profile")
    with pytest.raises(TwinError, match="--no-twin"):
        is_calibrated("attic")


@pytest.mark.parametrize(
    ("device", "twin", "differ"),
    [("pi-zero", "pi-2", "cpu, cores"), ("host", "pi-zero", "no QPUs"), ("pi-zero", "host", "no QPUs")],
)
def test_another_machines_profile_is_no_twin(device: str, twin: str, differ: str) -> None:
    with pytest.raises(TwinError, match=differ):
        twin_profile(device, None, twin)


def test_a_board_of_other_qpus_is_no_twin(tmp_path: Path) -> None:
    write_profile(STOCK.with_v3d(qpus=8), tmp_path / "eight.toml")
    with pytest.raises(TwinError, match="qpus differ"):
        twin_profile("pi-zero", None, str(tmp_path / "eight.toml"))


def test_a_board_at_another_clock_is_refused(sshd: LoopbackServer, tmp_path: Path) -> None:
    options = stand_in(sshd, tmp_path / "there", STOCK.with_v3d(clock_hz=300e6))
    with SshBoard(STOCK, options) as board, pytest.raises(TwinError, match=r"300 MHz.*250 MHz"):
        require_twin(board)
    with SshBoard(STOCK.with_v3d(clock_hz=300e6), options) as board:
        require_twin(board)


def test_a_board_that_is_not_out_there_needs_none() -> None:
    with NullBoard.open(STOCK, BoardOptions()) as board, pytest.raises(TwinError, match="--twin"):
        require_twin(board)
