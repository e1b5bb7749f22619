"""Job files of `explore qpu run`, expectations, and the page that explains them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codegen.engines.videocore4.listing import write_listing
from codegen.engines.videocore4.text import assemble_text
from tests.explorer.command_line import explore, refused
from tests.test_floors import ROOT

EXAMPLES = ROOT / "docs" / "examples"
PAGE = ROOT / "docs" / "qpu-programs.md"
AXPY = (EXAMPLES / "axpy.txt").read_text()
END = "thread_end\nnop\nnop\n"
TOP = """
[code.axpy]
file = "axpy.hex"
[buffer.x]
file = "x.bin"
[buffer.y]
size = 256
fill = 0
out = "y.bin"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the program as a listing, 64 floats, and what 2 x is."""
    (tmp_path / "axpy.hex").write_text(write_listing(assemble_text(AXPY)))
    x = np.arange(64, dtype=np.float32)
    x.tofile(tmp_path / "x.bin")
    (2 * x).tofile(tmp_path / "two.bin")
    return tmp_path


def job(place: Path, text: str) -> Path:
    path = place / "job.toml"
    path.write_text(text)
    return path


def test_the_page_shows_the_example_and_what_comes_out_of_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"```toml\n{(EXAMPLES / 'axpy.toml').read_text()}```" in page
    result = explore("qpu", "run", EXAMPLES / "axpy.toml")
    assert result.exit_code == 0, result.output
    assert f"\n    {result.output.splitlines()[-2]}\n" in page


def test_a_launch_on_four_qpus_and_another_on_what_it_left(place: Path) -> None:
    launch = '[[launch]]\nqpus = 4\nuniforms = ["@x+64*qpu", "@y+64*qpu", 2.0]\nrepeat = 3\n'
    result = explore("qpu", "run", job(place, TOP + launch))
    assert result.exit_code == 0, result.output
    assert np.fromfile(place / "y.bin", np.float32).tolist() == [6.0 * i for i in range(64)]
    rows = [line for line in result.output.splitlines() if "axpy" in line]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all("4: 4 rows, 256 B" in row for row in rows)


def test_each_qpu_may_have_its_own_code_and_uniforms(place: Path) -> None:
    (place / "idle.txt").write_text(END)
    text = (
        TOP
        + """
[code.idle]
file = "idle.txt"
form = "text"
[[launch]]
code = ["axpy", "idle", "axpy"]
uniforms = [["@x", "@y", 2.0], [], ["@x+128", "@y+128", { file = "half.bin" }]]
"""
    )
    np.array([0.5], np.float32).tofile(place / "half.bin")
    assert explore("qpu", "run", job(place, text)).exit_code == 0
    y = np.fromfile(place / "y.bin", np.float32).reshape(4, 16)
    assert y[0].tolist() == [2.0 * i for i in range(16)]
    assert not y[1].any() and not y[3].any()
    assert y[2].tolist() == [0.5 * i for i in range(32, 48)]


def test_uniforms_say_where_they_lie_and_who_reads_them(place: Path) -> None:
    """The program stores its own number, the count, and the word that lies at its own uniforms' second place."""
    (place / "who.txt").write_text("""
mov r0, uniform
mov r1, uniform
mov tmu0_s, uniform
load_tmu0
load vpm_write_setup, 0x1a00
mov vpm, r0
mov vpm, r1
mov vpm, r4
load vpm_write_setup, 0x81904000
load vpm_write_setup, 0xc0000000
mov dma_store, uniform
mov -, store_wait
""" + END)  # fmt: skip
    text = """
[code.who]
file = "who.txt"
form = "text"
[buffer.y]
size = 192
[[launch]]
uniforms = ["qpu", "qpus", "@uniforms+4", "@y"]
[[expect]]
buffer = "y"
type = "int32"
values = [0, 0]
[[expect]]
buffer = "y"
offset = 64
type = "uint32"
values = [1, 1]
[[expect]]
buffer = "y"
offset = 128
type = "uint32"
values = [1, 1]
"""
    result = explore("qpu", "run", job(place, text))
    assert result.exit_code == 0, result.output


