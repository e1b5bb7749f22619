from __future__ import annotations

import subprocess
import sys

TELLS = """
import os, sys
from explorer.one_thread import VARIABLE, import_numpy_for_one_thread
if len(sys.argv) > 1:
    os.environ[VARIABLE] = sys.argv[1]
else:
    os.environ.pop(VARIABLE, None)
assert "numpy" not in sys.modules
import_numpy_for_one_thread()
print("numpy" in sys.modules, os.environ.get(VARIABLE))
"""


def told(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TELLS, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_numpy_is_imported_and_programs_inherit_nothing() -> None:
    assert told() == "True None"


def test_what_the_environment_says_stays() -> None:
    assert told("3") == "False 3"
