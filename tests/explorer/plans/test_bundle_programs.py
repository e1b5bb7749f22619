"""What a bundle brings to people who have nothing else: its README's lines, classify.c and classify.py, followed as
they stand, beside onnxruntime and Pillow.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from codegen.bundle import compile_bundle, read_manifest
from codegen.engine_registry import host_engines
from explorer.infer.inputs import Preparation, picture_array
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import load_network
from microbench.profile import load_profile
from microbench.virtual.bundle import virtual_platform
from tests.explorer.tiny import write_tiny_model

pytestmark = pytest.mark.needs("c compiler", "make")

QPU_ENGINE = "videocore4"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPARED = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
STRICT = "-g -std=c99 -Wall -Wextra -Wpedantic -Wshadow -Werror -fsanitize=address,undefined"


def compiled(model: Path, bundle: Path, device: str) -> Path:
    network, profile = load_network(model, {}, model.stem), load_profile(device)
    if profile.v3d:
        plan = modelled_plan(network, profile, engines=(*host_engines(), QPU_ENGINE), preferred=QPU_ENGINE)
    else:
        plan = modelled_plan(network, profile)
    compile_bundle(network.graph, plan, profile.target(), bundle, virtual_platform(profile, plan))
    return bundle


def shell(line: str, place: Path) -> str:
    ended = subprocess.run(line, shell=True, cwd=place, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def lines_of(bundle: Path, program: str) -> list[str]:
    """The README's compiler lines for a program."""
    text = (bundle / "README.md").read_text()
    return re.findall(rf"^    (.* -o {program} .*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For this machine, its programs built by the README's lines."""
    place = compiled(model, tmp_path_factory.mktemp("host") / "bundle", "host")
    for program in ("bench", "classify"):
        (line,) = lines_of(place, program)
        assert line.startswith("cc ")
        shell(line, place)
    sources = "classify.c model.o platform_none.c -lm"
    shell(f"cc -std=gnu11 -O1 -pthread -c model.c && cc {STRICT} -o classify-strict {sources}", place)
    return place


def pixels(height: int, width: int) -> np.ndarray:
    """Noise over slopes: neither flat nor all edges."""
    y, x, c = np.mgrid[:height, :width, :3]
    noise = np.random.default_rng(height * 97 + width).integers(0, 120, (height, width, 3))
    return ((y * 90 // height + x * 40 // width + c * 2 + noise) % 256).astype(np.uint8)


def picture(path: Path, height: int, width: int) -> Image.Image:
    made = Image.fromarray(pixels(height, width), "RGB")
    made.save(path)
    return made


def wanted(model: Path, array: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": array})[0]).ravel()


def answers(text: str) -> tuple[list[int], list[float], list[str]]:
    """Numbers, values and labels of the lines under the output's name."""
    name, *lines = text.splitlines()
    assert name == "y"
    words = [line.split(maxsplit=2) for line in lines]
    return [int(w[0]) for w in words], [float(w[1]) for w in words], [w[2] for w in words if len(w) > 2]


def check(text: str, expected: np.ndarray, tolerance: float = 2e-4) -> None:
    numbers, values, _ = answers(text)
    assert numbers == list(np.argsort(-expected)[:5])
    assert np.abs(np.array(values) - expected[numbers]).max() <= tolerance * np.abs(expected).max()


def test_a_picture_s_classes_are_those_of_onnxruntime(model: Path, bundle: Path, tmp_path: Path) -> None:
    seen = picture(tmp_path / "cat.ppm", 8, 8)
    array = ((np.asarray(seen) / 255.0 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[None]
    expected = wanted(model, array)
    array.tofile(tmp_path / "input.bin")
    np.save(tmp_path / "input.npy", array)
    (tmp_path / "labels.txt").write_text("a\nb\nc c\nd\ne\n")
    python = f"{sys.executable} classify.py"
    options = " ".join((*PREPARED, "--labels", str(tmp_path / "labels.txt")))
    for program in ("./classify", "./classify-strict", python):
        text = shell(f"{program} {options} {tmp_path}/cat.ppm", bundle)
        check(text, expected)
        assert answers(text)[2] == [("a", "b", "c c", "d", "e")[n] for n in answers(text)[0]]
    for line in (f"./classify-strict {tmp_path}/input.bin", f"{python} {tmp_path}/input.npy"):
        check(shell(line, bundle), expected)
    assert len(answers(shell(f"./classify --top 2 {tmp_path}/cat.ppm", bundle))[0]) == 2


@pytest.mark.parametrize(("height", "width"), [(31, 20), (20, 31), (8, 19), (5, 6), (1, 40), (200, 9)])
def test_other_sizes_are_scaled_as_pillow_does(model: Path, bundle: Path, height: int, width: int) -> None:
    seen = picture(bundle / "other.ppm", height, width)
    array, _ = picture_array(seen, read_manifest(bundle).inputs[0], Preparation(MEAN, STD))
    expected = wanted(model, array)
    for program in ("./classify-strict", f"{sys.executable} classify.py"):
        text = shell(f"{program} {' '.join(PREPARED)} other.ppm", bundle)
        numbers, values, _ = answers(text)
        # A byte may be rounded to its other neighbour.
        assert np.abs(np.array(values) - expected[numbers]).max() <= 0.02 * np.abs(expected).max()


def test_grey_pictures_and_comments_are_read(model: Path, bundle: Path, tmp_path: Path) -> None:
    values = pixels(8, 8)[:, :, 0]
    (tmp_path / "cat.pgm").write_bytes(b"P5\n# made\n#\n8 8 # by hand\n255\n" + values.tobytes())
    array = np.repeat(values[None, None] / 255.0, 3, axis=1).astype(np.float32)
    for program in ("./classify-strict", f"{sys.executable} classify.py"):
        check(shell(f"{program} {tmp_path}/cat.pgm", bundle), wanted(model, array))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((1, 8, 9, 3), "FLOAT"), ((1, 1, 8, 9), "FLOAT"), ((1, 8, 9, 3), "UINT8"), ((1, 8, 9, 1), "UINT8")],
)
def test_inputs_of_other_orders_channels_and_types(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    """The network weighs every element of the picture by a number of its own."""
    weights = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    given = helper.make_tensor_value_info("x", getattr(TensorProto, kind), shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "own", [given], [result], [numpy_helper.from_array(weights, "w")])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        tmp_path / "own.onnx",
    )
    place = compiled(tmp_path / "own.onnx", tmp_path / "bundle", "host")
    shell("make", place)
    seen = picture(tmp_path / "cat.ppm", 8, 9)
    array, _ = picture_array(seen, read_manifest(place).inputs[0], Preparation())
    expected = wanted(tmp_path / "own.onnx", array)
    for program in ("./classify", f"{sys.executable} classify.py"):
        check(shell(f"{program} {tmp_path}/cat.ppm", place), expected)


@pytest.mark.parametrize(
    ("name", "content", "options", "code", "says"),
    [
        ("a.ppm", b"P6 8 8 255\n" + bytes(191), (), 1, "ends before its last pixel"),
        ("a.ppm", b"P3 8 8 255\n" + bytes(192), (), 1, "no binary PPM or PGM"),
        ("a.ppm", b"P6 8 8 65535\n" + bytes(384), (), 1, "not 255"),
        ("a.ppm", b"P6 0 8 255\n", (), 1, "no size from 1"),
        ("a.ppm", b"P6 99999999999999999999 8 255\n", (), 1, "no size from 1"),
        ("a.ppm", b"P6 8", (), 1, "no size from 1"),
        ("a.ppm", b"P6 #", (), 1, "no size from 1"),
        ("a.ppm", b"", (), 1, "no binary PPM or PGM"),
        ("a.bin", bytes(767), (), 1, "768 bytes"),
        ("a.bin", bytes(769), (), 1, "768 bytes"),
        ("a.bin", bytes(768), ("--labels", "README.md"), 1, "an output has 5 values"),
        ("a.bin", bytes(768), ("--labels", "nowhere"), 1, "No such file"),
        ("a.bin", bytes(768), ("--bundle", "nowhere"), 2, "weights.bin"),
        ("a.bin", bytes(768), ("--top", "0"), 1, "--top"),
        ("a.bin", bytes(768), ("--mean", "1,2"), 1, "--mean"),
        ("a.bin", bytes(768), ("--std", "1,0,1"), 1, "--std"),
        ("a.bin", bytes(768), ("--std", "1,1,1,1"), 1, "--std"),
        ("a.bin", bytes(768), ("--what", "1"), 1, "unknown option"),
        ("a.bin", bytes(768), ("again",), 1, "one file at a time"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    bundle: Path, tmp_path: Path, name: str, content: bytes, options: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    ended = subprocess.run(
        ["./classify-strict", tmp_path / name, *options],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == code
    assert says in ended.stderr and ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nowhere.ppm", "No such file"),
        ("README.md", "no binary PPM or PGM"),
        ("other.npy", "has the shape [1, 3, 8, 9]"),
        ("--program nothing good.npy", "README.md says how to build it"),
    ],
)
def test_classify_py_says_in_one_line_what_is_wrong(bundle: Path, line: str, says: str) -> None:
    np.save(bundle / "other.npy", np.zeros((1, 3, 8, 9), np.float32))
    np.save(bundle / "good.npy", np.zeros((1, 3, 8, 8), np.float32))
    words = [sys.executable, "classify.py", *line.split()]
    ended = subprocess.run(words, cwd=bundle, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and ended.stdout == ""
    assert says in ended.stderr and ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1


def test_labels_of_others_cannot_steer_the_terminal(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\x1b[2Ja\r\n" * 5)
    (tmp_path / "a.bin").write_bytes(bytes(768))
    text = shell(f"./classify-strict --labels {tmp_path}/labels.txt {tmp_path}/a.bin", bundle)
    assert answers(text)[2] == ["?[2Ja"] * 5


def test_make_and_build_sh_build_the_same_programs(model: Path, tmp_path: Path) -> None:
    for name, line in (("a", "make"), ("b", "./build.sh")):
        place = compiled(model, tmp_path / name, "host")
        before = {path.name for path in place.iterdir()}
        shell(line, place)
        assert {path.name for path in place.iterdir()} - before == {"bench", "stream", "classify", "model.o"}
        assert "tiny" in shell("./bench --runs 1 --warmup 0", place)
        if line == "make":
            shell("make clean", place)
            assert {path.name for path in place.iterdir()} == before
    shell("sha256sum --quiet -c SHA256SUMS", tmp_path / "b")


def test_a_bundle_for_a_pi_zero_runs_on_this_machine(model: Path, tmp_path: Path) -> None:
    place = compiled(model, tmp_path / "bundle", "pi-zero")
    assert read_manifest(place).gpu is not None
    (line,) = lines_of(place, "classify-virtual")
    assert line.startswith("cc ")
    shell(line, place)
    shell("make bench-virtual", place)
    array = np.random.default_rng(5).normal(size=(1, 3, 8, 8)).astype(np.float32)
    array.tofile(place / "input.bin")
    np.save(place / "input.npy", array)
    python = f"{sys.executable} classify.py --program bench-virtual input.npy"
    for command in ("./classify-virtual input.bin", python):
        check(shell(command, place), wanted(model, array), tolerance=1e-3)
    assert '"gpu_kind": "simulated"' in shell("./bench-virtual --runs 1 --warmup 0 --json", place)


def test_a_network_of_two_inputs_has_no_program_for_a_picture(tmp_path: Path) -> None:
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("a", "b", "y")
    ]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "two", tensors[:2], tensors[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "two.onnx")
    place = compiled(tmp_path / "two.onnx", tmp_path / "bundle", "host")
    assert not list(place.glob("classify*"))
    assert "classify" not in (place / "README.md").read_text() + (place / "Makefile").read_text()
    shell("make", place)
    assert "| `a` | 1 x 3 x 8 x 8 | float32 | 768 |" in (place / "README.md").read_text()


def test_a_bundle_written_over_another_leaves_nothing_of_it(model: Path, tmp_path: Path) -> None:
    place = compiled(model, tmp_path / "bundle", "pi-zero")
    assert (place / "virtual" / "v3d.c").is_file() and (place / "model.qpu").is_file()
    compiled(model, place, "host")
    assert {path.relative_to(place).as_posix() for path in place.rglob("*")} == {
        *read_manifest(place).files,
        "manifest.json",
        "SHA256SUMS",
    }
