"""Kernels that misbehave: a fault of the candidate, never of the run."""

from __future__ import annotations

import json

from tests.explorer.faults.fault import PlainFault
from tests.explorer.faults.rig import Rig, SteppedRun
from tests.explorer.faults.steps import MEASURING, Step


class BadKernel(PlainFault):
    """A kernel does something `before` its own work, or `after` it."""

    steps = MEASURING

    def __init__(self, name: str, before: str = "", after: str = "") -> None:
        self.name = name
        self._statements = [before, after]

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        return f"spoil {json.dumps(self._statements)}"

    def seen(self, rig: Rig) -> str:
        return "in the store, " + "; ".join(rig.complaints())


KERNEL_FAULTS = (
    BadKernel("a kernel hangs", before="for (volatile int i = 1; i;) { }"),
    BadKernel("a kernel crashes", before="__builtin_trap();"),
    BadKernel("a kernel answers wrongly", after="outputs[0][0] = 2.0f * outputs[0][0] + 1.0f;"),
)
