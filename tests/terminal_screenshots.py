"""What commands show on a terminal, as pictures: each is run in one of 80, 100 and 140 columns, and its screen drawn.

`python -m tests.terminal_screenshots --out DIR` makes a run of a small network on the null board in DIR, and beside it
an SVG for each command and width; `--run RUN` shows a finished run in its place. Nothing judges them: they are to be
looked at.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.explorer.command_line import PROGRAM
from tests.explorer.tiny import write_tiny_model

WIDTHS = (80, 100, 140)
ROWS = 50
_MOVES = re.compile(r"\r|\n|\x1b\[(\d*)([AK])|\x1b\[\?\d+[hl]")


def screen(printed: str) -> str:
    """What stands on a screen of any height after what was printed, with its colours."""
    lines, row, at, begin = [""], 0, 0, True
    for match in (*_MOVES.finditer(printed), None):
        text = printed[at : match.start() if match else None]
        if text:
            lines[row], begin = text if begin else lines[row] + text, False
        if match is None:
            break
        at = match.end()
        if match[0] == "\n":
            row, begin = row + 1, False
            lines += [""] * (row + 1 - len(lines))
        elif match[0] == "\r":
            begin = True
        elif match[2] == "A":
            row = max(0, row - int(match[1] or 1))
        elif match[2] == "K":
            lines[row] = ""
    return "\n".join(lines)


def printed(words: Sequence[str], width: int, directory: Path) -> str:
    """What a program prints on a terminal of so many columns."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(width), "LINES": str(ROWS)}
    process = subprocess.Popen(
        words, stdin=terminal, stdout=terminal, stderr=terminal, cwd=directory, env=environment
    )
    os.close(terminal)
    found = bytearray()
    while True:
        try:
            part = os.read(control, 1 << 16)
        except OSError:  # the terminal is closed: the program has ended
            break
        if not part:
            break
        found += part
    os.close(control)
    process.wait()
    return found.decode(errors="replace").replace("\r\n", "\n")


def draw(name: str, words: Sequence[str], directory: Path) -> None:
    """An SVG for every width."""
    for width in WIDTHS:
        console = Console(
            record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
        )
        shown = screen(printed([*PROGRAM, *words], width, directory))
        console.print(Text.from_ansi(shown))
        path = directory / f"{name}-{width}.svg"
        path.write_text(console.export_svg(title=f"explore {' '.join(words)}"), encoding="utf-8")


def commands(run: str, layer: str, model: str) -> dict[str, tuple[str, ...]]:
    """By the picture's name what is typed."""
    null = ("run", "--board", "null", "--model", model, "--store", "again.sqlite", "--out", "again")
    return {
        "check": ("check", model),
        "run": (*null, "--layer-budget", "3", "--overwrite"),
        "run-wide": (*null, "--layer-budget", "3", "--wide"),
        "runs": ("runs", "."),
        "compare": ("compare", run, run),
        "explain": ("explain", run, layer),
        "profile": ("profile", run),
        "bench-qpu": ("bench", "qpu", run, run),
        "algorithms": ("algorithms",),
        "operators": ("operators",),
        "devices": ("devices",),
        "samples": ("samples", "list", "--store", "again.sqlite", "--limit", "12"),
        "misspelt": ("run", "--device", "pi-zeroo", "--model", model),
        "run-help": ("run", "--help"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="a finished run, shown by compare and explain")
    parser.add_argument("--layer", default="first", help="one of its layers")
    parser.add_argument("--model", type=Path, help="an ONNX file (default: a small network)")
    parser.add_argument("--only", action="append", help="only this picture; may be repeated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = arguments.model or write_tiny_model(arguments.out / "tiny.onnx")
    run = arguments.run or arguments.out / "again"
    typed = commands(str(run.resolve()), arguments.layer, str(model.resolve()))
    for name in arguments.only or typed:
        draw(name, typed[name], arguments.out)


if __name__ == "__main__":
    main()
