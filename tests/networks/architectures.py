"""The architectures of the study of breadth: exports of torchvision, timm and small modules, with seeded weights.

Weights are drawn, never fetched, those too that training begins with at nothing, which would leave branches or all of
the network without effect. Each layer is scaled so that what it gives has the variance 1, and the statistics of batch
normalisation are those of several inputs, one variance for all channels, so that activations neither vanish nor grow:
those of a single input would be its own means, of few pixels in the end, and what another input differs by, rounding
too, would grow from layer to layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.networks.comparisons import BY_PLACE, AsSets, Comparison

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 17
NEWER = 18  # operator sets from it on are written by torch's newer exporter
SEED = 0
EXAMPLES = 16  # inputs whose statistics are taken
VANISHING = 1e-3  # the largest weight of a layer without effect


@dataclass(frozen=True)
class Architecture:
    """A network of a family; `shape` of its input, `words` where that has integers below it, and the shapes of
    `further` inputs, all with the batch first; how its outputs are compared. Operator sets from 18 on are written by
    torch's newer exporter.
    """

    name: str
    family: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: int = 0
    further: tuple[tuple[int, ...], ...] = ()
    opset: int = OPSET
    comparison: Comparison = BY_PLACE


def missing() -> str:
    """Why nothing can be exported here; empty where all packages are there."""
    try:
        import timm  # noqa: F401
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        return f"torch, torchvision and timm are wanted: {error}"
    return ""


def of_torchvision(name: str, family: str, size: int = 64, **options: Any) -> Architecture:
    def build() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, **options)

    return Architecture(name, family, build, (1, 3, size, size))


def of_timm(name: str, family: str, size: int = 64, **options: Any) -> Architecture:
    def build() -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False, **options)

    return Architecture(name, family, build, (1, 3, size, size))


def segmenter(name: str, family: str, size: int = 64) -> Architecture:
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


def detector(name: str, family: str, size: int, cut: AsSets, **options: float) -> Architecture:
    def build() -> nn.Module:
        from torch import nn
        from torchvision import models

        class Flat(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = models.get_model(name, weights=None, weights_backbone=None, **options)

            def forward(self, x: Tensor) -> tuple[Tensor, ...]:
                found = self.net([x[image] for image in range(x.shape[0])])[0]
                return found["boxes"], found["scores"], found["labels"]

        return Flat()

    return Architecture(name, family, build, (1, 3, size, size), comparison=cut)


def own(
    name: str,
    family: str,
    make: str,
    shape: tuple[int, ...],
    words: int = 0,
    further: tuple[tuple[int, ...], ...] = (),
    opset: int = OPSET,
    **options: Any,
) -> Architecture:
    """Of this folder: `make` is a name in `own_modules`, or `module.name`."""

    def build() -> nn.Module:
        module, _, maker = make.rpartition(".")
        return getattr(import_module(f"tests.networks.{module or 'own_modules'}"), maker)(**options)

    return Architecture(name, family, build, shape, words, further, opset)


SSDLITE = detector("ssdlite320_mobilenet_v3_large", "SSDLite", 320, AsSets(0.001, 300))

ARCHITECTURES = (
    own("dncnn", "DnCNN", "dncnn", (1, 1, 32, 32)),
    own("espcn", "ESPCN", "espcn", (1, 1, 32, 32)),
    own("fsrcnn", "FSRCNN", "fsrcnn", (1, 1, 24, 24)),
    own("dcgan", "DCGAN", "dcgan", (1, 64, 1, 1)),
    own("unet", "U-Net", "UNet", (1, 3, 32, 32)),
    own("m5", "M5", "m5", (1, 1, 8000)),
    own("ds_cnn", "DS-CNN", "ds_cnn", (1, 1, 49, 10)),
    own("conv_tasnet", "Conv-TasNet", "ConvTasNet", (1, 1, 800)),
    own("wav2vec2_tiny", "wav2vec 2.0", "Wav2Vec", (1, 1, 3200)),
    own("bert_tiny", "BERT", "Words", (1, 16), 256, causal=False),
    own("gpt_tiny", "GPT", "Words", (1, 16), 256, causal=True),
    own("lstm", "LSTM", "Recurrent", (1, 24, 20), kind="LSTM"),
    own("bilstm", "LSTM", "Recurrent", (1, 24, 20), kind="LSTM", both=True),
    own("gru", "GRU", "Recurrent", (1, 24, 20), kind="GRU"),
    own("crnn", "CRNN", "Crnn", (1, 1, 32, 64)),
    own("tcn", "TCN", "Tcn", (1, 8, 64)),
    own("pointnet", "PointNet", "PointNet", (1, 3, 128)),
    own("blazeface", "BlazeFace", "BlazeFace", (1, 3, 64, 64)),
    of_torchvision("squeezenet1_1", "SqueezeNet"),
    of_torchvision("mobilenet_v2", "MobileNet v2"),
    of_torchvision("mobilenet_v3_small", "MobileNet v3"),
    of_torchvision("mobilenet_v3_large", "MobileNet v3"),
    of_torchvision("shufflenet_v2_x0_5", "ShuffleNet v2"),
    of_torchvision("shufflenet_v2_x1_0", "ShuffleNet v2"),
    of_torchvision("mnasnet0_5", "MnasNet"),
    of_torchvision("resnet18", "ResNet"),
    of_torchvision("googlenet", "GoogLeNet", aux_logits=False, init_weights=False),
    of_torchvision("densenet121", "DenseNet"),
    of_torchvision("efficientnet_b0", "EfficientNet"),
    of_torchvision("regnet_x_400mf", "RegNet"),
    of_torchvision("regnet_y_400mf", "RegNet"),
    of_timm("ghostnet_050", "GhostNet"),
    of_timm("efficientnet_lite0", "EfficientNet"),
    of_timm("lcnet_050", "LCNet"),
    of_timm("tinynet_e", "TinyNet"),
    of_timm("mobilenetv4_conv_small", "MobileNet v4"),
    of_timm("mobileone_s0", "MobileOne"),
    of_timm("repvgg_a0", "RepVGG"),
    of_timm("mixnet_s", "MixNet"),
    of_timm("rexnet_100", "ReXNet"),
    of_timm("fbnetc_100", "FBNet"),
    of_timm("hardcorenas_a", "HardCoRe-NAS"),
    of_timm("ese_vovnet19b_dw", "VoVNet"),
    of_timm("hrnet_w18_small", "HRNet"),
    of_timm("dla46_c", "DLA"),
    of_timm("selecsls42b", "SelecSLS"),
    of_timm("skresnet18", "SKNet"),
    of_timm("resnest14d", "ResNeSt"),
    of_timm("starnet_s1", "StarNet"),
    of_timm("vit_tiny_patch16_224", "ViT", img_size=64),
    of_timm("deit_tiny_distilled_patch16_224", "DeiT", img_size=64),
    of_timm("mixer_s32_224", "MLP-Mixer", img_size=64),
    of_timm("resmlp_12_224", "ResMLP", img_size=64),
    of_timm("gmlp_ti16_224", "gMLP", img_size=64),
    of_timm("poolformer_s12", "PoolFormer"),
    of_timm("edgenext_xx_small", "EdgeNeXt"),
    of_timm("mobilevit_xxs", "MobileViT"),
    of_timm("mobilevitv2_050", "MobileViT"),
    of_timm("pvt_v2_b0", "PVT v2"),
    of_timm("efficientformer_l1", "EfficientFormer", 224),
    of_timm("efficientvit_b0", "EfficientViT"),
    of_timm("convnext_atto", "ConvNeXt"),
    of_timm("fastvit_t8", "FastViT"),
    of_timm("repghostnet_050", "RepGhostNet"),
    of_timm("xcit_nano_12_p16_224", "XCiT", img_size=64),
    of_timm("levit_128s", "LeViT", 224),
    segmenter("lraspp_mobilenet_v3_large", "LR-ASPP"),
    segmenter("deeplabv3_mobilenet_v3_large", "DeepLab v3"),
    segmenter("fcn_resnet50", "FCN"),
    of_torchvision("alexnet", "AlexNet", 224),
    SSDLITE,
    detector("fasterrcnn_mobilenet_v3_large_320_fpn", "Faster R-CNN", 160, AsSets(0.05, 100)),
    # Seeded weights give scores that exceed this threshold, not the usual one of 0.05.
    detector("retinanet_resnet50_fpn", "RetinaNet", 160, AsSets(5e-4, 300), score_thresh=5e-4, min_size=160),
    of_torchvision("inception_v3", "Inception v3", 96, aux_logits=False, init_weights=False),
    own("yolo8", "YOLOv8", "image_modules.Yolo", (1, 3, 64, 64)),
    own("yolo8_opset18", "YOLOv8", "image_modules.Yolo", (1, 3, 64, 64), opset=18),
    replace(
        own(
            "yolo8_detections", "YOLOv8 with its suppression", "image_modules.YoloDetections", (1, 3, 64, 64)
        ),
        comparison=AsSets(0.0, 20),
    ),
    own("unet_plus_plus", "U-Net++", "image_modules.UNetPlusPlus", (1, 3, 32, 32)),
    own("nafnet", "NAFNet", "image_modules.NafNet", (1, 3, 32, 32)),
    own("srgan", "SRGAN", "image_modules.SrGan", (1, 3, 24, 24)),
    own("optical_flow", "SPyNet", "image_modules.Flow", (1, 3, 32, 32), further=((1, 3, 32, 32),), opset=20),
    own("lenet_opset7", "LeNet", "image_modules.lenet", (1, 1, 28, 28), opset=7),
    own("squeezenext_opset9", "SqueezeNext", "image_modules.SqueezeNext", (1, 3, 32, 32), opset=9),
    own("nasnet_opset8", "NASNet", "image_modules.NasNet", (1, 3, 32, 32), opset=8),
    own("conformer", "Conformer", "sequence_modules.Conformer", (1, 61, 40)),
    own("llama_cached", "LLaMA", "sequence_modules.Llama", (1, 3), 256, ((1, 4, 2, 5, 16),), opset=18),
    own("demucs", "Demucs", "sequence_modules.Demucs", (1, 1, 804)),
    of_timm("mambaout_femto", "MambaOut"),
    of_timm("hgnetv2_b0", "HGNet v2"),
    of_timm("repvit_m0_9", "RepViT"),
    of_timm("inception_next_atto", "InceptionNeXt"),
    of_timm("shvit_s1", "SHViT", 128),
    of_timm("seresnext26d_32x4d", "SE-ResNeXt"),
)


def export(architecture: Architecture, path: Path) -> None:
    """Writes the network as ONNX, its seeded weights scaled layer by layer."""
    import torch

    torch.manual_seed(SEED)
    net = architecture.build().eval()
    examples = _drawn(architecture, 1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        draw_vanishing(net)
        _keep_variance(net, _drawn(architecture, EXAMPLES))
        net(*examples)  # exporters fix what the first call leaves open
        torch.onnx.export(
            net,
            examples,
            str(path),
            input_names=["x", *(f"x{index}" for index in range(1, len(examples)))],
            opset_version=architecture.opset,
            dynamo=architecture.opset >= NEWER,
            external_data=False,
        )


def _drawn(architecture: Architecture, count: int) -> tuple[Tensor, ...]:
    """Several values of each input."""
    import torch

    shape = (count, *architecture.shape[1:])
    first = torch.randint(0, architecture.words, shape) if architecture.words else torch.randn(shape)
    return (first, *(torch.randn(count, *rest) for _, *rest in architecture.further))


def draw_vanishing(net: nn.Module) -> list[str]:
    """Draws weights, and factors of channels, that are nothing or next to it; gives their names."""
    from torch import nn

    drawn = []
    for name, parameter in net.named_parameters():
        is_factor = parameter.ndim == 1 and not name.endswith(("bias", "biases", "beta"))
        if (parameter.ndim > 1 or is_factor) and float(parameter.abs().max()) < VANISHING:
            drawn.append(name)
            if parameter.ndim == 1:
                nn.init.uniform_(parameter, 0.5, 1.0)
            else:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return drawn


def _keep_variance(net: nn.Module, examples: tuple[Tensor, ...]) -> None:
    from torch import nn

    hooks = []
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            hooks.append(module.register_forward_pre_hook(_take_statistics))
        elif isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
            hooks.append(module.register_forward_hook(_scale))
    for _ in range(2):  # modules that are called twice are scaled twice
        net(*examples)
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
