"""The program `stream` of a bundle, as people meet it."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from codegen.bundle.manifest import bundle_sources
from codegen.engines.cpu.toolchain import compile_executable
from tests.codegen.planned import small_network
from tests.codegen.test_bundle_api import bundle_of
from tests.codegen.test_cpu_pool import DUAL, STRICT


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The program and its bundle, of two threads."""
    directory = tmp_path_factory.mktemp("stream") / "bundle"
    manifest = bundle_of(small_network(), directory, 2)
    sources = bundle_sources(directory, manifest, "none", "stream")
    return compile_executable(sources, DUAL, (*STRICT, "-pthread")), directory


def ended(stream: tuple[Path, Path], *words: str) -> subprocess.CompletedProcess[str]:
    program, directory = stream
    return subprocess.run([program, *words], cwd=directory, capture_output=True, text=True, timeout=60)


def report_of(stream: tuple[Path, Path], place: Path, *words: str) -> dict:
    found = ended(stream, *words, "--report", str(place))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    return json.loads(place.read_text(encoding="utf-8"))


def test_frames_one_after_another_are_all_run_and_right(stream: tuple[Path, Path], tmp_path: Path) -> None:
    report = report_of(stream, tmp_path / "report.json", "--frames", "130", "--direct", "--queue", "3")
    assert (report["model"], report["gpu_kind"], report["without_gpu"]) == ("small net", "none", None)
    assert (report["fps"], report["capacity"], report["wrong"]) == (0, 3, 0)
    assert report["direct"]["runs"] == 130 and report["direct"]["wall_s"] > 0.0
    frames = report["frames"]
    assert len(frames) == 130 and not any(frame["dropped"] or frame["late"] for frame in frames)
    for frame, after in itertools.pairwise(frames):
        assert frame["due_s"] <= frame["submitted_s"] <= frame["started_s"] <= frame["ended_s"]
        assert frame["ended_s"] <= after["started_s"]


def test_frames_of_a_camera_that_find_no_room_are_dropped(stream: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("--fps", "100000", "--frames", "500", "--queue", "1", "--deadline", "0.001")
    report = report_of(stream, tmp_path / "report.json", *words)
    frames = report["frames"]
    ran = [frame for frame in frames if not frame["dropped"]]
    assert 0 < len(ran) < len(frames) == 500
    assert all(set(frame) == {"due_s", "dropped"} for frame in frames if frame["dropped"])
    assert all(frame["late"] for frame in ran), "a microsecond after it came none has ended"
    gaps = [after["due_s"] - frame["due_s"] for frame, after in itertools.pairwise(frames)]
    assert gaps == pytest.approx([1e-5] * 499, abs=1e-8)


def test_the_table_says_what_came_of_them(stream: tuple[Path, Path]) -> None:
    text = ended(stream, "--frames", "20", "--direct").stdout
    assert text.startswith(
        "small net: 20 frames, room for 2\n20 ended, 0 dropped, 0 late, 0 failed, 0 with other"
    )
    assert "without the queue" in text and "latency from arrival to end: median" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--fps", "x"), "--fps: its value is out of range"),
        (("--queue", "65"), "--queue: its value is out of range"),
        (("--frames",), "--frames: its value is missing"),
        (("--what", "1"), "--what: unknown option"),
        (("--fps", "30", "--direct"), "--direct: is for frames one after another"),
        (("--report", "/nowhere/report"), "/nowhere/report: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line(stream: tuple[Path, Path], words: tuple[str, ...], says: str) -> None:
    found = ended(stream, *words)
    assert (
        found.returncode == 1 and found.stderr.startswith(f"error: {says}") and found.stderr.count("\n") == 1
    )


def test_it_explains_itself_and_needs_a_bundle(stream: tuple[Path, Path]) -> None:
    text = ended(stream, "--help").stdout
    for option in ("bundle", "fps", "frames", "queue", "deadline", "direct", "report", "help"):
        assert f"--{option} " in text
    found = ended(stream, "--bundle", "/nowhere")
    assert found.returncode == 2 and "/nowhere/weights.bin" in found.stderr
