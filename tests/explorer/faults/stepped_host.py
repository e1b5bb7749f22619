"""`explore` as a program that stops at each step of a run until whoever started it says how to go on.

    python -m tests.explorer.faults.stepped_host SOCKET BOARD MACHINE WORDS...

SOCKET is where the other listens, `-` for nobody; BOARD is the runner's directory on the board; MACHINE is a directory
with what the board's system shows of itself to a runner built here, `-` for its own; WORDS are those of `explore`. Each
event is a line of JSON. A step waits for a line in answer: `go`, or `spoil` with what the kernel about to be measured
shall do before and after its own work. Nothing else is changed.
"""

from __future__ import annotations

import functools
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer import cli
from explorer.measure import clocked, measurer
from explorer.pipeline import run as pipeline
from microbench.board import Job
from microbench.boards import ssh, ssh_channel, ssh_link, ssh_runner
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
from microbench.runner import build, client
from microbench.runner.messages import Execution, ExecutionRequest
from microbench.store import Sample, Store
from tests.explorer.faults.firmware import ToldMachine

KERNEL = (
    "void {name}(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, "
    "int part)"
)


class Conversation:
    """Tells of events, one at a time, and waits at steps."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def tell(self, what: str, detail: str = "") -> None:
        """Something happened."""
        with self._lock:
            self._send("event", what, detail)

    def step(self, what: str) -> str:
        """Something is about to happen; returns what to do."""
        with self._lock:
            self._send("step", what, "")
            return self._lines.readline().strip() or "go"

    def _send(self, form: str, what: str, detail: str) -> None:
        self._counts[f"{form} {what}"] += 1
        event = {"form": form, "what": what, "count": self._counts[f"{form} {what}"], "detail": detail}
        self._socket.sendall((json.dumps({**event, "at_s": time.monotonic()}) + "\n").encode())


def stop_before(owner: Any, method: str, step: Callable[[], object]) -> None:
    """Lets every call of a method wait for the step first."""
    own = getattr(owner, method)

    @functools.wraps(own)
    def stopping(*arguments: Any, **named: Any) -> Any:
        step()
        return own(*arguments, **named)

    setattr(owner, method, stopping)


def install(talk: Conversation) -> None:
    """Stops at connections, uploads, greetings, batches, samples, kernels, runs of networks, the check and the end."""
    stop_before(ssh_link.SshLink, "_connect", lambda: talk.step("connect"))
    stop_before(ssh_link.SshLink, "upload", lambda: talk.step("upload"))
    stop_before(client.RunnerClient, "hello", lambda: talk.step("hello"))
    stop_before(measurer.Measurer, "samples", lambda: talk.step("batch"))
    stop_before(pipeline, "runs_side_by_side", lambda: talk.step("check"))
    stop_before(ssh_runner.RemoteRunner, "close", lambda: talk.step("close"))
    _install_kernels(talk)
    _install_samples(talk)


def _install_kernels(talk: Conversation) -> None:
    """A kernel that is on the board runs from when it is asked for until its answer begins to arrive."""
    execute, upload = client.RunnerClient.execute, ssh_link.SshLink.upload
    asked, there = threading.Event(), set[str]()

    def executing(runner: client.RunnerClient, request: ExecutionRequest) -> Execution:
        if request.sha256 in there:
            asked.set()
        return execute(runner, request)

    def uploaded(link: ssh_link.SshLink, content: bytes, directory: str, name: str) -> str:
        there.add(name)
        return upload(link, content, directory, name)

    def receiving() -> None:
        if asked.is_set():
            asked.clear()
            talk.step("kernel")

    client.RunnerClient.execute, ssh_link.SshLink.upload = executing, uploaded  # type: ignore[assignment, method-assign]
    stop_before(ssh_channel.ChannelTransport, "receive", receiving)


def _install_samples(talk: Conversation) -> None:
    measure, add, run_bundle = ssh.SshBoard.measure, Store.add, ssh.SshBoard.run_bundle
    reference = threading.Event()
    stop_before(clocked.ClockedBatches, "_time_reference", reference.set)

    def measured(board: ssh.SshBoard, job: Job) -> Any:
        step = "reference" if reference.is_set() else "sample"
        reference.clear()
        word, _, statements = talk.step(step).partition(" ")
        measurement = measure(board, spoilt(job, *json.loads(statements)) if word == "spoil" else job)
        talk.tell("taken", job.candidate.hash)
        return measurement

    def added(store: Store, sample: Sample) -> int:
        number = add(store, sample)
        talk.tell("stored", sample.candidate_hash)
        return number

    def ran(*arguments: Any) -> Any:
        talk.step("network")
        result = run_bundle(*arguments)
        talk.tell("ran")
        return result

    ssh.SshBoard.measure, Store.add = measured, added  # type: ignore[assignment, method-assign]
    ssh.SshBoard.run_bundle = ran  # type: ignore[assignment, method-assign]


def spoilt(job: Job, before: str, after: str) -> Job:
    """The same job, its kernel wrapped in one that does more."""
    program = job.program
    assert program.kind == "cpu"
    name = program.entry
    call = f"sound_{name}(inputs, weights, outputs, workspace, part);"
    wrapper = f"{KERNEL.format(name=name)}\n{{\n    {before}\n    {call}\n    {after}\n}}\n"
    source = f"#define {name} sound_{name}\n{program.source}\n#undef {name}\n{wrapper}"
    return replace(job, program=replace(program, source=source))


def install_machine(root: Path) -> None:
    """Runners built from now on see the machine whose files these are."""
    compiled = build.compile_executable  # type: ignore[attr-defined]

    def elsewhere(sources: dict[str, str], target: Any, flags: tuple[str, ...]) -> Path:
        return compiled(ToldMachine(root).sources(sources), target, flags)

    build.compile_executable = elsewhere  # type: ignore[assignment, attr-defined]


def install_directory(board: str) -> None:
    """Every runner's directory is this one, not the one in the user's home."""
    own = ssh_runner.RemoteRunner.__init__

    def opened(runner: ssh_runner.RemoteRunner, profile: DeviceProfile, options: SshOptions) -> None:
        own(runner, profile, replace(options, remote_directory=board))

    ssh_runner.RemoteRunner.__init__ = opened  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    path, board, machine, *words = sys.argv[1:]
    install_directory(board)
    if path != "-":
        install(Conversation(path))
    if machine != "-":
        install_machine(Path(machine))
    sys.argv = ["explore", *words]
    cli.main()
