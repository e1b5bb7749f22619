"""`explore bench farm`: its tables, from a small study and from what an earlier one left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer.studies import farm as study
from explorer.studies import farm_records
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model

RUN = {"measured": 100, "whole_s": 60.0, "plan_s": 0.5, "twice": 0, "asked_of": 1}
CROWD = {
    **{"boards": 9, "processes": 4, "start_s": 3.0, "board_bytes": 2048.0, "scheduler_bytes": 1024.0},
    **{"idle_share": 0.0005, "orders": 18, "orders_s": 2.0, "order_cpu_s": 0.004, "twice": 0},
}


def test_a_small_farm_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "CROWD_S", 0.1)
    monkeypatch.setattr(farm_records, "CROWD_ANSWER_S", 0.0)
    monkeypatch.setattr(farm_records, "CROWD_PROCESSES", 1)
    model, records = write_tiny_model(tmp_path / "tiny.onnx"), tmp_path / "r" / "farm.jsonl"
    words = ("--network", model, "--boards", "2", "--answer-s", "0", "--crowd", "4", "--records", records)
    ran = explore("bench", "farm", *words, "--virtual", "1", "--json")
    assert ran.exit_code == 0, ran.output
    searched, simulated, crowd = json.loads(ran.stdout)
    (row,) = searched["rows"]
    assert (row["boards"], row["of linear"], row["measured twice"]) == ("2", "1.00", "0")
    assert int(row["measured"]) > 50
    assert int(simulated["rows"][0]["measured"]) > 50
    figures = {one["of a farm"]: one["figure"] for one in crowd["rows"]}
    assert (figures["candidates measured"], figures["measured twice"]) == ("8", "0")
    assert [json.loads(line)["part"] for line in records.read_text().splitlines()] == [
        "crowd",
        "2",
        "virtual1",
    ]


def test_parts_that_are_done_are_not_done_again(tmp_path: Path) -> None:
    parts = [
        {"part": "crowd", **CROWD},
        {"part": "16", "boards": 16, "measuring_s": 1.5, **RUN, "plan_s": 0.501},
        {"part": "change16", "boards": 16, "measuring_s": 2.0, **RUN},
        {"part": "1", "boards": 1, "measuring_s": 20.0, **RUN},
    ]
    records, page = tmp_path / "farm.jsonl", tmp_path / "farm.md"
    records.write_text("".join(f"{json.dumps(part)}\n" for part in parts))
    counts = ("--boards", "1", "--boards", "16")
    ran = explore("bench", "farm", *counts, "--records", records, "--markdown", page)
    assert ran.exit_code == 0, ran.output
    text = page.read_text()
    assert "| 16 | 100 | 1.5 s | 13.33 | 0.83 | 60 s | 501.000 ms | +0.20 % | 0 |" in text
    assert "| 16, a quarter killed, as many joined | 100 | 2.0 s | 10.00 | 0.62 |" in text
    assert "| memory of a board | 2 KiB |" in text and "| an idle board, of a core | 0.050 % |" in text


def test_damaged_records_are_refused(tmp_path: Path) -> None:
    records = tmp_path / "farm.jsonl"
    for content in ("{", "[]", '{"part": "1"}', "{}"):
        records.write_text(content)
        refused(explore("bench", "farm", "--records", records), "RunDataError", "damaged")
