"""The compiler: a fused graph and its plan become a directory of C, weights and GPU code."""

from codegen.bundle.compiler import compile_bundle, write_bundle
from codegen.bundle.manifest import Manifest, read_manifest
from codegen.bundle.model import Model, compose

__all__ = ["Manifest", "Model", "compile_bundle", "compose", "read_manifest", "write_bundle"]
