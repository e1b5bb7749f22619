"""Whatever may change a plan changes a run's identity, and nothing else does."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from explorer.runs.identity import WITHOUT_EFFECT, identity_of
from explorer.search.layer_search import SearchSettings
from explorer.settings import RehearsalSettings, RunSettings
from microbench.devices_file import add_board, new_board
from microbench.options import SshOptions
from microbench.profile import PROFILE_DIRECTORY

SETTINGS = RunSettings(model=Path("a/net.onnx"))
MODEL = "5" * 64
BOARD = SshOptions("pi.example")
CHANGES: tuple[dict[str, Any], ...] = (
    {"again": Path("runs/before")},
    {"device": "host"},
    {"model": Path("a/other.onnx")},
    {"board": "null"},
    {"with_cpu_plan": True},
    {"farm": "tcp://127.0.0.1:8786"},
    {"ssh": BOARD},
    {"ssh": replace(BOARD, port=2222)},
    {"ssh": replace(BOARD, launch="registers")},
    {"v3d_hz": 3e8},
    {"gpu_memory": "cached"},
    {"weights": "int8"},
    {"qpus": 8},
    {"shapes": {"x": (1, 3, 8, 8)}},
    {"values": {"rate": "16000"}},
    {"store": "another.sqlite"},
    {"cost_model": "roofline"},
    {"search": SearchSettings(seed=1)},
    {"search": SearchSettings(layer_budget=7)},
    {"rehearsal": RehearsalSettings(rounds=0)},
    {"objective": "front"},
    {"robust": True},
    {"prices": {"energy": 0.5}},
    {"max_memory_bytes": 1 << 20},
    {"prior": "none"},
    {"twin": "pi-zero"},
    {"probes": 10},
    {"board_options": {"serial": "1"}},
)


def test_equal_settings_and_models_are_one_run() -> None:
    identity = identity_of(SETTINGS, MODEL)
    assert len(identity) == 64 and identity == identity_of(replace(SETTINGS), MODEL)


def test_every_setting_that_may_change_a_plan_counts() -> None:
    """A new setting has to be among those that do, or among those that do not."""
    identities = {identity_of(replace(SETTINGS, **change), MODEL) for change in ({}, *CHANGES)}
    assert len(identities) == 1 + len(CHANGES)
    assert {name for change in CHANGES for name in change} | set(WITHOUT_EFFECT) == {
        field.name for field in fields(RunSettings)
    }


def test_the_content_of_the_model_counts_and_its_place_does_not() -> None:
    assert identity_of(SETTINGS, "6" * 64) != identity_of(SETTINGS, MODEL)
    assert identity_of(replace(SETTINGS, model=Path("b/net.onnx")), MODEL) == identity_of(SETTINGS, MODEL)


@pytest.mark.parametrize(
    "change", [{"out": Path("elsewhere")}, {"overwrite": True}, {"devices": Path("absent.toml")}]
)
def test_what_changes_no_plan_does_not_count(change: dict[str, Any]) -> None:
    assert identity_of(replace(SETTINGS, **change), MODEL) == identity_of(SETTINGS, MODEL)


def test_keys_and_passwords_do_not_count() -> None:
    ssh = replace(SETTINGS, ssh=BOARD)
    with_key = replace(ssh, ssh=replace(BOARD, key_path=Path("key"), timeout_s=5.0))
    assert identity_of(ssh, MODEL) == identity_of(with_key, MODEL)
    urls = ("postgresql://me:one@host/samples", "postgresql://me:two@host/samples")
    one, two = (identity_of(replace(SETTINGS, store=url), MODEL) for url in urls)
    assert one == two


def test_a_device_is_its_constants(tmp_path: Path) -> None:
    text = (PROFILE_DIRECTORY / "pi-zero.toml").read_text(encoding="utf-8")
    identities = set()
    for name, content in (("a", text), ("b", text.replace("value = 250e6", "value = 251e6"))):
        path = tmp_path / name / "mine.toml"
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
        identities.add(identity_of(replace(SETTINGS, device=str(path)), MODEL))
    assert len(identities) == 2


def test_a_named_board_is_where_it_is(tmp_path: Path) -> None:
    identities = set()
    for host in ("one.example", "two.example"):
        path = tmp_path / f"{host}.toml"
        add_board(path, "shelf", new_board(profile="pi-zero", host=host))
        identities.add(identity_of(replace(SETTINGS, device="shelf", devices=path), MODEL))
    assert len(identities) == 2
