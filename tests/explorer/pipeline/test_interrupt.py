from __future__ import annotations

import signal
import subprocess
import sys

SCRIPT = """
import sys, time, typer
from explorer.terminal.exits import reported
from explorer.measure.workers import Workers
try:
    with reported(resumable=True), Workers([None]) as workers:
        print("ready", flush=True)
        workers.call(lambda _: time.sleep(600))
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


def test_an_interrupt_does_not_wait_for_a_busy_board() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)  # far below the 600 s that the board would take
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in stderr
    assert "Traceback" not in stderr
