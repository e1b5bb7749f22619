"""ONNX's own node tests through `explorer.backend`: `python -m tests.conformance.onnx_nodes [--out FILE] [WORD ...]`.

With `--engine videocore4` on the virtual board's QPUs, where results may differ by 1e-3 of the largest one.

A test passes under the tolerances of ONNX's runner, is declined by a typed error, gives something wrong, or crashes:
the last two make the exit code 1. Words choose tests whose names contain one of them. With --known FILE what is known
is kept there, so that a run that was ended goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

FLAGS = ("-O1",)
LONGEST_S = 120.0
DEVICES = {"cpu": "CPU", "videocore4": "VIDEOCORE4"}
HEADS = {
    "cpu": (
        "`python -m tests.conformance.onnx_nodes --out results/onnx-nodes.md`: every case of kind `node` of the",
        "package `onnx` through `explorer.backend` on this machine's CPU, under the tolerances of ONNX's own runner.",
    ),
    "videocore4": (
        "`python -m tests.conformance.onnx_nodes --engine videocore4 --out results/onnx-nodes-qpus.md`: every case of",
        "kind `node` of the package `onnx` through `explorer.backend` on the QPUs of a virtual Pi Zero, where results",
        "may differ by 1e-3 of the largest one. What the QPUs do not compute altogether is declined.",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What became of a test: passed, folded (passed, with nothing left to compute), declined, wrong or crashed."""

    test: str
    operator: str
    verdict: str
    reason: str = ""
    bound: bool = False


def tests(words: Sequence[str]) -> list[Any]:
    """ONNX's cases of kind `node`, in its order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    return [case for case in cases if not words or any(word in case.name for word in words)]


def outcome(case: Any, engine: str = "cpu") -> Outcome:
    """Runs one case."""
    from codegen.errors import ExploreError
    from explorer.backend import CompilerBackend

    bound = False
    operator = next((node.op_type for node in case.model.graph.node), "")
    verdict, reason = "passed", ""
    try:
        prepared = CompilerBackend.prepare(case.model, DEVICES[engine], flags=FLAGS)
        for inputs, expected in case.data_sets:
            results = list(prepared.run([_array(value) for value in inputs]))
            _compare(case, [_array(value) for value in expected], results, engine)
        compiled = prepared.compiled
        if compiled is not None:
            bound = bool(compiled.bound)
            verdict = "passed" if compiled.computes else "folded"
    except ExploreError as error:
        verdict, reason = "declined", f"{type(error).__name__}: {error}"
    except AssertionError as error:
        verdict, reason = "wrong", str(error)
    except Exception as error:  # noqa: BLE001 - whatever is not typed is what this looks for
        verdict, reason = "crashed", f"{type(error).__name__}: {error}"
    return Outcome(case.name, operator, verdict, reason, bound)


def _compare(case: Any, expected: list[Any], results: list[Any], engine: str) -> None:
    """Raises AssertionError: on the CPU as ONNX's runner, on the QPUs by the largest result."""
    import numpy as np
    from onnx.backend.test.runner import Runner

    from codegen.engine_registry import engine_named

    rtol, atol = case.rtol, case.atol
    if engine != "cpu":
        finite = [np.abs(value[np.isfinite(value)]) for value in expected]
        rtol = engine_named(engine).tolerance
        atol = rtol * max((float(value.max()) for value in finite if value.size), default=1.0)
    Runner.assert_similar_outputs(expected, results, rtol=rtol, atol=atol)


def _array(value: Any) -> Any:
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _work(pipe: Connection, words: Sequence[str], engine: str) -> None:
    cases = tests(words)
    sys.setrecursionlimit(10000)
    while True:
        number = pipe.recv()
        if number is None:
            return
        pipe.send(outcome(cases[number], engine))


class _Worker:
    """A process of its own: what kills it is the crash of the one test that it was at."""

    def __init__(self, words: Sequence[str], engine: str) -> None:
        self.pipe, far = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_work, args=(far, words, engine), daemon=True)
        self.process.start()
        far.close()
        self.number: int | None = None


def outcomes(
    words: Sequence[str], processes: int, engine: str = "cpu", known: Collection[str] = ()
) -> Iterator[Outcome]:
    """Every chosen case that is not known, in the order in which they end."""
    names = [case.name for case in tests(words)]
    left = iter([number for number, name in enumerate(names) if name not in known])
    workers = [_Worker(words, engine) for _ in range(processes)]
    while workers:
        for worker in list(workers):
            if worker.number is None:
                worker.number = next(left, None)
                worker.pipe.send(worker.number)
        workers = [worker for worker in workers if worker.number is not None]
        ready = wait([worker.pipe for worker in workers], LONGEST_S) if workers else []
        for worker in list(workers):
            if ready and worker.pipe not in ready:
                continue
            number = worker.number
            assert number is not None
            try:
                if not ready:
                    raise EOFError
                yield worker.pipe.recv()
                worker.number = None
            except EOFError:
                worker.process.kill()
                worker.process.join()
                yield Outcome(names[number], "", "crashed", f"exit code {worker.process.exitcode}")
                workers.remove(worker)
                workers.append(_Worker(words, engine))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--engine", choices=tuple(DEVICES), default="cpu")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--known", type=Path, help="file of outcomes: those are not run again, new ones are added"
    )
    parser.add_argument("--list", choices=("passed", "folded", "declined", "wrong", "crashed"))
    chosen = parser.parse_args()
    known = _known(chosen.known)
    for one in outcomes(chosen.words, chosen.processes, chosen.engine, known):
        known[one.test] = one
        if chosen.known:
            with chosen.known.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(one)) + "\n")
    found = sorted(known.values(), key=lambda one: one.test)
    text = table(found, chosen.engine)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    for one in found:
        if one.verdict == chosen.list or one.verdict in ("wrong", "crashed"):
            sys.stdout.write(f"{one.verdict} {one.test}: {one.reason.strip()[:600]}\n")
    return int(any(one.verdict in ("wrong", "crashed") for one in found))


def _known(path: Path | None) -> dict[str, Outcome]:
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.is_file() else []
    return {one.test: one for one in (Outcome(**json.loads(line)) for line in lines)}


def table(found: Sequence[Outcome], engine: str = "cpu") -> str:
    """Markdown: how many there are of each verdict, and what was declined, by operator and kind of reason."""
    counts = Counter(one.verdict for one in found)
    bound = sum(one.bound and one.verdict == "passed" for one in found)
    lines = [
        "# ONNX's node tests",
        "",
        *HEADS[engine],
        "",
        "| | tests |",
        "|---|---|",
        f"| passed, computed by compiled code | {counts['passed']} |",
        f"| of these, with inputs bound as constants: shapes, counts, axes | {bound} |",
        f"| passed, known at import: nothing is left to compute | {counts['folded']} |",
        f"| declined by a typed error | {counts['declined']} |",
        f"| wrong | {counts['wrong']} |",
        f"| crashed | {counts['crashed']} |",
        f"| all | {len(found)} |",
        "",
        "## Declined",
        "",
        "| tests | first operator | error |",
        "|---|---|---|",
    ]
    declined = Counter(
        (one.operator, one.reason.split(":", 1)[0]) for one in found if one.verdict == "declined"
    )
    for (operator, kind), count in sorted(declined.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"| {count} | {operator} | {kind} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
