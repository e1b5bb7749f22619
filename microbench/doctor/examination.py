"""Examines a board reached over SSH: what stands in the way of measuring there, and how to remove it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from microbench.boards.ssh_link import SshLink
from microbench.boards.ssh_runner import RemoteRunner, backend_for, runner_directory
from microbench.boards.ssh_sudo import MEANS
from microbench.doctor.diagnosis import Diagnosis, failed, in_order, untold
from microbench.doctor.gpu import (
    check_gpu_memory,
    check_kernel,
    check_memory_device,
    check_overlay,
    check_vcio,
    is_root,
    without_qpus,
)
from microbench.doctor.probes import lock_of, probe
from microbench.doctor.system import check_clocks, check_lock, check_space, check_throttling
from microbench.errors import BoardError
from microbench.options import SshOptions
from microbench.profile import DeviceProfile

REACH_TIMEOUT_S = 10.0
_ON = "check that the board is on, in this network, and that its SSH server runs (raspi-config, Interface Options)"
_AS_SAID = "do as the message says, then examine again"

_MAY_ALL = ("sh", "-c", "sudo -n -- true >/dev/null 2>&1 </dev/null && echo all || :")

Report = Callable[[Diagnosis], None]


def examine(profile: DeviceProfile, options: SshOptions, report: Report) -> None:
    """Every check in its order, told to `report` as soon as it is judged; no failure is raised.

    The last check but one starts the runner, which is uploaded where it is not there yet. Checks that depend on
    one that failed are left out, and the remedy of that one says to examine again.
    """
    reached = check_reachable(options)
    report(reached)
    if reached.verdict == "failed":
        return
    try:
        link = SshLink(options)
    except BoardError as error:
        report(failed("key", str(error), _AS_SAID))
        return
    report(in_order("key", f"the board's key is known, and it lets {link.place} in"))
    try:
        _examine_inside(link, profile, options, report)
    except BoardError as error:
        report(failed("connection", str(error), _AS_SAID))
    finally:
        link.close()


def check_reachable(options: SshOptions) -> Diagnosis:
    """Whether something accepts connections there, or at the jump host on the way."""
    first = options.jump or options
    place = f"{first.host} port {first.port}"
    way = f"{place}, on the way to {options.host}" if options.jump else place
    try:
        socket.create_connection((first.host, first.port), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        return failed("reachable", f"{way}: {error.strerror or error}", _ON)
    return in_order("reachable", f"{way} accepts connections")


def check_architecture(profile: DeviceProfile, machine: str, model: str, options: SshOptions) -> Diagnosis:
    """Whether a runner for this profile can be built for the machine there."""
    check = "architecture"
    said = f"{model or 'no Raspberry Pi'} ({machine})"
    try:
        backend = backend_for(profile, machine, options)
    except BoardError as error:
        return failed(
            check, str(error), "take the profile of the board that is there (`explore devices` lists)"
        )
    if backend == "virtual":
        return Diagnosis(
            check, "warning", f"{said}: QPU programs would be simulated", "reach a Raspberry Pi instead"
        )
    return in_order(check, said)


def _examine_inside(link: SshLink, profile: DeviceProfile, options: SshOptions, report: Report) -> None:
    told = probe(link)
    architecture = check_architecture(profile, told["machine"], told["model"], options)
    report(architecture)
    for diagnosis in judged(profile, told, options.sudo):
        report(diagnosis)
    directory = runner_directory(options)
    lock = check_lock(*lock_of(link, directory), directory, _shared(profile, told, options))
    if architecture.verdict == "failed" or lock.verdict == "failed":
        reason = architecture if architecture.verdict == "failed" else lock
        report(untold("runner", f"not started, because of: {reason.check}", reason.remedy))
    else:
        report(check_runner(profile, options))
    report(check_sudo(link.run(_MAY_ALL), told["user"], options.sudo))
    report(lock)


def check_sudo(may_all: str, user: str, wanted: bool) -> Diagnosis:
    """What this user's rights amount to; `may_all`: `all` where sudo runs any program without a password."""
    check = "rights of the runner"
    if is_root(user):
        return in_order(check, "root's, as this connection is: any program that is sent to it is run as root")
    if not wanted:
        return in_order(check, "this user's")
    if may_all == "all":
        return in_order(check, "root's; this user may run any program as root without a password anyway")
    return in_order(check, f"root's; {MEANS}")


def judged(profile: DeviceProfile, told: Mapping[str, str], as_root: bool = False) -> tuple[Diagnosis, ...]:
    """The checks between architecture and runner, from what was read (`probes`); `as_root`: the runner is."""
    qpus = bool(profile.v3d)
    now, since = check_throttling(told["throttled"])
    return (
        check_kernel(told["machine"], told["release"], told["word_bits"], qpus),
        check_vcio(told["vcio"], told["user"], as_root) if qpus else without_qpus("/dev/vcio"),
        check_memory_device(told["mem"], told["lockdown"], told["user"], as_root)
        if qpus
        else without_qpus("/dev/mem"),
        check_overlay(told["vc4"], told["config"], told["model"])
        if qpus
        else without_qpus("vc4-kms-v3d overlay"),
        check_gpu_memory(told["gpu_mem"], profile.gpu_memory_bytes) if qpus else without_qpus("gpu_mem"),
        check_clocks(told["cpu_clock"], told["v3d_clock"], told["cpu_range"], told["governor"]),
        now,
        since,
        check_space(told["space"]),
    )


def check_runner(profile: DeviceProfile, options: SshOptions) -> Diagnosis:
    """Starts this program's runner there and asks what it is."""
    try:
        remote = RemoteRunner(profile, options)
    except BoardError as error:
        return failed("runner", str(error), _AS_SAID)
    try:
        info = remote.info
        return in_order("runner", f"protocol {info.protocol}, {info.software}; GPU: {info.backend}")
    finally:
        remote.close()


def _shared(profile: DeviceProfile, told: Mapping[str, str], options: SshOptions) -> bool:
    try:
        return backend_for(profile, told["machine"], options) == "virtual"
    except BoardError:
        return False
