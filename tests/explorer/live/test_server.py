"""The live page: who may read it, what it shows of hostile names, and that it ends with the run."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from explorer.live import server as live
from explorer.live.server import ADDRESS, MOST_CONNECTIONS, LiveServer
from explorer.live.tail import Tail
from tests.explorer.live.written import going_on


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with going_on(tmp_path), Tail(tmp_path) as tail, LiveServer(tail) as serving:
        yield serving


def place(serving: LiveServer) -> tuple[int, str]:
    """Port and path with the token."""
    parts = urlsplit(serving.address)
    assert parts.hostname == ADDRESS and parts.port is not None
    return parts.port, parts.path


def ask(
    serving: LiveServer, name: str = "", method: str = "GET", path: str | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    port, own = place(serving)
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    connection.request(method, own + name if path is None else path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_shows_what_is_measured_and_why_and_the_plans(server: LiveServer) -> None:
    answer, text = ask(server)
    assert answer.status == 200
    assert "Measured now, and why" in text and "Best plan so far" in text and "125 ms" in text
    assert "1 of 2" in text and text.count("<circle") == 3 and text.count('class="beaten"') == 1
    assert ask(server, "view")[1] in text
    for name in ("live.css", "live.js"):
        assert ask(server, name)[0].status == 200
    assert ask(server, "other")[0].status == ask(server, "../live.js")[0].status == 404


def test_a_hostile_name_is_text(server: LiveServer) -> None:
    _, text = ask(server)
    tags = Tags(text).found
    assert [values.get("src") for tag, values in tags if tag == "script"] == ["live.js"]
    assert not any(name.startswith("on") or name == "style" for _, values in tags for name in values)
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.isprintable()  # no character that commands a terminal, or turns text around
    assert "\\x1b[2J\\u202e" in text


def test_nothing_is_loaded_from_elsewhere_and_nobody_may_frame_or_guess_it(server: LiveServer) -> None:
    for name in ("", "view", "live.js", "nothing"):
        answer, text = ask(server, name)
        policy = str(answer.getheader("Content-Security-Policy"))
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert not re.search(r"https?:|\*|unsafe|data:", policy)
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Cache-Control") == "no-store"
        assert not re.search(r"(https?:)?//\w", text)


def test_a_wrong_token_learns_nothing(server: LiveServer) -> None:
    _, own = place(server)
    assert len(own.strip("/")) >= 32
    wrong = "A" * len(own.strip("/"))
    for path in ("/", f"/{wrong}/", f"/{wrong}/view", own[:-2] + "/", "/%C3%A9/", "//"):
        answer, text = ask(server, path=path)
        assert (answer.status, text) == (404, "Not Found\n"), path


def test_two_servers_have_two_tokens(tmp_path: Path) -> None:
    with going_on(tmp_path), Tail(tmp_path) as tail, LiveServer(tail) as one, LiveServer(tail) as two:
        assert place(one)[1] != place(two)[1]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1]:80"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(server: LiveServer, host: str) -> None:
    answer, text = ask(server, Host=host)
    assert (answer.status, text) == (421, "Misdirected Request\n")


def test_a_tunnel_of_another_port_is_not(server: LiveServer) -> None:
    assert ask(server, Host="localhost:12345")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: LiveServer, method: str) -> None:
    answer, _ = ask(server, method=method)
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")


def test_a_head_has_no_body_and_other_words_are_not_echoed(server: LiveServer) -> None:
    answer, text = ask(server, method="HEAD")
    assert answer.status == 200 and text == ""
    answer, text = ask(server, method="TRACE")
    assert answer.status == 501 and text == "Not Implemented\n"


def test_it_listens_on_loopback_alone(server: LiveServer) -> None:
    port, _ = place(server)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass


def test_connections_are_few_and_end(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port, _ = place(server)
    waiting = [socket.create_connection((ADDRESS, port), timeout=10) for _ in range(MOST_CONNECTIONS)]
    for one in waiting:
        one.sendall(b"GET /")  # and no more
    with socket.create_connection((ADDRESS, port), timeout=10) as more:
        assert more.recv(1) == b""  # closed at once
    monkeypatch.setattr(live, "LONGEST_S", 0.0)
    for one in waiting:
        assert one.recv(1) == b""
        one.close()
    monkeypatch.undo()
    for _ in range(200):
        try:
            assert ask(server)[0].status == 200
            break
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.02)
    else:
        pytest.fail("nobody is let in again")


def test_nobody_answers_afterwards(tmp_path: Path) -> None:
    with going_on(tmp_path), Tail(tmp_path) as tail, LiveServer(tail) as serving:
        assert serving.ended() == ""
        assert 'http-equiv="refresh"' in ask(serving)[1]
    with pytest.raises(ConnectionRefusedError):
        ask(serving)


def test_an_open_page_is_told_the_end(tmp_path: Path) -> None:
    with going_on(tmp_path) as journal:
        tail = Tail(tmp_path)
        serving = LiveServer(tail).__enter__()
        assert "ended" not in ask(serving, "view")[1]
        with pytest.raises(ZeroDivisionError):
            try:
                raise ZeroDivisionError("bad <b>")
            except ZeroDivisionError as error:
                journal.__exit__(ZeroDivisionError, error, None)
                raise
    _, text = ask(serving)
    assert "The run has failed: bad &lt;b&gt;" in text and 'http-equiv="refresh"' not in text
    begun = time.monotonic()
    serving.__exit__(None, None, None)
    assert time.monotonic() - begun < live.FAREWELL_S  # it was told: nobody is waited for
    tail.__exit__(None, None, None)
