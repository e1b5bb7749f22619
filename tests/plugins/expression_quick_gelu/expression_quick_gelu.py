"""QuickGelu of onnxruntime's operator set: x times the logistic function of alpha x."""

from __future__ import annotations

from codegen.expression import apply

EXPRESSIONS = {
    "com.microsoft.QuickGelu": lambda x, *, alpha=1.702: x / (1.0 + apply("exp", -alpha * x)),
}
