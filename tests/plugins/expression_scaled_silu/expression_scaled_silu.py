"""ScaledSiLU of onnxruntime's operator set: a SiLU of alpha times x."""

from __future__ import annotations

from codegen.expression import apply

EXPRESSIONS = {
    "com.microsoft.ScaledSiLU": lambda x, *, alpha=1.0: alpha * x / (1.0 + apply("exp", -alpha * x)),
}
