"""What an option takes is named in its help, in the words of who types it."""

from __future__ import annotations

import pytest

from tests.explorer.command_line import explore
from tests.explorer.commands.test_json import COMMANDS


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_value_has_a_name(words: str) -> None:
    for param in COMMANDS[words].params:
        if not getattr(param, "is_flag", False):
            assert param.metavar, f"explore {words}: {param.opts}"


def test_the_usage_line_has_one_pair_of_brackets() -> None:
    usage = explore("run", "--help").stdout
    assert "[MODEL]" in usage and "[[MODEL]]" not in usage
