"""The runner as root, by sudo without a password: of a file that only root can change, once its content was checked.

Nothing is typed for sudo and no password is stored: where it would ask for one, that is an error which names the
package of the runner. The runner runs programs that are sent to it: who may start it as root may do anything there.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable
from typing import Protocol

from microbench.errors import BoardError
from microbench.runner.package import GROUP, PACKAGE, PACKAGED_RUNNER

UPLOADED = "/usr/local/lib/explore-edge"  # root's, for runners that were uploaded
ROOT_ID = "0"
SUDO = ("sudo", "-n", "--")
MEANS = "that right amounts to root on the board: who may start the runner as root may run any program there"
REMEDY = (
    "install the runner's package there (`explore runner package --device DEVICE` writes it; on the board: sudo apt "
    f"install ./{PACKAGE}_*.deb) and let the user start it: sudo adduser USER {GROUP}; then connect anew; {MEANS}"
)

# Words are arguments, never a part of the text.
_EXISTS = 'test -e "$1" && echo there || :'
_HASH = 'sha256sum <"$1"'
_OWNERS = 'for place; do stat -L -c "%u %A %n" -- "$place" || exit 1; done'
# Without arguments the runner only says how it is called, and ends with 64.
_TRIAL = 'message=$(sudo -n -- "$1" 2>&1 </dev/null); echo "$? $message"'
_RUNNERS_USAGE = "64"
_INSTALL = (
    'message=$(sudo -n -- install -D -m 0755 -o root -g root -- "$1" "$2" 2>&1 </dev/null) || '
    'echo "${message:-install failed}"'
)


class Link(Protocol):
    """A connection to a board (`microbench.boards.ssh_link.SshLink`)."""

    place: str

    def run(self, arguments: tuple[str, ...]) -> str: ...


def runner_as_root(link: Link, content: bytes, upload: Callable[[], str]) -> tuple[str, ...]:
    """The words that start a runner of this content as root: the package's, else one that `upload` put there.

    Raises BoardError where there is no sudo, it wants a password, the package has another runner, or others than root
    could change the file.
    """
    digest = hashlib.sha256(content).hexdigest()
    if _shell(link, _EXISTS, PACKAGED_RUNNER):
        if _hash_of(link, PACKAGED_RUNNER) != digest:
            raise BoardError(
                f"{link.place}: {PACKAGED_RUNNER} is not the runner that this program builds: "
                f"{REMEDY.partition(' and let')[0]}"
            )
        program = PACKAGED_RUNNER
    else:
        program = _installed(link, digest, upload)
    check_owners(link, program)
    _check_started(link, program)
    return (*SUDO, program)


def check_owners(link: Link, path: str) -> None:
    """Raises BoardError where others than root could change a file, or put another in its place."""
    parents = [path]
    while parents[-1] != "/":
        parents.append(posixpath.dirname(parents[-1]))
    for line in _shell(link, _OWNERS, *parents).splitlines():
        owner, mode, place = line.split(" ", 2)
        is_open = "w" in (mode[5], mode[8]) and mode[9].lower() != "t"
        if owner != ROOT_ID or is_open:
            raise BoardError(
                f"{link.place}: sudo would run {path}, and others than root may change {place} ({mode}, "
                f"owner {owner}); on the board: sudo chown root:root {place}; sudo chmod go-w {place}"
            )


def _installed(link: Link, digest: str, upload: Callable[[], str]) -> str:
    """An uploaded runner in a directory of root's, its hash checked there."""
    program = posixpath.join(UPLOADED, digest)
    if not _shell(link, _EXISTS, program):
        said = _shell(link, _INSTALL, upload(), program)
        if said:
            raise BoardError(f"{link.place}: sudo does not put the runner into {UPLOADED}: {said}; {REMEDY}")
    if _hash_of(link, program) != digest:
        raise BoardError(
            f"{link.place}: {program} is not what was uploaded; on the board: sudo rm {program}, then run again"
        )
    return program


def _check_started(link: Link, program: str) -> None:
    status, _, said = _shell(link, _TRIAL, program).partition(" ")
    if status != _RUNNERS_USAGE:
        raise BoardError(
            f"{link.place}: sudo does not start {program}: {said or f'it ended with status {status}'}; {REMEDY}"
        )


def _hash_of(link: Link, path: str) -> str:
    return _shell(link, _HASH, path).partition(" ")[0]


def _shell(link: Link, text: str, *words: str) -> str:
    return link.run(("sh", "-c", text, "sh", *words))
