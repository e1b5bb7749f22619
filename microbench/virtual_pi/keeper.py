"""Keeps a virtual Pi for a user's shell: a process of its own, which ends with that shell or when it is told to.

python -m microbench.virtual_pi.keeper PROFILE RECORD PARENT
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

from codegen.errors import ExploreError
from microbench.errors import BoardError
from microbench.profile import DeviceProfile, load_profile
from microbench.virtual_pi.server import VirtualPi, why_no_virtual_pi

START_LIMIT_S, END_LIMIT_S = 300.0, 30.0
_STEP_S = 0.05


@dataclass(frozen=True)
class Kept:
    """A virtual Pi that runs: the process that keeps it, and how it is reached."""

    pid: int
    profile: str
    port: int
    user: str
    directory: str


def record_of(name: str) -> Path:
    """Where is written what runs under a name."""
    return user_cache_path("explore-edge") / "virtual-pi" / f"{name}.json"


def start_kept(name: str, device: str, parent: int) -> Kept:
    """Starts one of a profile, by name or file, that ends with the process `parent`.

    Raises BoardError where one of this name runs, or none can; ProfileError as `load_profile`.
    """
    profile = load_profile(device)
    reason = why_no_virtual_pi(profile)
    if reason is not None:
        raise BoardError(f"a virtual {profile.name} cannot be started here: {reason}")
    if kept(name) is not None:
        raise BoardError(f"a virtual Pi {name!r} runs already; `explore devices stop-virtual {name}` ends it")
    record = record_of(name)
    record.parent.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", __name__, device, str(record), str(parent))
    with record.with_suffix(".log").open("wb") as log:
        keeper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    until_s = time.monotonic() + START_LIMIT_S
    while keeper.poll() is None and time.monotonic() < until_s:
        found = kept(name)
        if found is not None:
            return found
        time.sleep(_STEP_S)
    keeper.kill()
    said = record.with_suffix(".log").read_text(errors="replace").strip().splitlines()
    raise BoardError(f"the virtual {profile.name} did not start: {said[-1] if said else 'it said nothing'}")


def kept(name: str) -> Kept | None:
    """What runs under a name; None where nothing does."""
    try:
        found = Kept(**json.loads(record_of(name).read_text(encoding="utf-8")))
        words = Path(f"/proc/{found.pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, TypeError):
        return None
    return found if __name__.encode() in words else None


def stop_kept(name: str) -> None:
    """Ends what runs under a name, with all its files; raises BoardError where nothing does."""
    found = kept(name)
    if found is None:
        raise BoardError(f"no virtual Pi {name!r} runs; `explore devices start-virtual` starts one")
    os.kill(found.pid, signal.SIGTERM)
    until_s = time.monotonic() + END_LIMIT_S
    while kept(name) is not None and time.monotonic() < until_s:
        time.sleep(_STEP_S)


def keep(profile: DeviceProfile, record: Path, parent: int) -> None:
    """Until a signal ends it, or the parent has ended."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.set())
    parents = os.pidfd_open(parent)
    with VirtualPi(profile) as pi:
        found = Kept(os.getpid(), profile.name, pi.port, pi.user, str(pi.directory))
        written = record.with_suffix(".new")
        written.write_text(json.dumps(asdict(found)), encoding="utf-8")
        written.replace(record)
        while not told.wait(_STEP_S) and not _has_ended(parents):
            pass
    record.unlink(missing_ok=True)


def _has_ended(process: int) -> bool:
    """Of a process by its descriptor, which no later one can take over."""
    try:
        signal.pidfd_send_signal(process, 0)
    except ProcessLookupError:
        return True
    return False


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code; the last line on stderr is why there is no board."""
    try:
        keep(load_profile(arguments[0]), Path(arguments[1]), int(arguments[2]))
    except (ExploreError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    __name__ = "microbench.virtual_pi.keeper"
    sys.exit(main(sys.argv[1:]))
