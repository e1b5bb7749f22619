"""What a network takes a picture for: `python3 classify.py cat.ppm`, with NumPy and this bundle's bench program."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
HERE = Path(__file__).resolve().parent


def interface(bundle: Path = HERE) -> dict[str, Any]:
    """manifest.json: among others `inputs` and `outputs`, each with `name`, `shape`, and `dtype` if not float32."""
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return found


def run(array: Array, program: str = "bench", bundle: Path = HERE) -> dict[str, Array]:
    """One inference on an array of the input's shape: the outputs by name. Raises SystemExit where bench fails."""
    description = interface(bundle)
    (tensor,) = description["inputs"]
    if list(array.shape) != tensor["shape"]:
        raise SystemExit(f"error: the array has the shape {list(array.shape)}, the input {tensor['shape']}")
    with tempfile.TemporaryDirectory() as place:
        source, result = Path(place, "input"), Path(place, "output")
        source.write_bytes(array.astype(_dtype(tensor)).tobytes())
        words = [
            str(bundle / program),
            "--bundle",
            str(bundle),
            "--input",
            str(source),
            "--output",
            str(result),
        ]
        try:
            ended = subprocess.run(
                [*words, "--runs", "1", "--warmup", "0", "--json"],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise SystemExit(
                f"error: {words[0]}: {error.strerror}; README.md says how to build it"
            ) from error
        if ended.returncode != 0:
            raise SystemExit(ended.stderr.strip())
        memory = result.read_bytes()
    outputs: dict[str, Array] = {}
    for tensor in description["outputs"]:
        dtype, count = _dtype(tensor), int(np.prod(tensor["shape"], dtype=np.int64))
        outputs[tensor["name"]] = np.frombuffer(memory, dtype, count).reshape(tensor["shape"])
        memory = memory[count * dtype.itemsize :]
    return outputs


def read_picture(path: Path) -> Array:
    """A binary PPM or PGM as bytes [height, width, channels]; raises SystemExit for any other file."""
    content = path.read_bytes()
    words: list[bytes] = []
    start = 0
    while len(words) < 4 and start < len(content):
        end = start
        while end < len(content) and not content[end : end + 1].isspace():
            end += 1
        if content[start : start + 1] == b"#":
            start = content.find(b"\n", start) + 1 or len(content)
            continue
        words += [content[start:end]] if end > start else []
        start = end + 1
    if (
        len(words) < 4
        or words[0] not in (b"P5", b"P6")
        or words[3] != b"255"
        or not all(map(bytes.isdigit, words[1:]))
    ):
        raise SystemExit(
            f"error: {path} is no binary PPM or PGM of 8 bits; README.md says how a JPEG becomes one"
        )
    width, height, channels = int(words[1]), int(words[2]), 3 if words[0] == b"P6" else 1
    if len(content) - start < width * height * channels:
        raise SystemExit(f"error: {path} ends before its last pixel")
    return np.frombuffer(content, np.uint8, width * height * channels, start).reshape(height, width, channels)


def prepared(picture: Array, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)) -> Array:
    """The picture as the input: its shorter side scaled to the input's, the middle cut out, then for floating inputs
    values from 0 to 1, less `mean`, over `std`, of each channel.
    """
    (tensor,) = interface()["inputs"]
    _, *sizes = tensor["shape"]
    first = sizes[0] in (1, 3)
    channels, height, width = sizes if first else (sizes[2], sizes[0], sizes[1])
    if picture.shape[2] < channels:
        picture = np.repeat(picture, channels, axis=2)
    elif picture.shape[2] > channels:
        grey = (picture.astype(np.uint32) @ np.array([299, 587, 114], np.uint32) + 500) // 1000
        picture = grey.astype(np.uint8)[:, :, None]
    ratio = max(width / picture.shape[1], height / picture.shape[0])
    across, down = (max(1, round(side * ratio)) for side in (picture.shape[1], picture.shape[0]))
    picture = _bytes(np.einsum("ow,hwc->hoc", _triangles(picture.shape[1], across), picture))
    picture = _bytes(np.einsum("oh,hwc->owc", _triangles(picture.shape[0], down), picture))
    left, top = (across - width) // 2, (down - height) // 2
    cut = picture[top : top + height, left : left + width]
    values = cut if _dtype(tensor) == np.uint8 else (cut / 255.0 - np.array(mean)) / np.array(std)
    array: Array = (values.transpose(2, 0, 1) if first else values)[None].astype(_dtype(tensor))
    return array


def _dtype(tensor: dict[str, Any]) -> np.dtype[Any]:
    named: np.dtype[Any] = np.dtype(tensor.get("dtype", "float32"))
    return named.newbyteorder("<")


def _bytes(values: Array) -> Array:
    return np.floor(values + 0.5).astype(np.uint8)


def _triangles(count: int, wanted: int) -> Array:
    """Weights [wanted, count]: triangles as wide as the pixel that is made, or as one of the picture."""
    scale = count / wanted
    middles = (np.arange(wanted)[:, None] + 0.5) * scale
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(count) + 0.5 - middles) / max(scale, 1.0))
    normalised: Array = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def main() -> None:
    """What USAGE of classify.c says, and arrays of NumPy's."""
    parser = argparse.ArgumentParser(description="What a network takes a picture for.")
    parser.add_argument("file", type=Path, help="a picture (*.ppm, *.pgm), or the input as an array (*.npy)")
    parser.add_argument(
        "--mean", type=_numbers, default=(0.0,), help="of the channels, where bytes are 0 to 1"
    )
    parser.add_argument("--std", type=_numbers, default=(1.0,), help="of the channels likewise")
    parser.add_argument("--labels", type=Path, help="names of the classes, one a line")
    parser.add_argument("--top", type=int, default=5, help="classes to show of each output")
    parser.add_argument("--program", default="bench", help="that runs the network: bench, bench-virtual")
    chosen = parser.parse_args()
    try:
        _show(chosen)
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


def _show(chosen: argparse.Namespace) -> None:
    labels = chosen.labels.read_text(encoding="utf-8").splitlines() if chosen.labels else []
    if chosen.file.suffix == ".npy":
        array = np.load(chosen.file, allow_pickle=False)
    else:
        array = prepared(read_picture(chosen.file), chosen.mean, chosen.std)
    for name, output in run(array, chosen.program).items():
        values = output.reshape(-1)
        if labels and len(labels) != values.size:
            raise SystemExit(f"error: {len(labels)} labels for the {values.size} values of output {name!r}")
        lines = [
            f"{i:6}  {values[i]:10.4f}" + (f"  {labels[i]}" if labels else "")
            for i in np.argsort(-values, kind="stable")[: chosen.top]
        ]
        sys.stdout.write("\n".join([name, *lines]) + "\n")


if __name__ == "__main__":
    main()
