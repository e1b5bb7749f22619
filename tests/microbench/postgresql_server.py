"""A real PostgreSQL server for tests: its own data directory, on a socket that only its user's machine sees."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError

from tests.capabilities import need
from tests.probes import postgresql_program, unprivileged_user

START_TIMEOUT_S = 60.0
PORT = 54329  # names the socket; nothing listens on it


@dataclass
class PostgresqlServer:
    """A running server; every store gets a database of its own."""

    sockets: Path
    user: str
    _databases: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        """Of a database, which need not exist."""
        host = {"host": str(self.sockets), "port": str(PORT)}
        url = URL.create("postgresql", username=self.user, database=database, query=host)
        return url.render_as_string(hide_password=False)

    def new_url(self) -> str:
        """Of a new, empty database."""
        name = f"store_{len(self._databases)}"
        self._databases.append(name)
        self.execute("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, database: str, *statements: str) -> None:
        """Statements outside of any store, each in a transaction of its own."""
        url = self.url(database).replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
        finally:
            engine.dispose()


@contextlib.contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Starts a server and ends it; skips the test where this machine cannot have one."""
    need("postgresql server")
    # Not below pytest's own directory: that one is closed to the user the server runs as.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as scratch:
        directory = Path(scratch)
        user = _give_away(directory)
        data = directory / "data"
        _run(user, "initdb", "-D", str(data), "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={directory}",
            "max_connections=40",
            "fsync=off",
        )
        options = [word for setting in settings for word in ("-c", setting)]
        with (directory / "log").open("wb") as log:
            command = _command(user, "postgres", "-D", str(data), "-p", str(PORT), *options)
            with subprocess.Popen(command, stdout=log, stderr=log, cwd=directory) as process:
                server = PostgresqlServer(directory, user)
                try:
                    _wait_until_ready(server, process, directory / "log")
                    yield server
                finally:
                    process.send_signal(signal.SIGINT)  # "fast": it does not wait for its clients


def _give_away(directory: Path) -> str:
    """Makes the directory the server's user's; returns that user."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    user = unprivileged_user()
    assert user is not None
    shutil.chown(directory, user)
    return user


def _command(user: str, name: str, *arguments: str) -> Sequence[str]:
    program = postgresql_program(name)
    assert program is not None
    if os.geteuid() != 0:
        return (program, *arguments)
    group = str(pwd.getpwnam(user).pw_gid)
    # setpriv becomes the program, so that ending the process ends the server.
    return ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", program, *arguments)


def _run(user: str, name: str, *arguments: str) -> None:
    finished = subprocess.run(
        _command(user, name, *arguments), capture_output=True, text=True, check=False, cwd="/"
    )
    assert finished.returncode == 0, finished.stderr


def _wait_until_ready(server: PostgresqlServer, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            server.execute("postgres", "SELECT 1")
            return
        except OperationalError:
            assert process.poll() is None and time.monotonic() < give_up, log.read_text()
            time.sleep(0.05)