def test_what_is_beyond_the_tolerance_exits_with_1_and_says_where(place: Path) -> None:
    expected = np.fromfile(place / "two.bin", np.float32)
    expected[5] += 0.5
    expected[9] -= 0.25
    expected.tofile(place / "wrong.bin")
    options = ["--in", f"x={place / 'x.bin'}", "--buffer", "y=256", "--qpus", "4", "-u", "x+64*qpu"]
    command: Sequence[str | Path] = [
        "qpu",
        "run",
        place / "axpy.hex",
        *options,
        "-u",
        "y+64*qpu",
        "-u",
        "2.0",
    ]
    right = explore(*command, "--expect", f"y={place / 'two.bin'}:0")
    assert right.exit_code == 0 and "all are within 0" in right.output
    wrong = explore(*command, "--expect", f"y={place / 'wrong.bin'}:0.1")
    assert wrong.exit_code == 1
    assert "ExpectationError" in wrong.output
    assert (
        "largest error 0.5 at float32 5 (byte 20): 10, not 10.5; 2 of 64 numbers are beyond 0.1"
        in wrong.output
    )
    assert explore(*command, "--expect", f"y={place / 'wrong.bin'}:0.5").exit_code == 0
    twice = explore(*command, "--launches", "2", "--expect", f"y={place / 'two.bin'}:0")
    assert twice.exit_code == 1 and "launch  code" in twice.output


def test_integers_compare_as_what_they_are(place: Path) -> None:
    np.array([2**24 + 1], np.int32).tofile(place / "i.bin")
    command: Sequence[str | Path] = [
        "qpu",
        "run",
        place / "axpy.hex",
        "--in",
        f"x={place / 'i.bin'}",
        "--buffer",
        "y=64",
    ]
    uniforms = ["-u", "y", "-u", "y", "-u", "0"]
    assert explore(*command, *uniforms, "--expect", f"x={place / 'i.bin'}:0:int32").exit_code == 0
    np.array([2**24], np.int32).tofile(place / "j.bin")
    assert explore(*command, *uniforms, "--expect", f"x={place / 'j.bin'}:0:int32").exit_code == 1


def test_a_nan_is_as_wrong_as_can_be(place: Path) -> None:
    np.array([np.nan, 0, 2], np.float32).tofile(place / "nan.bin")
    command: Sequence[str | Path] = [
        "qpu",
        "run",
        place / "axpy.hex",
        "--in",
        f"x={place / 'nan.bin'}",
        "--buffer",
        "y=64",
    ]
    uniforms = ["-u", "y", "-u", "y", "-u", "0"]
    assert explore(*command, *uniforms, "--expect", f"x={place / 'nan.bin'}:0").exit_code == 0
    np.array([1, 0, 2], np.float32).tofile(place / "one.bin")
    result = explore(*command, *uniforms, "--expect", f"x={place / 'one.bin'}:1e9")
    assert result.exit_code == 1 and "largest error inf at float32 0" in result.output


LAUNCH = '[[launch]]\nuniforms = ["@x", "@y", 2.0]\n'
FAULTS: dict[str, tuple[str, ...]] = {
    "": ("launch: is missing",),
    LAUNCH: ("launch 1.code: is missing; there are: none", "no buffer 'x'; there are: none"),
    TOP + '[[launch]]\ncode = "saxpy"\n': ("launch 1.code: no code 'saxpy'; there are: axpy",),
    TOP + '[[launch]]\nuniforms = ["@z", "x", true, 5000000000, 1e99, "@x+y", {path="a"}, {file="none.bin"}]\n': (
        "8 faults", "item 1, '@z': no buffer 'z'; there are: x, y", "item 2, 'x': a uniform is", "item 3, True: write",
        "item 4, 5000000000: the number does not fit 32 bits", "item 5, 1e+99: the number does not fit float32",
        "item 6", "item 7", "none.bin cannot be read",
    ),
    TOP + '[[launch]]\nuniforms = [["@x"], ["@y"]]\nqpus = 3\n': ("launch 1.uniforms: 2 lists for 3 QPUs",),
    TOP + '[[launch]]\ncode = ["axpy", "axpy"]\nqpus = 3\n': ("launch 1.code: 2 codes for 3 QPUs",),
    TOP + '[[launch]]\nuniforms = 3\n': ("launch 1.uniforms: must be a list",),
    TOP + LAUNCH + 'qpu = 3\n': ("launch 1.qpu: no such key; there are: qpus, repeat, code, uniforms",),
    TOP + LAUNCH + 'qpus = 17\nrepeat = 0\n': ("qpus: must be a whole number from 1 to 16", "repeat: must be"),
    TOP + LAUNCH + '[buffer.z]\n': ("buffer.z.size: is missing",),
    TOP + LAUNCH + '[buffer.z]\nfile = "x.bin"\nsize = 8\n': ("buffer.z.size: ", "has 256 bytes, more than 8"),
    TOP + LAUNCH + '[buffer.z]\nvalues = [1, "a"]\n': ("buffer.z.values: must be numbers",),
    TOP + LAUNCH + '[buffer.z]\nvalues = [256]\ntype = "uint8"\n': ("whole number that fits uint8",),
    TOP + LAUNCH + '[buffer.z]\nvalues = [1]\nfile = "x.bin"\n': ("buffer.z.values: and a file",),
    TOP + LAUNCH + '[buffer.qpu]\nsize = 4\n': ("buffer.qpu: a buffer's name",),
    TOP + LAUNCH + '[code.b]\nfile = "none.hex"\n': ("code.b.file: ", "none.hex cannot be read", "launch 1.code"),
    TOP + '[[launch]]\ncode="b"\n[code.b]\nfile = "x.bin"\nform = "text"\n': ("code.b.file: ", "x.bin"),
    TOP + LAUNCH + '[[expect]]\nbuffer = "z"\nfile = "x.bin"\n': ("expect 1.buffer: no buffer 'z'; there are: x, y",),
    TOP + LAUNCH + '[[expect]]\nbuffer = "y"\n': ("expect 1.file: is missing",),
    TOP + LAUNCH + '[[expect]]\nbuffer = "y"\nfile = "x.bin"\noffset = 4\n': ("reach past the 256 of 'y'",),
    TOP + LAUNCH + '[[expect]]\nbuffer = "y"\nfile = "x.bin"\ntype = "bf16"\ntolerance = -1\n': (
        "2 faults", "expect 1.type: 'bf16' is not one of float32", "expect 1.tolerance: must be a number from 0"),
    "device = 3\nlax = 1\nv3d_hz = 1\n" + TOP + LAUNCH: ("device: must be a text", "lax: must be true", "v3d_hz: must"),
    'gpu_memory = "warm"\n' + TOP + LAUNCH: ("gpu_memory: 'warm' is not one of cached, direct",),
    "buffer = 3\ncode = [1]\n" + LAUNCH: ("buffer: must be tables", "code: must be tables"),
    "launch = 1\n": ("launch: must be tables, each headed [[launch]]",),
    "a = ": ("no TOML",),
}  # fmt: skip


