"""Runs one engine for the benchmark: started by the interpreter of the engine's own environment.

    python serve.py --engine FILE.py --model PATH --inputs FILE.npz --threads N --cpus 0,1

FILE.npz has the names of the inputs, then the inputs in that order. FILE.py has a class `Engine`:
`Engine(model: str, inputs: dict[str, ndarray], threads: int)`, a method `run()` that computes one inference, and a
method `outputs()` with the last results, row-major (NCHW), in any order. The first line on stdout is
`{"ready": true, "cpus": [...]}`; then each line on stdin is answered by one line of JSON:

    run N          {"times_ns": [...]}    N inferences, each timed here
    output PATH    {"output": "PATH"}     the last results as float32 .npz
    quit           {"quit": true}

A failure is answered by `{"error": "..."}` and ends the process, as does the end of stdin. What engines print goes to
stderr.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO


class Engine(Protocol):
    """What an engine's file defines under this name."""

    def run(self) -> None:
        """One inference, finished when this returns."""
        ...

    def outputs(self) -> Sequence[Any]:
        """The last results as arrays."""
        ...


def main(arguments: Sequence[str]) -> int:
    """Serves until told to end; 1 after a failure."""
    options = _parse(arguments)
    replies = _claim_stdout()
    cpus = sorted(int(cpu) for cpu in options.cpus.split(","))
    # Before anything that starts threads is imported, numpy too: they inherit it.
    os.sched_setaffinity(0, cpus)
    try:
        engine = _load(Path(options.engine), options.model, options.inputs, options.threads)
        _reply(replies, {"ready": True, "cpus": sorted(os.sched_getaffinity(0))})
        for line in sys.stdin:
            answer = _answer(engine, line.split(maxsplit=1))
            _reply(replies, answer)
            if "quit" in answer:
                break
    except Exception as error:  # noqa: BLE001  an engine of others may raise anything: it is told, and this ends
        _reply(replies, {"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("--engine", "--model", "--inputs", "--cpus"):
        parser.add_argument(name, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args(arguments)


def _claim_stdout() -> TextIO:
    """Replies go to what was stdout; whatever else writes there, C libraries included, goes to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _reply(replies: TextIO, answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()


def _load(path: Path, model: str, inputs: str, threads: int) -> Engine:
    import numpy as np

    spec = importlib.util.spec_from_file_location(f"engine_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names, *values = np.load(inputs).values()
    engine: Engine = module.Engine(model, dict(zip(map(str, names), values, strict=True)), threads)
    return engine


def _answer(engine: Engine, words: Sequence[str]) -> dict[str, Any]:
    import numpy as np

    match words:
        case ["run", count]:
            return {"times_ns": _times_ns(engine, int(count))}
        case ["output", path]:
            np.savez(path.strip(), *(np.asarray(one, dtype=np.float32) for one in engine.outputs()))
            return {"output": path.strip()}
        case ["quit"]:
            return {"quit": True}
    raise ValueError(f"unknown command {' '.join(words)!r}")


def _times_ns(engine: Engine, count: int) -> list[int]:
    times_ns = []
    for _ in range(count):
        start_ns = time.perf_counter_ns()
        engine.run()
        times_ns.append(time.perf_counter_ns() - start_ns)
    return times_ns


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
