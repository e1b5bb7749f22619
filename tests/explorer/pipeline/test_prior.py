"""A run learns from the store's other networks, writes down from which samples, and from the same when it goes on."""

from __future__ import annotations

import json
from pathlib import Path

from microbench.store import Store
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model


def test_what_the_store_has_of_other_networks_is_learned_from_and_written_down(tmp_path: Path) -> None:
    store = tmp_path / "samples.sqlite"

    def run(name: str, channels: int, *more: str) -> dict[str, list[int]]:
        model = write_tiny_model(tmp_path / f"{name}.onnx", side=16, channels=channels)
        arguments = ("run", "--device", "pi-zero", "--layer-budget", "1", "--model", model, "--store", store)
        result = explore(*arguments, "--out", tmp_path / "-".join((name, *more)), *more)
        assert result.exit_code == 0, result.output
        content: dict[str, list[int]] = json.loads(
            (tmp_path / "-".join((name, *more)) / "run.json").read_text()
        )
        return content

    first = run("first", 16)
    assert first["prior"] == []
    with Store.open(store) as opened:
        simulated = {sample.id for sample in opened.samples() if sample.kind == "simulated"}
    second = run("second", 32)
    assert set(second["prior"]) and set(second["prior"]) <= simulated
    assert not set(second["prior"]) & set(second["measured"])
    run("third", 48)  # the store grows
    again = run("second", 32)
    assert again == second
    assert "prior" not in run("second", 32, "--prior", "none")
