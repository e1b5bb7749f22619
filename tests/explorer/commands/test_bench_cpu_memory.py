from __future__ import annotations

from pathlib import Path

from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model


def test_chains_never_need_more_memory(tmp_path: Path) -> None:
    model, page = write_tiny_model(tmp_path / "tiny.onnx", side=40), tmp_path / "memory.md"
    explore(
        "bench", "cpu-memory", str(model), "--store", str(tmp_path / "s.sqlite"), "--markdown", str(page)
    )  # fmt: skip
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| layer", "| depth"))
    ]
    assert [row[:2] for row in rows] == [
        ["layer by layer", "speed"],
        ["layer by layer", "memory"],
        ["depth first", "speed"],
        ["depth first", "memory"],
    ]
    chains, mebibytes = [int(row[2]) for row in rows], [float(row[3].split()[0]) for row in rows]
    assert chains[:2] == [0, 0]
    assert mebibytes[1] <= mebibytes[0] and mebibytes[3] <= min(mebibytes[1], mebibytes[2])
