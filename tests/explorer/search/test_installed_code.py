from __future__ import annotations

from pathlib import Path

import pytest

from codegen.graph import Graph
from explorer.search.installed_code import installed_code


def test_a_plug_in_counts_with_all_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    digests = {installed_code([]), installed_code([Graph])}
    assert len(digests) == 1
    for number, name in enumerate(("plugged_one", "plugged_two", "plugged_three")):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "beside.py").write_text(f"X = {number // 2}\n")
        digests.add(installed_code([type("Plugged", (), {"__module__": f"{name}.strategy"})]))
    (tmp_path / "plugged_four.py").write_text("")
    digests.add(installed_code([type("Plugged", (), {"__module__": "plugged_four"})]))
    assert len(digests) == 5
