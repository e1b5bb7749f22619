"""Small networks for speech, sound and words that read states or come from newer papers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.networks.own_modules import Layer


class Conformer(nn.Module):
    """A block of Conformer (Gulati 2020) behind two strided convolutions: letters from (batch, frames, bands)."""

    def __init__(self, bands: int = 40, width: int = 48, letters: int = 30) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3, 2), nn.ReLU())
        self.into = nn.Linear(16 * (((bands - 1) // 2 - 1) // 2), width)
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
            )
            for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = Layer(width, 4)
        self.convolution = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1),
            nn.GLU(1),
            nn.Conv1d(width, width, 15, padding=7, groups=width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 1),
        )
        self.head = nn.Linear(width, letters)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(self.stem(x[:, None]).transpose(1, 2).flatten(2))
        x = x + 0.5 * self.steps[0](x)
        x = x + self.attention.attended(self.norms[0](x))
        x = x + self.convolution(self.norms[1](x).transpose(1, 2)).transpose(1, 2)
        return self.head(self.norms[2](x + 0.5 * self.steps[1](x))).log_softmax(-1)


class Llama(nn.Module):
    """LLaMA (Touvron 2023) in small with a cache: numbers of words (batch, new) and earlier keys and values (batch,
    2 * layers, groups, earlier, width of a head) give scores of words and the keys and values of all.
    """

    def __init__(
        self, width: int = 64, heads: int = 4, groups: int = 2, layers: int = 2, words: int = 256
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.layers = nn.ModuleList(CachedLayer(width, heads, groups) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, numbers: Tensor, earlier: Tensor) -> tuple[Tensor, Tensor]:
        x, kept = self.words(numbers), []
        for index, layer in enumerate(self.layers):
            x, keys, values = layer(x, earlier[:, 2 * index], earlier[:, 2 * index + 1])
            kept += [keys, values]
        return self.head(self.norm(x)), torch.stack(kept, 1)


class CachedLayer(nn.Module):
    """Attention of grouped queries with rotated places, and a gated layer."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.query, self.out = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(width, groups * self.size, bias=False) for _ in range(2))
        self.gate, self.wide = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.narrow = nn.Linear(2 * width, width, bias=False)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normed, before, new = self.norms[0](x), keys.shape[2], x.shape[1]
        query = self._rotated(self._split(self.query(normed), self.heads), before)
        keys = torch.cat((keys, self._rotated(self._split(self.key(normed), self.groups), before)), 2)
        values = torch.cat((values, self._split(self.value(normed), self.groups)), 2)
        scores = query @ self._repeated(keys).transpose(2, 3) / math.sqrt(self.size)
        later = torch.full((new, before + new), -1e4).triu(before + 1)
        found = ((scores + later).softmax(-1) @ self._repeated(values)).transpose(1, 2)
        x = x + self.out(found.reshape(x.shape))
        normed = self.norms[1](x)
        return x + self.narrow(functional.silu(self.gate(normed)) * self.wide(normed)), keys, values

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(x.shape[0], x.shape[1], heads, self.size).transpose(1, 2)

    def _repeated(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.heads // self.groups, 1)

    def _rotated(self, x: Tensor, first: int) -> Tensor:
        """RoFormer (Su 2021): pairs of channels are turned by angles that grow with the place."""
        places = torch.arange(first, first + x.shape[2]).float()[:, None]
        angles = places * 10000.0 ** (-torch.arange(0, self.size, 2).float() / self.size)
        angles = torch.cat((angles, angles), -1)
        low, high = x.chunk(2, -1)
        return x * angles.cos() + torch.cat((-high, low), -1) * angles.sin()


class Demucs(nn.Module):
    """Demucs (Defossez 2019) in small: a U-Net over a waveform around a bidirectional LSTM."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = ((1, width), (width, 2 * width))
        self.down = nn.ModuleList(nn.Conv1d(before, after, 8, 4) for before, after in sizes)
        self.gates = nn.ModuleList(nn.Conv1d(after, 2 * after, 1) for _, after in sizes)
        self.net = nn.LSTM(2 * width, 2 * width, bidirectional=True)
        self.join = nn.Linear(4 * width, 2 * width)
        self.up = nn.ModuleList(nn.ConvTranspose1d(after, before, 8, 4) for before, after in sizes)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for down, gate in zip(self.down, self.gates, strict=True):
            x = functional.glu(gate(torch.relu(down(x))), 1)
            kept.append(x)
        x = x + self.join(self.net(x.permute(2, 0, 1))[0]).permute(1, 2, 0)
        x = torch.relu(self.up[1](x))
        return self.up[0](x + kept[0][..., : x.shape[-1]])
