from __future__ import annotations

from pathlib import Path

from tests.explorer.command_line import explore, refused


def test_networks_are_composed_with_their_gap(tmp_path: Path) -> None:
    page = tmp_path / "composition.md"
    ended = explore("bench", "search", "--network", "branches-4", "--markdown", page)
    assert ended.exit_code == 0, ended.output
    rows = [
        line.split("|") for line in page.read_text("utf-8").splitlines() if line.startswith("| branches-4")
    ]
    assert [row[5].strip() for row in rows] == ["none", "half", "none", "half"]
    assert [row[9].strip() for row in rows if row[5].strip() == "none"] == ["0", "0"]


def test_an_unknown_network_is_refused_by_name() -> None:
    ended = explore("bench", "search", "--network", "nowhere")
    refused(ended, "no network 'nowhere'")
