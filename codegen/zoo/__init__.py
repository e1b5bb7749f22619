"""Networks built from nothing but a seed. Each network is a file; importing it here registers it."""

from __future__ import annotations

from codegen.zoo import mobilenet_v1, mobilenet_v2, resnet18, squeezenet
from codegen.zoo.registry import Options, Style, build, networks

NETWORKS = (mobilenet_v1, mobilenet_v2, resnet18, squeezenet)

__all__ = ["NETWORKS", "Options", "Style", "build", "networks"]
