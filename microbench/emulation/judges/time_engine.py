"""Runs inside the emulator: time_engine.py ENGINE.py MODEL INPUTS.npz THREADS RUNS TIMES.json OUTPUTS.npz.

ENGINE.py and INPUTS.npz are what serve.py of `explore bench cpu-peers` takes (microbench/peers/programs). Times are
those of the clock that it is given, and the model wakes before the first run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def main(engine: str, model: str, inputs: str, threads: int, runs: int, times: str, outputs: str) -> None:
    """The engine has so many threads."""
    spec = importlib.util.spec_from_file_location("engine", engine)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{engine} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names, *values = np.load(inputs).values()
    loaded = module.Engine(model, dict(zip(map(str, names), values, strict=True)), threads)
    times_s = []
    os.sched_yield()
    for _ in range(runs):
        begin_s = time.perf_counter()
        loaded.run()
        times_s.append(time.perf_counter() - begin_s)
    Path(times).write_text(json.dumps(times_s), encoding="ascii")
    np.savez(outputs, *(np.asarray(one, dtype=np.float32) for one in loaded.outputs()))


if __name__ == "__main__":
    engine, model, inputs, threads, runs, times, outputs = sys.argv[1:]
    main(engine, model, inputs, int(threads), int(runs), times, outputs)
