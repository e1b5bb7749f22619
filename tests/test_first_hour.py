"""README and documents: the commands and options that they type exist, and the compiler's line is the bundle's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from codegen.bundle import compile_bundle
from codegen.operators.conv2d import Conv2d
from microbench.profile import load_profile
from microbench.virtual.bundle import virtual_platform
from tests.codegen.planned import PI_ZERO, GraphBuilder, plan_of, qpu_plan
from tests.explorer.command_line import explore
from tests.first_hour import BOARD, IN_TEXT, OF_README, README, VIRTUAL, WITHOUT_A_BOARD, lines_of

COMMANDS = [
    line.partition(".venv/bin/explore ")[2]
    for page in (README, *sorted(VIRTUAL.parent.glob("*.md")))
    for line in lines_of(page)
    if ".venv/bin/explore " in line
] + [typed.removeprefix("explore ") for typed in IN_TEXT.values()]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_takes_the_options_that_are_typed(line: str) -> None:
    told = explore(*shlex.split(line, comments=True), "--help")  # options are parsed before the help is shown
    assert told.exit_code == 0 and "Usage" in told.output, told.output


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) >= 12
    assert [line for line in lines_of(BOARD) if any(text in line for text in WITHOUT_A_BOARD)]


def test_what_is_typed_stands_in_the_readme() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert [named for named in IN_TEXT if f"`{named}" not in text] == []
    for begin in OF_README:
        assert [line for line in lines_of(README) if line.startswith(begin)], begin


def test_the_compiler_s_line_is_the_bundle_s(tmp_path: Path) -> None:
    build = GraphBuilder("picture", (1, 3, 8, 8))
    graph = build.build(build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), "x", [(16, 3, 3, 3), (16,)]))
    plan = qpu_plan(graph)
    virtual = virtual_platform(load_profile("pi-zero"), plan)
    compile_bundle(graph, plan, PI_ZERO, tmp_path, virtual, plan_of(graph))
    (typed,) = (line for line in lines_of(VIRTUAL) if " cc -std" in line)
    (own,) = re.findall(r"^    (cc .* -o classify-virtual .*)$", (tmp_path / "README.md").read_text(), re.M)
    assert own in typed
