"""A board whose disk is full, on a real small file system: nothing is left half written, and space is all it takes."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.engines.cpu.toolchain import compile_executable
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_upload import free_bytes
from microbench.errors import BoardError, CandidateError
from microbench.profile import load_profile
from microbench.runner.build import build_runner, content_sha256
from microbench.runner.client import BoardFullError, ConnectionLostError, RunnerClient
from microbench.runner.messages import ExecutionRequest
from microbench.virtual.build import THIS_MACHINE
from tests.microbench.local_runner import PipeTransport
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.measured import SoundJob, sound_cpu_job
from tests.microbench.small_disk import SmallDisk, small_disk

__all__ = ["sshd"]

WRITER = r"""
#include <stdio.h>
#include <stdlib.h>

/* Writes as many bytes as it is told; its exit code says whether they went through, unless it is `careless`. */
int main(int argc, char **argv)
{
    static char zeros[4096];
    FILE *out = fopen("out.bin", "wb");
    int good = out != NULL;
    for (long left = argc > 1 ? atol(argv[1]) : 0; good && left > 0; left -= (long)sizeof zeros)
        good = fwrite(zeros, 1, sizeof zeros, out) == sizeof zeros;
    good = out && fclose(out) == 0 && good;
    return argc > 2 || good ? 0 : 5;
}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 8192) as disk:
        yield disk


@pytest.fixture
def cpu() -> SoundJob:
    return sound_cpu_job()


def open_board(sshd: LoopbackServer, disk: SmallDisk) -> SshBoard:
    return SshBoard(load_profile("host"), sshd.options(disk.place / "there"))


def check(board: SshBoard, sound: SoundJob) -> None:
    measured = board.measure(sound.job)
    assert measured.output is not None
    np.testing.assert_allclose(measured.output, sound.expected, rtol=1e-6)


def test_a_runner_that_does_not_fit_is_refused_with_both_sizes(
    sshd: LoopbackServer, disk: SmallDisk, cpu: SoundJob
) -> None:
    disk.resize(256)
    with pytest.raises(BoardFullError) as refused:
        open_board(sshd, disk)
    said = str(refused.value)
    needed = build_runner("none", "x").stat().st_size
    assert "127.0.0.1" in said and str(disk.place / "there/bin") in said
    assert f"needs {needed // 10000}" in said and "are free; free some" in said
    assert not isinstance(refused.value, ConnectionLostError)
    assert disk.names() == ["there", "there/bin"]
    disk.resize(8192)
    with open_board(sshd, disk) as board:
        check(board, cpu)


def test_a_disk_that_fills_up_meanwhile_ends_no_board(
    sshd: LoopbackServer, disk: SmallDisk, cpu: SoundJob
) -> None:
    with open_board(sshd, disk) as board:
        for left_bytes in (0, 8192):  # no room to begin with, then for the half
            before = set(disk.names())
            filler = disk.fill(left_bytes)
            with pytest.raises(BoardFullError, match=r"disk is full.* needs \d+ bytes, \d+ are free"):
                board.measure(cpu.job)
            assert set(disk.names()) - before == {"filler"}
            filler.unlink()
        check(board, cpu)
        filler = disk.fill()
        with pytest.raises(BoardFullError, match=r"disk is full: .*run-\w+.* bytes, \d+ are free"):
            board.measure(cpu.job)  # its program is there by now, its data finds no room
        filler.unlink()
        check(board, cpu)


def test_a_full_disk_keeps_the_runner_from_starting_and_no_longer(
    sshd: LoopbackServer, disk: SmallDisk, cpu: SoundJob
) -> None:
    open_board(sshd, disk).close()
    assert (disk.place / "there" / "lock").stat().st_size == 0  # an answered goodbye frees nothing later
    filler = disk.fill()
    with pytest.raises(BoardFullError, match="lock needs"):
        open_board(sshd, disk)
    filler.unlink()
    with open_board(sshd, disk) as board:
        check(board, cpu)


@pytest.mark.parametrize("careless", [False, True])
def test_a_program_that_fills_the_disk_is_not_blamed(disk: SmallDisk, careless: bool) -> None:
    writer = compile_executable({"writer.c": WRITER}, THIS_MACHINE, ("-static",))
    (disk.place / "there" / "bin").mkdir(parents=True)
    shutil.copy(writer, disk.place / "there" / "bin" / content_sha256(writer))
    transport = PipeTransport(build_runner("none", "nothing 1"), disk.place / "there")
    client = RunnerClient(transport, "here", 60.0)
    words = ("careless",) if careless else ()
    request = ExecutionRequest(content_sha256(writer), ("4000000", *words), {}, ("out.bin",), 60.0)
    assert len(client.execute(request).outputs["out.bin"] or b"") >= 4_000_000
    too_much = dataclasses.replace(request, arguments=("40000000", *words))
    with pytest.raises(BoardFullError, match=r"disk is full: .* needs \d+ bytes, \d+ are free") as refused:
        client.execute(too_much)
    assert not isinstance(refused.value, CandidateError)
    assert client.execute(request).code == 0
    client.close()
    assert [name for name in disk.names() if "run-" in name] == []


def test_uploads_broken_long_ago_are_swept(disk: SmallDisk) -> None:
    uploads = disk.place / "there" / "bin"
    uploads.mkdir(parents=True)
    for name, hours in ((".old.0123", 2.0), (".new.0123", 0.0), ("whole", 2.0)):
        (uploads / name).write_bytes(b"half")
        age(uploads / name, hours)
    transport = PipeTransport(build_runner("none", "nothing 1"), disk.place / "there")
    RunnerClient(transport, "here", 60.0).hello()
    transport.close()
    assert sorted(path.name for path in uploads.iterdir()) == [".new.0123", "whole"]


def age(path: Path, hours: float) -> None:
    """As if it had been written so long ago."""
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime - 3600 * hours))


LISTING = """\
Filesystem     1024-blocks      Used Available Capacity Mounted on
{} 1000 900 {} 90% /home/a b
"""


@pytest.mark.parametrize("device", ["/dev/root", "tmpfs", "//server/a share"])
def test_free_space_is_read_from_what_df_says(device: str) -> None:
    assert free_bytes(LISTING.format(device, 100)) == 102400
    assert free_bytes(LISTING.format(device, -5)) == 0


@given(st.text(max_size=200))
def test_other_words_than_those_of_df_tell_nothing(text: str) -> None:
    assert free_bytes(text) is None or "%" in text


def test_a_refused_upload_with_space_left_is_no_full_disk(sshd: LoopbackServer, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file is in the way")
    with pytest.raises(BoardError) as refused:
        SshBoard(load_profile("host"), sshd.options(tmp_path / "there"))
    assert not isinstance(refused.value, BoardFullError)
