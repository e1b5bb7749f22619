"""The compiler: a fused graph and its plan become a directory of C, weights and GPU code."""

from codegen.bundle.compiler import compile_bundle
from codegen.bundle.manifest import Manifest, read_manifest

__all__ = ["Manifest", "compile_bundle", "read_manifest"]
