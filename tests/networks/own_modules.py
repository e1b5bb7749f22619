"""Small networks of families that torchvision and timm do not have, as their papers draw them."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """U-Net (Ronneberger 2015) of three levels, its up-convolutions transposed ones."""

    def __init__(self, width: int = 16, classes: int = 4) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _double(before, after)
            for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width))
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(size, size // 2, 2, stride=2) for size in (4 * width, 2 * width)
        )
        self.join = nn.ModuleList(_double(size, size // 2) for size in (4 * width, 2 * width))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, reversed(kept[:-1]), strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


def _double(before: int, after: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for size in (before, after):
        parts += [nn.Conv2d(size, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*parts)


def dncnn(width: int = 32, depth: int = 8) -> nn.Module:
    """DnCNN (Zhang 2017): the noise of a grey image."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))


def espcn(factor: int = 3) -> nn.Module:
    """ESPCN (Shi 2016): upscaling by a pixel shuffle."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 5, padding=2),
        nn.Tanh(),
        nn.Conv2d(64, 32, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(32, factor**2, 3, padding=1),
        nn.PixelShuffle(factor),
    )


def fsrcnn(factor: int = 2) -> nn.Module:
    """FSRCNN (Dong 2016): upscaling by a transposed convolution."""
    middle = [part for _ in range(4) for part in (nn.Conv2d(12, 12, 3, padding=1), nn.PReLU(12))]
    return nn.Sequential(
        nn.Conv2d(1, 56, 5, padding=2),
        nn.PReLU(56),
        nn.Conv2d(56, 12, 1),
        nn.PReLU(12),
        *middle,
        nn.Conv2d(12, 56, 1),
        nn.PReLU(56),
        nn.ConvTranspose2d(56, 1, 9, factor, 4, output_padding=factor - 1),
    )


def dcgan(latent: int = 64, width: int = 16) -> nn.Module:
    """The generator of DCGAN (Radford 2016)."""
    sizes = (latent, 4 * width, 2 * width, width)
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise(sizes)):
        stride, padding = (2, 1) if index else (1, 0)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())


def m5(classes: int = 35) -> nn.Module:
    """M5 (Dai 2017): commands from a waveform."""
    layers: list[nn.Module] = []
    for before, after, taps, stride in ((1, 32, 80, 16), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        layers += [nn.Conv1d(before, after, taps, stride), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(4)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, classes))


def ds_cnn(width: int = 64, classes: int = 12) -> nn.Module:
    """DS-CNN (Zhang 2017): key words from 49 frames of 10 coefficients."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, (10, 4), 2, (5, 1)), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


