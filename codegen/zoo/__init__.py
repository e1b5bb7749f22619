"""Networks built from nothing but a seed. Each network is a file; importing it here registers it."""

from __future__ import annotations

from codegen.zoo import mobilenet_v1
from codegen.zoo.registry import Options, build, networks

NETWORKS = (mobilenet_v1,)

__all__ = ["NETWORKS", "Options", "build", "networks"]
