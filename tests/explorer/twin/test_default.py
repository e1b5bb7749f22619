"""Which runs ask a twin though none was named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.errors import UsageError
from explorer.settings import RunSettings
from explorer.twin.default import told, with_default_twin
from microbench.calibration.profile_file import fitted_on, write_profile
from microbench.options import SshOptions
from microbench.profile import load_profile
from microbench.twin import CALIBRATED, calibrated_file

STOCK = load_profile("pi-zero")
REACHED = RunSettings(device="pi-zero", ssh=SshOptions("pi.example"), devices=None)


@pytest.fixture
def calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = STOCK.v3d["vdw_row_cycles"].model_copy(update={"source": fitted_on("pi-zero")})
    profile = STOCK.model_copy(update={"v3d": {**STOCK.v3d, "vdw_row_cycles": found}})
    write_profile(profile, calibrated_file("pi-zero"))


@pytest.mark.usefixtures("calibrated")
def test_the_twin_of_a_calibrated_device_is_asked_and_told() -> None:
    chosen = with_default_twin(REACHED)
    assert (chosen.twin, chosen.no_twin) == (CALIBRATED, False)
    assert "twin pi-zero" in (told(chosen) or "")
    assert "10 measurements" in (told(replace(chosen, probes=10)) or "")


@pytest.mark.usefixtures("calibrated")
@pytest.mark.parametrize(
    "change",
    [{"no_twin": True}, {"robust": True}, {"objective": "front"}, {"ssh": None}, {"board": "virtual"}],
)
def test_other_runs_ask_the_board(change: dict[str, Any]) -> None:
    chosen = with_default_twin(replace(REACHED, **change))
    assert chosen.twin is None
    assert told(chosen) is None


def test_a_device_that_was_not_calibrated_is_asked_itself_and_again_when_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = with_default_twin(REACHED)
    assert (chosen.twin, chosen.no_twin) == (None, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"twin": "pi-zero", "no_twin": True}, "--no-twin contradict"),
        ({"probes": 10, "robust": True}, "leave out --robust, or --probes"),
        ({"twin": "pi-zero", "objective": "front"}, "leave out --objective front, or --twin"),
        ({"probes": 2}, "probes cannot be 2: a number of at least 3"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(REACHED, **change)
