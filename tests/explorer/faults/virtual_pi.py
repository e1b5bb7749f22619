"""What happens to a whole board, on a virtual Pi: it reboots, its card is full, another answers in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from microbench.boards.ssh_link import SshLink
from microbench.profile import load_profile
from microbench.virtual_pi.files import HOME
from microbench.virtual_pi.server import VirtualPi, why_no_virtual_pi
from tests.explorer.faults.fault import PlainFault
from tests.explorer.faults.link import ConnectionReset
from tests.explorer.faults.rig import Rig, SteppedRun
from tests.explorer.faults.steps import BEFORE, BETWEEN, CHECK, HELLO, KERNEL, KERNEL_UPLOAD, WITHIN, Step
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer
from tests.probes import mountable_tmpfs

DEVICE = "pi-zero"
CARD_BYTES = 64 << 20
FILL = "head -c 1G /dev/zero >other-files 2>/dev/null || :"
STEPS = (HELLO, BEFORE, KERNEL_UPLOAD, WITHIN, KERNEL, BETWEEN, CHECK)


@dataclass
class VirtualRig(Rig):
    """A trial whose board is a virtual Pi."""

    pi: VirtualPi | None = None

    @property
    def board(self) -> Path:
        """On its card, which nobody else sees."""
        return self.there.directory / HOME / "board"

    @property
    def there(self) -> VirtualPi:
        assert self.pi is not None
        return self.pi


class OnVirtualPi(PlainFault):
    """A fault of a virtual Pi of the trial's own."""

    steps = STEPS
    card_bytes: int | None = None

    def why_not(self) -> str | None:
        return why_no_virtual_pi(load_profile(DEVICE))

    @contextmanager
    def prepared(self, rig: Rig) -> Iterator[Rig]:
        with (
            VirtualPi(load_profile(DEVICE), card_bytes=self.card_bytes) as pi,
            LinkProxy(pi.port) as proxy,
        ):
            server = LoopbackServer(pi.port, pi.directory, pi.user)
            yield VirtualRig(rig.place, server, proxy, rig.model, DEVICE, pi=pi)


class Rebooted(OnVirtualPi):
    """All its processes are gone at once; it answers again as soon as it is up."""

    name = "virtual Pi: the board reboots"

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        _virtual(rig).reboot()
        return "go"


class Reset(OnVirtualPi):
    """The link's own fault, with the programs of a Pi at the other end."""

    name = "virtual Pi: connection reset"

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        return ConnectionReset().strike(rig, run, step)


class AnotherKey(OnVirtualPi):
    """The board was set up anew; its user removes the old key."""

    name = "virtual Pi: another host key after a reboot"

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        _virtual(rig).change_host_key()
        _virtual(rig).reboot()
        return "go"


class CardFull(OnVirtualPi):
    """Not a byte is left on the board's card, until the user makes room."""

    name = "virtual Pi: card full"
    card_bytes = CARD_BYTES

    def why_not(self) -> str | None:
        return super().why_not() or mountable_tmpfs()

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        _on_board(_virtual(rig), FILL)
        return "go"

    def mend(self, rig: Rig) -> None:
        _on_board(_virtual(rig), "rm -f other-files")


def _virtual(rig: Rig) -> VirtualPi:
    assert isinstance(rig, VirtualRig)
    return rig.there


def _on_board(pi: VirtualPi, command: str) -> None:
    link = SshLink(pi.options())
    try:
        link.run(("sh", "-c", command))
    finally:
        link.close()


VIRTUAL_PI_FAULTS = (Rebooted(), Reset(), AnotherKey(), CardFull())
