"""Bytes to and from a command on a board, and whether anything is heard of the board at all."""

from __future__ import annotations

import contextlib
import struct
import threading
import time

import paramiko

from microbench.runner.client import ConnectionLostError, RunnerEndedError

CHUNK_BYTES = 1 << 16
SETTLE_S = 0.2
REACH = "check that the board is on, reachable and has space on its disk"
_AGAIN = f"{REACH}, then run again"
BROKEN = (OSError, EOFError, paramiko.SSHException)  # how paramiko says that a connection is gone

# What paramiko raises for bytes that no SSH server sends.
NO_SSH = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)


class Heartbeat(threading.Thread):
    """Asks the server for a sign of life, over and over; without one for `silence_s` the link is silent.

    A frozen network breaks no connection by itself, and a request may take minutes: only this tells them apart.
    """

    def __init__(self, transport: paramiko.Transport, silence_s: float) -> None:
        super().__init__(name="ssh-heartbeat", daemon=True)
        self.silence_s = silence_s
        self.interval_s = silence_s / 3
        self._transport = transport
        self._stopped = threading.Event()
        self._heard_s = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard for so long."""
        return time.monotonic() - self._heard_s > self.silence_s

    def heard(self) -> None:
        """Something arrived from the board, or was taken by it."""
        self._heard_s = time.monotonic()

    def stop(self) -> None:
        """Asks no more."""
        self._stopped.set()

    def run(self) -> None:
        with contextlib.suppress(*BROKEN):
            while not self._stopped.wait(self.interval_s) and self._transport.is_active():
                self._transport.global_request("keepalive@openssh.com", wait=True)
                if self._transport.is_active():
                    self.heard()


class ChannelTransport:
    """Bytes to and from a remote command (`microbench.runner.client.Transport`)."""

    def __init__(self, channel: paramiko.Channel, place: str, heartbeat: Heartbeat) -> None:
        self._channel = channel
        self._place = place
        self._heartbeat = heartbeat

    def send(self, data: bytes, timeout_s: float) -> None:
        """Raises BoardError when the connection breaks or nothing is taken in time."""
        until_s = time.monotonic() + timeout_s
        done = 0
        while done < len(data):
            try:
                self._wait_until(until_s)
                sent = self._channel.send(data[done : done + CHUNK_BYTES])
            except TimeoutError as error:
                if time.monotonic() < until_s and not self._heartbeat.is_silent:
                    continue
                raise ConnectionLostError(f"{self._place}: the runner takes no data; {REACH}") from error
            except BROKEN as error:
                raise self._lost(str(error)) from error
            if sent == 0:
                raise self._lost("")
            self._heartbeat.heard()
            done += sent

    def receive(self, size: int, timeout_s: float) -> bytes:
        """Exactly so many bytes; raises BoardError when the connection breaks or time is up."""
        until_s = time.monotonic() + timeout_s
        parts: list[bytes] = []
        missing = size
        while missing:
            try:
                self._wait_until(until_s)
                part = self._channel.recv(min(missing, CHUNK_BYTES))
            except TimeoutError as error:
                if time.monotonic() < until_s and not self._heartbeat.is_silent:
                    continue
                raise ConnectionLostError(self._no_answer(timeout_s)) from error
            except BROKEN as error:
                raise self._lost(str(error)) from error
            if not part:
                raise self._lost("")
            self._heartbeat.heard()
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Ends the remote command's input, and with it the command."""
        with contextlib.suppress(*BROKEN):
            self._channel.close()

    def _wait_until(self, until_s: float) -> None:
        """The channel's next wait ends by then, and in time to ask whether anything is heard at all."""
        rest_s = min(until_s - time.monotonic(), self._heartbeat.interval_s)
        self._channel.settimeout(max(rest_s, 0.001))

    def _no_answer(self, timeout_s: float) -> str:
        if self._heartbeat.is_silent:
            silence_s = self._heartbeat.silence_s
            return f"{self._place}: nothing heard of the board for {silence_s:g} s; {REACH}, then run again"
        return f"{self._place}: the runner gave no answer in {timeout_s:.0f} s; {REACH}"

    def _lost(self, error: str) -> ConnectionLostError:
        """What the runner's machine said last counts only where the link holds: a login shell says things, too."""
        if not self._link_holds():
            reason = error or "connection lost"
            return ConnectionLostError(
                f"{self._place}: the connection to the runner broke: {reason}; {_AGAIN}"
            )
        said = b""
        with contextlib.suppress(*BROKEN):
            self._channel.settimeout(0.5)
            said = self._channel.recv_stderr(2000)
        reason = said.decode(errors="replace").strip() or error or "it gave no reason"
        return RunnerEndedError(f"{self._place}: the runner ended: {reason}; {_AGAIN}")

    def _link_holds(self) -> bool:
        """Whether the connection itself lives: paramiko drops channels a moment before it says that it does not."""
        self._channel.status_event.wait(SETTLE_S)
        time.sleep(SETTLE_S)
        return bool(self._channel.get_transport().is_active())