@pytest.mark.parametrize("text", FAULTS)
def test_every_fault_of_a_job_file_is_named(place: Path, text: str) -> None:
    refused(explore("qpu", "run", job(place, text)), "JobFileError", "job.toml", *FAULTS[text])


def test_options_that_a_job_file_says_itself_are_refused(place: Path) -> None:
    path = job(place, TOP + LAUNCH)
    refused(
        explore("qpu", "run", path, "--qpus", "2", "-u", "1"), "UsageError", "--qpus, --uniform", "job file"
    )
    refused(explore("qpu", "run", place / "none.toml"), "JobFileError", "none.toml", "cannot be read")
    refused(
        explore("qpu", "run", path, "--expect", f"y={place / 'x.bin'}:-1"), "UsageError", "tolerance '-1'"
    )
    refused(explore("qpu", "run", path, "--expect", "y=none:1"), "UsageError", "none", "cannot be read")
    refused(explore("qpu", "run", path, "--expect", f"z={place / 'x.bin'}:1"), "UsageError", "no buffer 'z'")
    refused(explore("qpu", "run", path, "--expect", "y=1"), "UsageError", "NAME=FILE:TOLERANCE")


def test_a_launch_that_is_stopped_is_named(place: Path) -> None:
    text = TOP + LAUNCH + '[[launch]]\nuniforms = [0, "@y", 1.0]\n'
    refused(explore("qpu", "run", job(place, text)), "HazardError", "launch 2 of 2", "stray access")


def test_sensitivity_takes_job_files(place: Path) -> None:
    result = explore("qpu", "sensitivity", job(place, TOP + LAUNCH))
    assert result.exit_code == 0, result.output
    assert "(as in the profile)" in result.output


def test_options_go_before_the_jobs_device(place: Path) -> None:
    path = job(place, "v3d_hz = 250e6\n" + TOP + LAUNCH)
    slow, fast = (explore("qpu", "run", path, *o).output for o in ([], ["--v3d-hz", "500e6"]))
    assert slow != fast
    refused(explore("qpu", "run", path, "--device", "pi-nine"), "ProfileError", "pi-nine")


def test_memory_is_allocated_as_the_option_or_the_job_says(place: Path) -> None:
    ways: dict[str, str] = {}
    for said in ("", "cached", "direct"):
        path = job(place, (f'gpu_memory = "{said}"\n' if said else "") + TOP + LAUNCH)
        for option in ("", "cached", "direct"):
            done = explore("qpu", "run", path, *(("--gpu-memory", option) if option else ()))
            way = option or said or "direct"
            assert done.output == ways.setdefault(way, done.output), (said, option)
    assert ways["cached"] != ways["direct"]
    refused(explore("qpu", "run", path, "--device", "pi-3", "--gpu-memory", "cached"), "ProfileError", "pi-3")
