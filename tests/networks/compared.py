"""The twelve networks that the host's engines are compared on: `python -m tests.networks.compared DIR`.

Writes those that are not there yet as ONNX, with seeded weights but for the trained ones among the models that are
given. `explore run --device host` then searches each, and `explore bench cpu-peers` times them beside other engines.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.plans.network import write_zoo_model
from tests.networks.architectures import Architecture, export, missing, of_timm, of_torchvision, segmenter

if TYPE_CHECKING:
    from torch import nn

GIVEN = ("mobilenetv1_100_224", "mobilenetv2_100_224", "squeezenet1_1_224")
ZOO = ("resnet18",)
SIZE = 224


def _heads_of_ssdlite() -> nn.Module:
    """SSDLite320 of MobileNet v3 up to its scores and boxes: what is behind them is no engine's strength."""
    import torch
    from torch import Tensor, nn
    from torchvision import models

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole: Any = models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
            self.backbone, self.head = whole.backbone, whole.head

        def forward(self, x: Tensor) -> Tensor:
            found = self.head(list(self.backbone(x).values()))
            return torch.cat((found["bbox_regression"], found["cls_logits"]), 2)

    return Heads()


EXPORTED = (
    of_timm("efficientnet_lite0", "EfficientNet", SIZE),
    of_torchvision("mobilenet_v3_large", "MobileNet v3", SIZE),
    of_torchvision("resnet50", "ResNet", SIZE),
    of_torchvision("mnasnet1_0", "MnasNet", SIZE),
    of_torchvision("googlenet", "GoogLeNet", SIZE, aux_logits=False, init_weights=False),
    of_torchvision("densenet121", "DenseNet", SIZE),
    Architecture("ssdlite320_heads", "SSDLite", _heads_of_ssdlite, (1, 3, 320, 320)),
    segmenter("lraspp_mobilenet_v3_large", "LR-ASPP", SIZE),
)


def main() -> int:
    """Writes the files; 1 where some cannot be had here, each named with its reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.networks.compared", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--models", type=Path, default=Path("../shared/models"), help="the models that are given"
    )
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    lacking = [f"{name}: not among {options.models}" for name in GIVEN if not _copied(name, options)]
    for name in ZOO:
        write_zoo_model(name, options.directory / f"{name}.onnx")
    if reason := missing():
        lacking += [f"{one.name}: {reason}" for one in EXPORTED]
    else:
        for one in EXPORTED:
            path = options.directory / f"{one.name}.onnx"
            if not path.is_file():
                export(one, path)
    sys.stderr.writelines(f"{line}\n" for line in lacking)
    return 1 if lacking else 0


def _copied(name: str, options: argparse.Namespace) -> bool:
    source = options.models / f"{name}.onnx"
    if source.is_file():
        shutil.copy(source, options.directory)
    return source.is_file()


if __name__ == "__main__":
    sys.exit(main())
