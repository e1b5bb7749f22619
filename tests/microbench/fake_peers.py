"""Engines for tests of the comparison: each is the text of a file that serve.py loads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from microbench.peers.environments import MARKER
from microbench.peers.registry import Peer
from microbench.peers.worker import Contender

SOUND = """
import numpy as np

class Engine:
    def __init__(self, model, inputs, threads):
        print("an engine that talks")
        (self.value,), self.factor = inputs.values(), np.load(model)

    def run(self):
        self.result = self.value * self.factor

    def outputs(self):
        return [self.result]
"""
REFUSES = "class Engine:\n    def __init__(self, model, inputs, threads):\n        raise ValueError('no such layer')\n"
MISSING = "import a_package_that_is_not_there\n"
CRASHES = SOUND.replace(
    "        self.result =", "        import os\n        os._exit(7)\n        self.result ="
)
CRASHES_LATER = SOUND.replace(
    "        self.result =",
    "        self.count = getattr(self, 'count', 0) + 1\n"
    "        if self.count > 5:\n"
    "            import os, signal, sys\n"
    "            print('the heap is broken', file=sys.stderr, flush=True)\n"
    "            os.kill(os.getpid(), signal.SIGKILL)\n"
    "        self.result =",
)
FAILS_LATER = SOUND.replace(
    "        self.result =",
    "        self.count = getattr(self, 'count', 0) + 1\n"
    "        if self.count > 5:\n"
    "            raise RuntimeError('out of patience')\n"
    "        self.result =",
)
WRONG = SOUND.replace("return [self.result]", "return [self.result + 1]")
SPINS = SOUND.replace(
    "        (self.value,), self.factor",
    "        import threading\n"
    "        threading.Thread(target=self.spin, daemon=True).start()\n"
    "        (self.value,), self.factor",
).replace(
    "    def run(self):", "    def spin(self):\n        while True:\n            pass\n\n    def run(self):"
)


def contender(directory: Path, name: str, text: str, model: Path) -> Contender:
    """A contender that this interpreter runs."""
    engine = directory / f"run_{name}.py"
    engine.write_text(text, encoding="utf-8")
    return Contender(name, name.title(), "1.0", Path(sys.executable), engine, model)


def peer(directory: Path, name: str, **entries: object) -> Peer:
    """A peer whose model is the ONNX file itself, unless said otherwise."""
    table: dict[str, object] = {
        "name": name,
        "title": name.title(),
        "distribution": "pip",
        "requirements": (),
        "engine": directory / f"run_{name}.py",
        "model": "model.onnx",
    }
    return Peer.model_validate(table | entries)


def installed(made: Peer, directory: Path) -> Peer:
    """Puts this interpreter where the peer's environment would be."""
    python = directory / made.name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    lists = {key: [*getattr(made, key)] for key in ("requirements", "without_dependencies", "constraints")}
    marker = lists | {"versions": {made.distribution: "1.0"}}
    (directory / made.name / MARKER).write_text(json.dumps(marker), encoding="utf-8")
    return made
