from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

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


# Python prints what a weak reference's callback raises, and goes on.
IN_A_CALLBACK = """
    class Thing: pass
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    time.sleep(600)
"""
# SQLAlchemy rolls back what is open on a connection as it goes back to its pool, and logs what that raises.
IN_A_POOL = """
    def interrupt(*_): raise KeyboardInterrupt
    with Store.open(sys.argv[1]) as store:
        event.listen(store._engine, "reset", interrupt)
        store.count()
"""
AROUND = """
import signal, sys, time, typer, weakref
from sqlalchemy import event
from explorer.terminal.exits import reported
from microbench.store import Store
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its jobs to ignore it
def body():{body}
try:
    with reported(resumable=True):
        body()
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


@pytest.mark.parametrize("body", [IN_A_CALLBACK, IN_A_POOL])
def test_an_interrupt_while_python_or_a_database_cleans_up(body: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AROUND.format(body=body), str(tmp_path / "samples.sqlite")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted; the same command goes on where it stopped, no sample is lost\n"
