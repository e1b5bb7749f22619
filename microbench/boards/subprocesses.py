"""Compiled programs run apart from this process: what they crash or hang does not harm it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.children import started
from microbench.limits import check_limit

_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Ended:
    """How a program ended: exit code 0 and no complaint, or what went wrong in one line."""

    exit_code: int | None  # None: killed at its time limit
    complaint: str

    @property
    def is_good(self) -> bool:
        return self.exit_code == 0


def run_limited(arguments: Sequence[str | Path], limit_s: float, directory: Path | None = None) -> Ended:
    """Runs a program to its end, or kills it at the time limit. An interrupt kills it too and goes on.

    Raises TimeLimitError for a limit that is none.
    """
    check_limit("a program's time limit", limit_s)
    try:
        with started(arguments, directory, subprocess.DEVNULL) as process:
            _, stderr = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return Ended(None, f"did not end within {limit_s:g} s")
    except OSError as error:
        return Ended(126, f"{arguments[0]} could not be started: {error.strerror}")
    return ended_with(process.returncode, stderr)


def ended_with(exit_code: int, stderr: bytes) -> Ended:
    """What an exit code (negative: a signal) and the program's own words say."""
    text = stderr.decode("utf-8", "replace").strip().removeprefix("error: ")[:_LONGEST_MESSAGE]
    if exit_code < 0:
        return Ended(exit_code, f"died of {_signal_name(-exit_code)} {text}".strip())
    return Ended(exit_code, text or f"exit code {exit_code}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
