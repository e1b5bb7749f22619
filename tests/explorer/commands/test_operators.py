from __future__ import annotations

from pathlib import Path

from codegen.operator_registry import supported_operators
from tests.explorer.command_line import explore

PAGE = Path(__file__).parents[3] / "docs" / "operators.md"


def test_the_page_is_current_and_names_every_operator() -> None:
    result = explore("operators")
    assert result.exit_code == 0, result.output
    assert PAGE.read_text(encoding="utf-8") == result.stdout, (
        "renew it by `explore operators > docs/operators.md`"
    )
    rows = {
        line.split(" | ")[0].removeprefix("| "): line for line in result.stdout.splitlines() if " | " in line
    }
    assert set(supported_operators()) <= set(rows)
    assert "videocore4" in rows["Conv"]
    assert "videocore4" in rows["Relu"]
    assert "videocore4" not in rows["LSTM"]
    assert "20 to 28" in rows["Gelu"]
