"""Small networks for images that torchvision and timm do not have: detection, segmentation, restoration, old nets."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv(
    before: int, after: int, taps: int = 3, stride: int = 1, act: type[nn.Module] = nn.SiLU
) -> nn.Module:
    """A convolution, normalised, with an activation."""
    return nn.Sequential(
        nn.Conv2d(before, after, taps, stride, taps // 2, bias=False), nn.BatchNorm2d(after), act()
    )


class Yolo(nn.Module):
    """YOLOv8 (Jocher 2023) in small: boxes from distributions of distances, classes, no anchors."""

    def __init__(self, classes: int = 20, bins: int = 16) -> None:
        super().__init__()
        self.classes, self.bins = classes, bins
        self.fine = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), TwoWays(32))
        self.coarse = nn.Sequential(conv(32, 64, 3, 2), TwoWays(64), PooledPyramid(64))
        self.boxes = nn.ModuleList(self._head(width, 4 * bins) for width in (32, 64))
        self.scores = nn.ModuleList(self._head(width, classes) for width in (32, 64))

    def _head(self, width: int, outputs: int) -> nn.Module:
        return nn.Sequential(conv(width, 32), nn.Conv2d(32, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        levels = (fine, self.coarse(fine))
        found = [
            torch.cat((box(level), score(level)), 1).flatten(2)
            for level, box, score in zip(levels, self.boxes, self.scores, strict=True)
        ]
        boxes, scores = torch.cat(found, 2).split((4 * self.bins, self.classes), 1)
        shares = boxes.view(x.shape[0], 4, self.bins, -1).softmax(2)
        distances = (shares * torch.arange(self.bins).float().view(1, 1, -1, 1)).sum(2)
        centers, strides = self._centers(levels, x.shape[-1])
        low, high = centers - distances[:, :2], centers + distances[:, 2:]
        return torch.cat(((low + high) / 2 * strides, (high - low) * strides, scores.sigmoid()), 1)

    def _centers(self, levels: tuple[Tensor, ...], size: int) -> tuple[Tensor, Tensor]:
        """Centers (1, 2, places) of the cells of all levels, and the width (1, places) of each cell in pixels."""
        centers, strides = [], []
        for level in levels:
            height, width = level.shape[-2:]
            y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
            centers.append(torch.stack((x, y)).flatten(1))
            strides.append(torch.full((1, height * width), float(size // width)))
        return torch.cat(centers, 1)[None], torch.cat(strides, 1)


class YoloDetections(nn.Module):
    """YOLOv8 with its suppression: boxes (most, 4), scores and labels of what is kept, and behind these zeros."""

    def __init__(self, candidates: int = 40, most: int = 20, overlap: float = 0.3) -> None:
        super().__init__()
        self.net, self.candidates, self.most, self.overlap = Yolo(), candidates, most, overlap

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        from torchvision.ops import nms

        found = self.net(x)[0].T
        scores, labels = found[:, 4:].max(1)
        scores, places = scores.topk(self.candidates)
        centers, half = found[places, :2], found[places, 2:4] / 2
        boxes = torch.cat((centers - half, centers + half), 1)
        kept = nms(boxes, scores, self.overlap)[: self.most]
        rows = torch.cat((boxes[kept], scores[kept, None], labels[places][kept, None].float()), 1)
        rows = nn.functional.pad(rows, (0, 0, 0, self.most - rows.shape[0]))
        return rows[:, :4], rows[:, 4], rows[:, 5]


class TwoWays(nn.Module):
    """Half of the channels through residual blocks, and every step of it kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.into, self.out = conv(width, width, 1), conv(2 * width, width, 1)
        self.blocks = nn.ModuleList(nn.Sequential(conv(half, half), conv(half, half)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        kept = list(self.into(x).chunk(2, 1))
        for block in self.blocks:
            kept.append(kept[-1] + block(kept[-1]))
        return self.out(torch.cat(kept, 1))


class PooledPyramid(nn.Module):
    """Maxima of growing windows beside each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.out = conv(width, width // 2, 1), conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.into(x)]
        for _ in range(3):
            kept.append(functional.max_pool2d(kept[-1], 5, 1, 2))
        return self.out(torch.cat(kept, 1))


class UNetPlusPlus(nn.Module):
    """U-Net++ (Zhou 2018) of three levels, every skip a chain of nodes."""

    def __init__(self, width: int = 8, classes: int = 2) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width)
        self.nodes = nn.ModuleDict()
        for level, size in enumerate(sizes):
            self.nodes[f"{level}0"] = conv(sizes[level - 1] if level else 3, size, act=nn.ReLU)
            for place in range(1, 3 - level):
                self.nodes[f"{level}{place}"] = conv(place * size + sizes[level + 1], size, act=nn.ReLU)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: dict[tuple[int, int], Tensor] = {}
        for place in range(3):
            for level in range(3 - place):
                if place == 0:
                    given = x if level == 0 else functional.max_pool2d(kept[level - 1, 0], 2)
                else:
                    below = kept[level + 1, place - 1]
                    up = functional.interpolate(below, scale_factor=2, mode="bilinear", align_corners=True)
                    given = torch.cat([*(kept[level, other] for other in range(place)), up], 1)
                kept[level, place] = self.nodes[f"{level}{place}"](given)
        return self.head(kept[0, 2])


class NafNet(nn.Module):
    """NAFNet (Chen 2022) in small: restoration without an activation, by products of channels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.before, self.middle, self.behind = NafBlock(width), NafBlock(2 * width), NafBlock(width)
        self.down = nn.Conv2d(width, 2 * width, 2, 2)
        self.up = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        kept = self.before(self.first(x))
        return x + self.last(self.behind(self.up(self.middle(self.down(kept))) + kept))


class NafBlock(nn.Module):
    """Gated depthwise convolution and gated pointwise ones, each behind a normalisation over channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.wide = nn.Conv2d(width, 2 * width, 1)
        self.deep = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention, self.narrow = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.wider, self.narrower = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = _gated(self.deep(self.wide(self._normed(0, x))))
        x = x + self.narrow(found * self.attention(functional.adaptive_avg_pool2d(found, 1)))
        return x + self.narrower(_gated(self.wider(self._normed(1, x))))

    def _normed(self, index: int, x: Tensor) -> Tensor:
        return self.norms[index](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _gated(x: Tensor) -> Tensor:
    one, other = x.chunk(2, 1)
    return one * other


class SrGan(nn.Module):
    """The generator of SRGAN (Ledig 2017) in small."""

    def __init__(self, width: int = 32, blocks: int = 2) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(width, width, act=nn.PReLU), conv(width, width, act=nn.Identity))
            for _ in range(blocks)
        )
        self.up = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.PReLU(),
            nn.Conv2d(width, 3, 9, padding=4),
        )

    def forward(self, x: Tensor) -> Tensor:
        first = found = self.first(x)
        for block in self.blocks:
            found = found + block(found)
        return (torch.tanh(self.up(first + found)) + 1) / 2


class Flow(nn.Module):
    """Optical flow between two images, refined twice by warping (after SPyNet, Ranjan 2017)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv(3, width, 3, 2, nn.LeakyReLU), conv(width, width, act=nn.LeakyReLU)
        )
        self.change = nn.Sequential(conv(2 * width + 2, 32, act=nn.LeakyReLU), nn.Conv2d(32, 2, 3, padding=1))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        first, second = self.features(x), self.features(other)
        height, width = first.shape[-2:]
        y, across = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        places = torch.stack((across, y), -1)[None]
        flow = torch.zeros_like(first[:, :2])
        for _ in range(2):
            moved = places + 0.1 * flow.permute(0, 2, 3, 1)
            warped = functional.grid_sample(second, moved, padding_mode="border", align_corners=True)
            flow = flow + self.change(torch.cat((first, warped, flow), 1))
        return functional.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)


