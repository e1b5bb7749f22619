"""The generator of random graphs gives valid models of every kind, and what becomes of them is told as it is."""

from __future__ import annotations

import os
import signal

import numpy as np
import onnx
import pytest

from tests.random_graphs import __main__ as command
from tests.random_graphs import judge, processes
from tests.random_graphs.judge import Outcome, graph_of, judged_change, judged_graph
from tests.random_graphs.kinds import KINDS

COUNT = 12


def test_graphs_are_valid_and_the_same_every_time() -> None:
    for number in range(COUNT):
        model = graph_of(number).model()
        onnx.checker.check_model(model, full_check=True)
        assert model == graph_of(number).model()


def test_they_have_branches_attention_recurrence_and_integers() -> None:
    found = {node.op_type for number in range(120) for node in graph_of(number).model().graph.node}
    assert found >= {
        "Conv",
        "Concat",
        "Softmax",
        "MatMul",
        "LSTM",
        "GRU",
        "BitShift",
        "Where",
        "TopK",
        "Resize",
    }


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_a_graph_of_each_kind_agrees(number: int) -> None:
    assert judged_graph(number, compiled_each=1000).verdict == "agreed"


def test_a_wrong_result_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = judge.evaluate

    def off(*arguments: object) -> dict[str, np.ndarray]:
        return {name: value + 1 for name, value in evaluate(*arguments).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(judge, "evaluate", off)
    assert judged_graph(1, compiled_each=1000).verdict == "wrong"


def test_changed_models_have_typed_errors() -> None:
    verdicts = {judged_change(number).verdict for number in range(40)}
    assert verdicts <= {"imported", "declined", "refused"} and len(verdicts) > 1


def dies(number: int) -> Outcome:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        raise KeyError(number)
    return Outcome("agreed")


def test_what_kills_its_process_is_told_and_the_rest_goes_on() -> None:
    found = dict(processes.outcomes(dies, 1, 6, 2))
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert found[3] == Outcome("crashed", f"exit code {-signal.SIGKILL}")
    assert found[4].reason.startswith("KeyError")
    assert [found[number].verdict for number in (1, 2, 5, 6)] == ["agreed"] * 4


def test_the_exit_code_says_whether_one_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "judged_change", dies)
    given = ["--graphs", "0", "--processes", "1", "--changed"]
    assert command.main([*given, "2"]) == 0
    assert command.main([*given, "4"]) == 1
