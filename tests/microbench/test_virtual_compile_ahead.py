from __future__ import annotations

import threading

import pytest

from codegen.errors import ToolchainError
from microbench.virtual import build


def ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "simulator":
            thread.join()


def test_the_simulator_is_compiled_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(build, "library_path", lambda flags: done.append(flags))
    monkeypatch.setattr(build, "object_path", lambda: done.append("object"))
    build.compile_ahead()
    ended()
    assert done == [build.machine_flags(), "object"]


@pytest.mark.parametrize("fault", [ToolchainError("no compiler"), FileNotFoundError("cc")])
def test_a_fault_is_left_to_whoever_needs_the_simulator(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: tuple[str, ...]) -> None:
        raise fault

    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    monkeypatch.setattr(build, "library_path", fail)
    build.compile_ahead()
    ended()
    assert seen == []