def lenet(classes: int = 10) -> nn.Module:
    """LeNet-5 (LeCun 1998) with sigmoids and means."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, classes),
    )


class SqueezeNext(nn.Module):
    """SqueezeNext (Gholami 2018) in small: 3x1 and 1x3 convolutions between two squeezes."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            conv(3, 32, 5, 2, nn.ReLU),
            *(SqueezedBlock(*sizes) for sizes in ((32, 32, 1), (32, 64, 2), (64, 64, 1))),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean((2, 3)))


class SqueezedBlock(nn.Module):
    """Two squeezes, a separated window, an expansion, beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        half, quarter = before // 2, before // 4
        self.way = nn.Sequential(
            conv(before, half, 1, stride, nn.ReLU),
            conv(half, quarter, 1, act=nn.ReLU),
            nn.Conv2d(quarter, half, (1, 3), padding=(0, 1), bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, (3, 1), padding=(1, 0), bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            conv(half, after, 1, act=nn.ReLU),
        )
        is_same = before == after and stride == 1
        self.beside = nn.Identity() if is_same else conv(before, after, 1, stride, nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.way(x) + self.beside(x))


class NasNet(nn.Module):
    """Two normal cells of NASNet-A (Zoph 2018): separable convolutions and means beside each other."""

    def __init__(self, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.stem = conv(3, 2 * width, 3, 2)
        self.cells = nn.ModuleList(NasCell(before, 2 * width, width) for before in (2 * width, 6 * width))
        self.head = nn.Linear(6 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        first, second = self.cells
        return self.head(torch.relu(second(first(stem, stem), stem)).mean((2, 3)))


class NasCell(nn.Module):
    """A cell of five pairs, of the last result and of the one before."""

    def __init__(self, last: int, earlier: int, width: int) -> None:
        super().__init__()
        self.last, self.earlier = conv(last, width, 1), conv(earlier, width, 1)
        self.separable = nn.ModuleList(_separable(width, taps) for taps in (5, 3, 5, 3, 3))

    def forward(self, last: Tensor, earlier: Tensor) -> Tensor:
        new, old = self.last(last), self.earlier(earlier)
        a, b, c, d, e = self.separable
        pairs = (a(new) + b(old), c(old) + d(old), _mean(new) + old, _mean(old) + _mean(old), e(new) + new)
        return torch.cat((old, *pairs), 1)


def _mean(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _separable(width: int, taps: int) -> nn.Module:
    parts: list[nn.Module] = []
    for _ in range(2):
        parts += [
            nn.ReLU(),
            nn.Conv2d(width, width, taps, padding=taps // 2, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        ]
    return nn.Sequential(*parts)
