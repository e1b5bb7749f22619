"""A tiny network is searched after another, on a store of ground truth of both."""

from __future__ import annotations

from pathlib import Path

from microbench.store import Store
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def test_a_network_is_searched_after_another_and_from_an_empty_store(tmp_path: Path) -> None:
    store, page = tmp_path / "truth.sqlite", tmp_path / "prior.md"
    networks: list[str | Path] = []
    for side, channels in ((8, 16), (12, 24)):
        networks += [
            "--models",
            write_tiny_model(tmp_path / f"tiny{side}.onnx", side=side, channels=channels),
        ]
    truth = explore("bench", "ground-truth", *networks, "--store", store, "--share", "0.1")
    assert truth.exit_code == 0, truth.output
    result = explore("bench", "prior", *networks, "--store", store, "--markdown", page)
    assert result.exit_code == 0, result.output
    rows = [line.split("|") for line in page.read_text().splitlines() if line.startswith("| ")][2:]
    assert [row[2].strip().split()[0] for row in rows] == ["empty", "after", "empty", "after"]
    assert [row[3].strip() == "0" for row in rows] == [True, False, True, False]


def test_a_store_without_the_network(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.sqlite"):
        pass
    result = explore("bench", "prior", "--models", "squeezenet", "--store", tmp_path / "empty.sqlite")
    refused(result, "UsageError", "no sample of layer", "explore bench ground-truth")
