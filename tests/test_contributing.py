"""CONTRIBUTING shows the plug-in packages of the tests as they are, so that tests run its walk-throughs."""

from __future__ import annotations

import re

import pytest

from tests.plugins.installed import PLUGINS
from tests.test_floors import ROOT

PACKAGES = (
    "board_adb",
    "cost_model_rates",
    "element_offset",
    "engine_dsp",
    "expression_scaled_silu",
    "objective_traffic",
    "operator_min_max",
    "strategy_largest_tiles",
    "time_by_algorithm",
)
SHOWN = re.compile(r"^`(tests/plugins/[\w./]+)`:\n\n```(?:python|toml)\n(.*?)^```$", re.M | re.S)


def shown() -> dict[str, str]:
    """The text of each fenced block that is named as a file of a package."""
    return dict(SHOWN.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_shown_as_it_is(package: str) -> None:
    files = sorted(path for path in (PLUGINS / package).iterdir() if path.suffix in (".py", ".toml"))
    assert files
    for path in files:
        assert shown().get(str(path.relative_to(ROOT))) == path.read_text(encoding="utf-8"), path


def test_every_block_of_code_is_a_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^```\w+$", text, re.M)) == len(shown()) > 0
