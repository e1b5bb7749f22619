"""One network by an engine's own build for AArch64 under a modelled core's clock, its outputs kept."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.tensor import FloatArray
from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_model import CoreModel
from microbench.emulation.judges.judge import LIMIT_S, RUNS
from microbench.emulation.judges.userland import PYTHON, Wheel
from microbench.errors import PeerError
from microbench.peers.network import PeerNetwork, save_inputs
from microbench.peers.registry import Peer

PROGRAM = Path(__file__).with_name("time_engine.py")
NUMPY = Wheel("numpy", "2.4.6")
_INPUTS, _TIMES, _OUTPUTS = "inputs.npz", "times.json", "outputs.npz"


@dataclass(frozen=True, eq=False)
class EngineRun:
    """Seconds of the last of `RUNS` inferences on the modelled core, instructions of one, and its outputs."""

    time_s: float
    instructions: int
    outputs: tuple[FloatArray, ...]


def run_engine(
    model: CoreModel,
    clock_hz: float,
    root: Path,
    sites: tuple[Path, ...],
    wheel: Wheel,
    peer: Peer,
    converted: Path,
    network: PeerNetwork,
    threads: int = 1,
) -> EngineRun:
    """Runs a converted network of a peer on so many threads: `sites` hold its wheel and NumPy's, `root` what both need.

    Raises PeerError where the engine refuses it, BoardError without emulator.
    """
    executor = ClockedExecutor(model, clock_hz, wakes_at_yield=True, library_root=root, threads=threads)
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / _INPUTS
        save_inputs(network, inputs)
        content = inputs.read_bytes()
    models = sorted(converted.iterdir()) if converted.is_dir() else [converted]
    programs = (PROGRAM, peer.engine)
    files = {_INPUTS: content, **{path.name: path.read_bytes() for path in (*models, *programs)}}
    environment = {
        "PYTHONPATH": ":".join(map(str, sites)),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
    }
    where = "." if converted.is_dir() else converted.name
    finished, report = executor.clocked(
        root / "usr" / "bin" / f"python{PYTHON}",
        (
            "-S",
            "-B",
            PROGRAM.name,
            peer.engine.name,
            where,
            _INPUTS,
            str(threads),
            str(RUNS),
            _TIMES,
            _OUTPUTS,
        ),
        files,
        (_TIMES, _OUTPUTS),
        LIMIT_S,
        environment,
    )
    if report is None or _OUTPUTS not in finished.outputs:
        raise PeerError(f"{wheel}: {finished.ended.complaint or 'it wrote no result'}")
    outputs = tuple(np.load(io.BytesIO(finished.outputs[_OUTPUTS])).values())
    return EngineRun(json.loads(finished.outputs[_TIMES])[-1], report.instructions // RUNS, outputs)
