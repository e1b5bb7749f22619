"""`explore doctor`: is a board fit to be measured on, and if not, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from explorer.commands.devices import DevicesOption, SudoOption, chosen_file
from explorer.terminal.completion import boards
from explorer.terminal.console import say_next, stderr, stdout
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option, print_json
from explorer.terminal.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microbench.doctor.diagnosis import Diagnosis
    from microbench.options import SshOptions

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "unknown": "yellow", "not needed": "dim"}


def doctor(
    device: Annotated[
        str,
        typer.Option(
            help="a named board (`explore devices`), or a profile with --ssh",
            autocompletion=boards,
            metavar="DEVICE",
        ),
    ],
    devices: DevicesOption = None,
    ssh: Annotated[
        str | None, typer.Option(help="where the board is: user@host:port", metavar="USER@HOST:PORT")
    ] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="private key for --ssh", metavar="FILE")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="file with the host key for --ssh", metavar="FILE")
    ] = None,
    sudo: SudoOption = False,
    as_json: Annotated[bool, json_option("a list of check, verdict, result, remedy")] = False,
) -> None:
    """Examine a board over SSH: what keeps it from being measured on, and the remedy of each."""
    from explorer.settings import parse_ssh

    with reported():
        doctor_command(device, chosen_file(devices), parse_ssh(ssh, ssh_key, known_hosts, sudo), as_json)


def doctor_command(device: str, devices: Path, ssh: SshOptions | None, as_json: bool) -> None:
    """`explore doctor`; raises UsageError where no board is named, CheckFailedError where a check failed."""
    from explorer.errors import CheckFailedError
    from microbench.devices import find_device
    from microbench.doctor.examination import examine
    from microbench.profile import load_profile

    found = find_device(device, devices)
    options = _way(device, devices, found.ssh, ssh)
    profile = load_profile(found.profile)
    diagnoses: list[Diagnosis] = []
    console = stdout()
    with stderr().status("Examine") as status:

        def report(diagnosis: Diagnosis) -> None:
            status.update(Text(f"Examine: {diagnosis.check}"))
            diagnoses.append(diagnosis)

        examine(profile, options, report)
    if as_json:
        print_json(diagnoses)
    else:
        diagnoses_sheet(diagnoses).show(console)
    bad = [diagnosis.check for diagnosis in diagnoses if diagnosis.verdict == "failed"]
    if bad:
        raise CheckFailedError(
            f"device {device!r} is not fit to be measured on: {', '.join(bad)}; see the remedies"
        )
    if not as_json:
        say_next(console, f"explore calibrate --device {device}, then explore run --device {device}")


def diagnoses_sheet(diagnoses: Sequence[Diagnosis]) -> Sheet:
    """One row a diagnosis."""
    rows = [(one.check, one.verdict, one.result, one.remedy) for one in diagnoses]
    return Sheet("", ("check", "verdict", "result", "remedy"), rows, whole=("verdict",), styles=_STYLES)


def _way(device: str, devices: Path, named: SshOptions | None, given: SshOptions | None) -> SshOptions:
    from explorer.errors import UsageError

    if named is not None and given is not None:
        raise UsageError(
            f"device {device!r} is a board of {devices}, which says where it is; leave out --ssh"
        )
    options = named or given
    if options is None:
        raise UsageError(
            f"device {device!r} is a profile, no board that could be examined: say where one is with --ssh user@host, "
            f"or name it by `explore devices add NAME --profile {device} --host HOST` and take --device NAME"
        )
    return options
