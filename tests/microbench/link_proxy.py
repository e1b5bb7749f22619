"""A proxy between two ports of 127.0.0.1 that loses, delays or freezes what passes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Self

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER without waiting: the other end sees a reset


@dataclass
class LinkProxy:
    """Forwards `port` to `target_port`; each fault holds from when it is asked for.

    `cut` and `reset` end the connections there are; `refuse` turns new ones away until `admit`; `freeze` holds all
    bytes back, and every end, until `thaw` lets them pass, as a network does that was away; `delay_s` holds
    each piece so long. `after` does something once so many bytes more have gone to the target.
    """

    target_port: int
    port: int = 0
    delay_s: float = 0.0
    connections: int = 0
    _listener: socket.socket = field(default_factory=socket.socket)
    _open: list[socket.socket] = field(default_factory=list)
    _frozen: threading.Event = field(default_factory=threading.Event)
    _refusing: threading.Event = field(default_factory=threading.Event)
    _countdown: int | None = None
    _fault: str = "cut"

    def __enter__(self) -> Self:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thaw()
        self.cut()

    def cut(self) -> None:
        """Closes every connection at both ends."""
        ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Resets every connection at both ends."""
        ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.shutdown(socket.SHUT_RD)
                end.close()

    def refuse(self) -> None:
        """From now on new connections end at once."""
        self._refusing.set()

    def admit(self) -> None:
        """New connections are forwarded again."""
        self._refusing.clear()

    def freeze(self) -> None:
        """From now on nothing is forwarded, and nobody is told."""
        self._frozen.set()

    def thaw(self) -> None:
        """Forwards again, first what was held back."""
        self._frozen.clear()

    def after(self, bytes_to_target: int, fault: str) -> None:
        """Calls the method `fault` once so many bytes more have been sent towards the target."""
        self._fault, self._countdown = fault, bytes_to_target

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                if self._refusing.is_set():
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.target_port))
                self._open += [near, far]
                for source, sink, counted in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._forward, args=(source, sink, counted), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        """A connection that one end breaks off is broken off for the other too."""
        try:
            while data := source.recv(65536):
                time.sleep(self.delay_s)
                if counted:
                    self._count(len(data))
                self._hold()
                sink.sendall(data)
        except OSError:
            pass
        self._hold()
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)

    def _hold(self) -> None:
        while self._frozen.is_set():
            time.sleep(0.02)

    def _count(self, size: int) -> None:
        if self._countdown is None:
            return
        self._countdown -= size
        if self._countdown <= 0:
            self._countdown = None
            getattr(self, self._fault)()
