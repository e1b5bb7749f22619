"""Images without a photographer, and statistics that keep activations sane.

Layers are initialised from data (Mishkin and Matas 2015, "All you need is a good init"): the statistics of
every batch normalisation are those of its own input on a batch of synthetic images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

MANTISSA_STEPS = 4096


def calibration_images(random: np.random.RandomState, resolution: int) -> Doubles:
    """A batch of (N, 3, resolution, resolution), each channel with mean 0 and deviation 1.

    Half of it is white noise, half noise that is smooth over eighths of the image, as photographs are. Small
    images come in larger batches, so that the last layers see enough pixels.
    """
    count = int(np.clip(round((224 / resolution) ** 2), 1, 32))
    white = random.standard_normal((count, 3, resolution, resolution))
    coarse = random.standard_normal((count, 3, 9, 9))
    images = np.concatenate([white, _enlarged(coarse, resolution)])
    centred = images - images.mean(axis=(2, 3), keepdims=True)
    return np.asarray(centred / centred.std(axis=(2, 3), keepdims=True))


def channel_statistics(value: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and variance of each channel of (N, C, H, W); no variance is below 1/100 of the average one.

    They are rounded to 12 bits because the last bits depend on the linear algebra library of the machine.
    """
    mean, variance = value.mean(axis=(0, 2, 3)), value.var(axis=(0, 2, 3))
    return _rounded(mean), _rounded(np.maximum(variance, 0.01 * variance.mean()))


def _enlarged(coarse: Doubles, resolution: int) -> Doubles:
    """Bilinear interpolation of (N, C, n, n) images."""
    size = coarse.shape[-1]
    position = np.linspace(0.0, size - 1.0, resolution)
    nodes = np.arange(size)
    weights = np.maximum(0.0, 1.0 - np.abs(position[:, None] - nodes[None, :]))
    return np.asarray(weights @ coarse @ weights.T)


def _rounded(value: Doubles) -> Doubles:
    mantissa, exponent = np.frexp(value)
    return np.ldexp(np.round(mantissa * MANTISSA_STEPS) / MANTISSA_STEPS, exponent)