class ConvTasNet(nn.Module):
    """Conv-TasNet (Luo 2019): two voices from one waveform, masks by dilated depthwise convolutions."""

    def __init__(self, filters: int = 64, width: int = 32, hidden: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.filters = filters
        self.encoder = nn.Conv1d(1, filters, 16, 8, bias=False)
        self.first = nn.Sequential(nn.GroupNorm(1, filters), nn.Conv1d(filters, width, 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, hidden, 1),
                nn.PReLU(),
                nn.GroupNorm(1, hidden),
                nn.Conv1d(hidden, hidden, 3, padding=2**i, dilation=2**i, groups=hidden),
                nn.PReLU(),
                nn.GroupNorm(1, hidden),
                nn.Conv1d(hidden, width, 1),
            )
            for i in range(blocks)
        )
        self.masks = nn.Sequential(nn.PReLU(), nn.Conv1d(width, 2 * filters, 1), nn.Sigmoid())
        self.decoder = nn.ConvTranspose1d(filters, 1, 16, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        coded = torch.relu(self.encoder(x))
        state = self.first(coded)
        for block in self.blocks:
            state = state + block(state)
        masks = self.masks(state).reshape(-1, 2, self.filters, coded.shape[-1])
        voices = (masks * coded.unsqueeze(1)).reshape(-1, self.filters, coded.shape[-1])
        return self.decoder(voices)


class Wav2Vec(nn.Module):
    """wav2vec 2.0 (Baevski 2020) in small: convolutions over a waveform, then a transformer."""

    def __init__(self, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, taps, stride in ((1, 10, 5), (width, 3, 2), (width, 3, 2), (width, 3, 2), (width, 2, 2)):
            parts += [nn.Conv1d(before, width, taps, stride), nn.GroupNorm(1, width), nn.GELU()]
        self.features = nn.Sequential(*parts)
        self.places = nn.Conv1d(width, width, 16, padding=8, groups=8)
        self.layers = nn.ModuleList(Layer(width, 4) for _ in range(layers))
        self.head = nn.Linear(width, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = (x + nn.functional.gelu(self.places(x)[:, :, :-1])).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Layer(nn.Module):
    """A transformer's layer: attention and two linear ones, normalised before or behind."""

    def __init__(self, width: int, heads: int, *, before: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.before, self.causal = heads, before, causal
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        if self.before:
            x = x + self.attended(self.norms[0](x))
            return x + self.narrow(nn.functional.gelu(self.wide(self.norms[1](x))))
        x = self.norms[0](x + self.attended(x))
        return self.norms[1](x + self.narrow(nn.functional.gelu(self.wide(x))))

    def attended(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = (part.reshape(shape).transpose(1, 2) for part in self.into(x).chunk(3, -1))
        scores = q @ k.transpose(2, 3) / math.sqrt(width // self.heads)
        if self.causal:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -1e4)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))


class Words(nn.Module):
    """BERT (Devlin 2019) or GPT-2 (Radford 2019) in small, on numbers of words."""

    def __init__(
        self, *, causal: bool, width: int = 64, layers: int = 2, words: int = 256, length: int = 16
    ) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Parameter(torch.randn(length, width))
        self.layers = nn.ModuleList(Layer(width, 4, before=causal, causal=causal) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, numbers: Tensor) -> Tensor:
        x = self.words(numbers) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Recurrent(nn.Module):
    """Layers of an LSTM or a GRU over frames, and a class from the last state."""

    def __init__(self, kind: str, *, both: bool = False, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.net = getattr(nn, kind)(20, width, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width * (2 if both else 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        every, _ = self.net(x)
        return self.head(every[:, -1])


class Crnn(nn.Module):
    """CRNN (Shi 2017): text lines by convolutions and a bidirectional LSTM."""

    def __init__(self, classes: int = 37) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, pool in ((1, 16, (2, 2)), (16, 32, (2, 2)), (32, 48, (2, 1)), (48, 64, (4, 1))):
            layers += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(pool),
            ]
        self.features = nn.Sequential(*layers)
        self.net, self.head = nn.LSTM(64, 32, bidirectional=True), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.features(x).squeeze(2).permute(2, 0, 1)
        return self.head(self.net(columns)[0]).log_softmax(-1)


class Tcn(nn.Module):
    """TCN (Bai 2018): dilated causal convolutions over frames."""

    def __init__(self, width: int = 32, levels: int = 4) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Conv1d(8 if level == 0 else width, width, 3, padding=2 * 2**level, dilation=2**level)
            for level in range(levels)
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        for level, conv in enumerate(self.levels):
            found = torch.relu(conv(x)[:, :, : -2 * 2**level])
            x = found if level == 0 else found + x
        return self.head(x[:, :, -1])


class PointNet(nn.Module):
    """PointNet (Qi 2017) without its transformers: a class of a cloud of points."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        sizes = (3, 64, 64, 128, 256)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after), nn.ReLU()]
        self.points = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.points(x).max(-1).values)


class BlazeFace(nn.Module):
    """BlazeFace (Bazarevsky 2019) in small: 5x5 depthwise blocks, anchors at two scales."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 5, 2, 2)
        self.fine = nn.Sequential(*(BlazeBlock(width, 2 if index == 1 else 1) for index in range(4)))
        self.coarse = nn.Sequential(BlazeBlock(width, 2), BlazeBlock(width, 1))
        self.heads = nn.ModuleList(nn.Conv2d(width, count * 17, 1) for count in (2, 6))

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(torch.relu(self.first(x)))
        found = [head(part) for head, part in zip(self.heads, (fine, self.coarse(fine)), strict=True)]
        return torch.cat([part.permute(0, 2, 3, 1).reshape(part.shape[0], -1, 17) for part in found], 1)


class BlazeBlock(nn.Module):
    """A depthwise and a pointwise convolution beside a shortcut."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.way = nn.Sequential(
            nn.Conv2d(width, width, 5, stride, 2, groups=width), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        beside = nn.functional.max_pool2d(x, 2) if self.stride == 2 else x
        return torch.relu(self.way(x) + beside)
