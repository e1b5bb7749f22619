"""The architectures of the study of breadth: exports of torchvision, timm and small modules, with seeded weights.

Weights are drawn, never fetched; each layer is scaled so that what it gives has the variance 1, and the statistics of
batch normalisation are the first input's, one variance for all channels, so that activations neither vanish nor grow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 17
SEED = 0


@dataclass(frozen=True)
class Architecture:
    """A network of a family; `shape` of its one input, `words` where that has integers below it."""

    name: str
    family: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: int = 0


def missing() -> str:
    """Why nothing can be exported here; empty where all packages are there."""
    try:
        import timm  # noqa: F401
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        return f"torch, torchvision and timm are wanted: {error}"
    return ""


def _vision(name: str, family: str, size: int = 64, **options: Any) -> Architecture:
    def build() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, **options)

    return Architecture(name, family, build, (1, 3, size, size))


def _timm(name: str, family: str, size: int = 64, **options: Any) -> Architecture:
    def build() -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False, **options)

    return Architecture(name, family, build, (1, 3, size, size))


def _segmenter(name: str, family: str, size: int = 64) -> Architecture:
    def build() -> nn.Module:
        from torch import nn
        from torchvision import models

        class Out(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = models.get_model(name, weights=None, weights_backbone=None)

            def forward(self, x: Tensor) -> Tensor:
                return self.net(x)["out"]

        return Out()

    return Architecture(name, family, build, (1, 3, size, size))


def _detector(name: str, family: str, size: int) -> Architecture:
    def build() -> nn.Module:
        from torch import nn
        from torchvision import models

        class Flat(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = models.get_model(name, weights=None, weights_backbone=None)

            def forward(self, x: Tensor) -> tuple[Tensor, ...]:
                found = self.net([x[0]])[0]
                return found["boxes"], found["scores"], found["labels"]

        return Flat()

    return Architecture(name, family, build, (1, 3, size, size))


def _own(
    name: str, family: str, make: str, shape: tuple[int, ...], words: int = 0, **options: Any
) -> Architecture:
    def build() -> nn.Module:
        from tests.networks import own_modules

        return getattr(own_modules, make)(**options)

    return Architecture(name, family, build, shape, words)


ARCHITECTURES = (
    _own("dncnn", "DnCNN", "dncnn", (1, 1, 32, 32)),
    _own("espcn", "ESPCN", "espcn", (1, 1, 32, 32)),
    _own("fsrcnn", "FSRCNN", "fsrcnn", (1, 1, 24, 24)),
    _own("dcgan", "DCGAN", "dcgan", (1, 64, 1, 1)),
    _own("unet", "U-Net", "UNet", (1, 3, 32, 32)),
    _own("m5", "M5", "m5", (1, 1, 8000)),
    _own("ds_cnn", "DS-CNN", "ds_cnn", (1, 1, 49, 10)),
    _own("conv_tasnet", "Conv-TasNet", "ConvTasNet", (1, 1, 800)),
    _own("wav2vec2_tiny", "wav2vec 2.0", "Wav2Vec", (1, 1, 3200)),
    _own("bert_tiny", "BERT", "Words", (1, 16), 256, causal=False),
    _own("gpt_tiny", "GPT", "Words", (1, 16), 256, causal=True),
    _own("lstm", "LSTM", "Recurrent", (1, 24, 20), kind="LSTM"),
    _own("bilstm", "LSTM", "Recurrent", (1, 24, 20), kind="LSTM", both=True),
    _own("gru", "GRU", "Recurrent", (1, 24, 20), kind="GRU"),
    _own("crnn", "CRNN", "Crnn", (1, 1, 32, 64)),
    _own("tcn", "TCN", "Tcn", (1, 8, 64)),
    _own("pointnet", "PointNet", "PointNet", (1, 3, 128)),
    _own("blazeface", "BlazeFace", "BlazeFace", (1, 3, 64, 64)),
    _vision("squeezenet1_1", "SqueezeNet"),
    _vision("mobilenet_v2", "MobileNet v2"),
    _vision("mobilenet_v3_small", "MobileNet v3"),
    _vision("mobilenet_v3_large", "MobileNet v3"),
    _vision("shufflenet_v2_x0_5", "ShuffleNet v2"),
    _vision("shufflenet_v2_x1_0", "ShuffleNet v2"),
    _vision("mnasnet0_5", "MnasNet"),
    _vision("resnet18", "ResNet"),
    _vision("googlenet", "GoogLeNet", aux_logits=False, init_weights=False),
    _vision("densenet121", "DenseNet"),
    _vision("efficientnet_b0", "EfficientNet"),
    _vision("regnet_x_400mf", "RegNet"),
    _vision("regnet_y_400mf", "RegNet"),
    _timm("ghostnet_050", "GhostNet"),
    _timm("efficientnet_lite0", "EfficientNet"),
    _timm("lcnet_050", "LCNet"),
    _timm("tinynet_e", "TinyNet"),
    _timm("mobilenetv4_conv_small", "MobileNet v4"),
    _timm("mobileone_s0", "MobileOne"),
    _timm("repvgg_a0", "RepVGG"),
    _timm("mixnet_s", "MixNet"),
    _timm("rexnet_100", "ReXNet"),
    _timm("fbnetc_100", "FBNet"),
    _timm("hardcorenas_a", "HardCoRe-NAS"),
    _timm("ese_vovnet19b_dw", "VoVNet"),
    _timm("hrnet_w18_small", "HRNet"),
    _timm("dla46_c", "DLA"),
    _timm("selecsls42b", "SelecSLS"),
    _timm("skresnet18", "SKNet"),
    _timm("resnest14d", "ResNeSt"),
    _timm("starnet_s1", "StarNet"),
    _timm("vit_tiny_patch16_224", "ViT", img_size=64),
    _timm("deit_tiny_patch16_224", "DeiT", img_size=64),
    _timm("mixer_s32_224", "MLP-Mixer", img_size=64),
    _timm("resmlp_12_224", "ResMLP", img_size=64),
    _timm("gmlp_ti16_224", "gMLP", img_size=64),
    _timm("poolformer_s12", "PoolFormer"),
    _timm("edgenext_xx_small", "EdgeNeXt"),
    _timm("mobilevit_xxs", "MobileViT"),
    _timm("mobilevitv2_050", "MobileViT"),
    _timm("pvt_v2_b0", "PVT v2"),
    _timm("efficientformer_l1", "EfficientFormer", 224),
    _timm("efficientvit_b0", "EfficientViT"),
    _timm("convnext_atto", "ConvNeXt"),
    _timm("fastvit_t8", "FastViT"),
    _timm("repghostnet_050", "RepGhostNet"),
    _timm("xcit_nano_12_p16_224", "XCiT", img_size=64),
    _timm("levit_128s", "LeViT", 224),
    _segmenter("lraspp_mobilenet_v3_large", "LR-ASPP"),
    _segmenter("deeplabv3_mobilenet_v3_large", "DeepLab v3"),
    _segmenter("fcn_resnet50", "FCN"),
    _vision("alexnet", "AlexNet", 224),
    _detector("ssdlite320_mobilenet_v3_large", "SSDLite", 320),
    _detector("fasterrcnn_mobilenet_v3_large_320_fpn", "Faster R-CNN", 160),
    _detector("retinanet_resnet50_fpn", "RetinaNet", 160),
    _vision("inception_v3", "Inception v3", 96, aux_logits=False, init_weights=False),
)


def export(architecture: Architecture, path: Path) -> None:
    """Writes the network as ONNX, its seeded weights scaled layer by layer."""
    import torch

    torch.manual_seed(SEED)
    net = architecture.build().eval()
    shape, words = architecture.shape, architecture.words
    example = torch.randint(0, words, shape) if words else torch.randn(shape)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        _keep_variance(net, example)
        net(example)  # exporters fix what the first call leaves open
        torch.onnx.export(
            net,
            (example,),
            str(path),
            input_names=["x"],
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )


def _keep_variance(net: nn.Module, example: Tensor) -> None:
    from torch import nn

    hooks = []
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            hooks.append(module.register_forward_pre_hook(_take_statistics))
        elif isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
            hooks.append(module.register_forward_hook(_scale))
    for _ in range(2):  # modules that are called twice are scaled twice
        net(example)
    for hook in hooks:
        hook.remove()


def _take_statistics(module: Any, given: tuple[Tensor, ...]) -> None:
    x = given[0]
    if x.numel() // x.shape[1] > 1 and module.running_var is not None:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        module.running_mean.copy_(x.mean(axes))
        module.running_var.fill_(max(float(x.var(axes).mean()), 1e-2))


def _scale(module: Any, given: tuple[Tensor, ...], result: Tensor) -> Tensor:
    spread = float(result.std()) if result.numel() > 1 else 1.0
    if not 1e-6 < spread < 1e6:
        return result
    module.weight.div_(spread)
    if module.bias is not None:
        module.bias.div_(spread)
    return result / spread
