"""Faults of the link."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tests.explorer.faults.fault import PlainFault
from tests.explorer.faults.rig import Rig, SteppedRun
from tests.explorer.faults.steps import CONNECT, KERNEL, STEPS, WITHIN, Step


class ConnectionReset(PlainFault):
    """Both ends of every connection are reset; a new one is possible at once."""

    name = "connection reset"

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        if step.bytes_later:
            rig.proxy.after(step.bytes_later, "reset")
        else:
            rig.proxy.reset()
        return "go"


class LinkFrozen(PlainFault):
    """Nothing passes, no connection breaks; after some time what was held back arrives."""

    def __init__(self, freeze_s: float, steps: Sequence[Step]) -> None:
        self.name = f"link frozen for {freeze_s:g} s"
        self.steps = steps
        self._freeze_s = freeze_s

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        if step.bytes_later:
            rig.proxy.after(step.bytes_later, "freeze")
        else:
            rig.proxy.freeze()
        thaw = threading.Timer(self._freeze_s, rig.proxy.thaw)
        thaw.daemon = True
        thaw.start()
        return "go"

    def mend(self, rig: Rig) -> None:
        rig.proxy.thaw()


LINK_FAULTS = (
    ConnectionReset(),
    LinkFrozen(30.0, STEPS),
    LinkFrozen(75.0, (CONNECT, WITHIN, KERNEL)),
)
