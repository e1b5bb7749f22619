"""Every candidate of a tiny network's layer is measured once, and cost models are judged by that."""

from __future__ import annotations

from pathlib import Path

from microbench.store import Store
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def test_ground_truth_goes_on_and_models_are_judged_by_it(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=8, channels=16)
    store, page = tmp_path / "truth.sqlite", tmp_path / "models.md"
    truth = ("bench", "ground-truth", "--models", model, "--store", store)
    first = explore(*truth)
    assert first.exit_code == 0, first.output
    with Store.open(store) as opened:
        count = opened.count()
        assert {sample.status for sample in opened.samples()} == {"ok"}
    again = explore(*truth)
    assert again.exit_code == 0, again.output
    with Store.open(store) as opened:
        assert opened.count() == count
    judged = explore("bench", "models", "--models", model, "--store", store, "--markdown", page)
    assert judged.exit_code == 0, judged.output
    rows = [line for line in page.read_text().splitlines() if line.startswith("| r")]
    assert {line.split("|")[1].strip() for line in rows} >= {"residual", "roofline"}
    assert {line.split("|")[2].strip() for line in rows} == {"candidate", "layer"}


def test_a_store_without_times_of_the_device_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.sqlite"):
        pass
    refused(explore("bench", "models", "--store", tmp_path / "empty.sqlite"), "bench ground-truth")


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=8, channels=16)
    place = ("--store", tmp_path / "truth.sqlite", "--layer", "nothing like it")
    refused(explore("bench", "ground-truth", "--models", model, *place), "there are:")
