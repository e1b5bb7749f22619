"""What a shell gets for the beginning of a word, asked for as bash asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from explorer.cli import main; import sys; sys.argv[0] = 'explore'; main()"


def offered(line: str, cwd: Path) -> list[str]:
    """Completions of a line's last word."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_EXPLORE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "XDG_CONFIG_HOME": str(cwd / "config"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("explore che", ["check"]),
        ("explore run --device pi-ze", ["pi-zero", "pi-zero-2", "pi-zero-2-64"]),
        ("explore doctor --device pi-ze", ["pi-zero", "pi-zero-2", "pi-zero-2-64"]),
        ("explore zoo resn", ["resnet18"]),
        ("explore explain RUN la", ["last"]),
        ("explore explain NOWHERE la", []),
    ],
)
def test_a_word_is_completed(line: str, expected: list[str], tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    run.mkdir()
    plan = {"steps": [{"name": "first"}, {"name": "last"}]}
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert offered(line, tmp_path) == expected


def test_named_boards_are_offered_and_a_broken_file_of_them_is_not_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "config" / "explore-edge" / "devices.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[boards.shelf-3]\nprofile = "pi-zero"\nhost = "127.0.0.1"\n', encoding="utf-8")
    assert offered("explore run --device she", tmp_path) == ["shelf-3"]
    file.write_text("[[[", encoding="utf-8")
    assert offered("explore run --device hos", tmp_path) == ["host"]
