from __future__ import annotations

import threading

import pytest

from explorer.measure.workers import Workers


def test_results_come_in_the_order_of_the_arguments_whoever_is_first() -> None:
    second_done = threading.Event()

    def work(owned: str, argument: int) -> tuple[int, str]:
        if argument == 0:
            second_done.wait(10)
        else:
            second_done.set()
        return argument, owned

    with Workers(["a", "b"]) as workers:
        results = list(workers.map(work, range(6)))
    assert [argument for argument, _ in results] == list(range(6))
    assert {owned for _, owned in results} == {"a", "b"}


def test_an_error_is_raised_where_its_result_was_due_and_drops_the_rest() -> None:
    done: list[int] = []

    def work(_: None, argument: int) -> int:
        if argument == 2:
            raise ValueError("two")
        done.append(argument)
        return argument

    with Workers([None]) as workers:
        results = workers.map(work, range(100))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            next(results)
        assert workers.call(lambda _: "still serving") == "still serving"


def test_threads_never_keep_the_program_alive() -> None:
    with Workers([None]) as workers:
        assert workers.call(lambda _: threading.current_thread().daemon)


def test_what_was_begun_is_done_meanwhile_and_its_fault_is_raised_where_it_is_due() -> None:
    done = threading.Event()

    def fail(_: None) -> None:
        raise ValueError("late")

    with Workers([None]) as workers:
        result = workers.begin(lambda _: done.set())
        assert done.wait(10)
        fault = workers.begin(fail)
        assert result() is None
        with pytest.raises(ValueError, match="late"):
            fault()
