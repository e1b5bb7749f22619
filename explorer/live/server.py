"""Serves the live page on loopback: read-only, behind a random token, to few at a time, as long as the run lasts."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from typing import Any, Self

from explorer.live.page import REFRESH_S, page, view
from explorer.live.tail import Tail
from explorer.live.watched import Watched

ADDRESS = "127.0.0.1"
# Through a tunnel the port is another. What matters is the name: a page of somebody else's, whose name was made to lead
# to this address, sends its own.
HOSTS = ("127.0.0.1", "localhost")
MOST_CONNECTIONS = 16
LONGEST_S = 10.0  # of one connection
FAREWELL_S = 2.5 * REFRESH_S  # for a page that is open to learn how the run ended

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES = {"live.css": "text/css", "live.js": "text/javascript"}


class LiveServer:
    """The page of one run. `address`: where it is, for this machine alone."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._watched = Watched()
        self._lock = threading.Lock()
        self._asked_at = -FAREWELL_S  # when a page last asked
        self._has_told_the_end = threading.Event()
        token = secrets.token_urlsafe(24)
        self._server = _Server((ADDRESS, 0), partial(_Handler, live=self, token=token))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"http://{ADDRESS}:{self._server.server_port}/{token}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ended() and time.monotonic() - self._asked_at < FAREWELL_S:
            self._has_told_the_end.wait(FAREWELL_S)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ended(self) -> str:
        """How the run has ended: finished, failed, interrupted or killed; empty while it goes on."""
        with self._lock:
            return self._current().ended

    def content(self, name: str) -> tuple[str, bytes] | None:
        """Type and content of what the page consists of; None for other names."""
        if name in _FILES:
            return _FILES[name], files("explorer.live").joinpath(name).read_bytes()
        if name not in ("", "view"):
            return None
        with self._lock:
            watched = self._current()
            made = page(watched) if name == "" else view(watched)
        self._asked_at = time.monotonic()
        if watched.ended:
            self._has_told_the_end.set()
        return "text/html; charset=utf-8", made.encode()

    def _current(self) -> Watched:
        lives = self._tail.is_written()  # before the rest is read: what is written last is not missed
        self._watched.take(self._tail.events())
        if not lives:
            self._watched.lost()
        return self._watched


class _Server(ThreadingHTTPServer):
    """At most `MOST_CONNECTIONS` at a time, none of them longer than `LONGEST_S`; others are closed at once."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._begun: dict[socket.socket, float] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._begun) >= MOST_CONNECTIONS:
            super().shutdown_request(request)
            return
        self._begun[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._begun.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        for request, begun in list(self._begun.items()):
            if time.monotonic() - begun > LONGEST_S:
                with suppress(OSError):  # it may be closed by now
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who goes away in the middle is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    timeout = LONGEST_S
    server_version, sys_version = "explore", ""

    def __init__(self, *arguments: Any, live: LiveServer, token: str) -> None:
        self._live, self._token = live, token
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in HOSTS:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST)
            return
        token, _, name = self.path.removeprefix("/").partition("/")
        found = None
        if secrets.compare_digest(token.encode(), self._token.encode()):
            found = self._live.content(name)
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, *found)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED)

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses, without an echo of what was asked."""
        self._answer(HTTPStatus(code))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the address holds the token."""

    def _answer(self, status: HTTPStatus, kind: str = "text/plain", content: bytes | None = None) -> None:
        body = f"{status.phrase}\n".encode() if content is None else content
        self.send_response(status)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
