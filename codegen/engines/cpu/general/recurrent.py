"""Recurrent layers in C: step by step, in double."""

from __future__ import annotations

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.recurrent import GATES, Recurrent
from codegen.target import Target

DOUBLE_BYTES = 8
_TEXTS = {
    "Affine": "$alpha * x + $beta",
    "Elu": "x < 0 ? $alpha * expm1(x) : x",
    "HardSigmoid": "fmin(fmax($alpha * x + $beta, 0), 1)",
    "LeakyRelu": "x < 0 ? $alpha * x : x",
    "Relu": "x > 0 ? x : 0",
    "ScaledTanh": "$alpha * tanh($beta * x)",
    "Sigmoid": "1 / (1 + exp(-x))",
    "Softplus": "fmax(x, 0) + log1p(exp(-fabs(x)))",
    "Softsign": "x / (1 + fabs(x))",
    "Tanh": "tanh(x)",
    "ThresholdedRelu": "x > $alpha ? x : 0",
}


class CpuRecurrent(GeneralKernel):
    """For each direction and sample the steps one behind the other; the workspace holds the state and the gates."""

    name = "cpu_recurrent"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Recurrent) and spec.inputs[0].element_type.is_floating

    def steps(self, spec: LayerSpec) -> float:
        return float(spec.macs)

    def workspace_bytes(self, spec: LayerSpec) -> int:
        assert isinstance(spec.op, Recurrent)
        return DOUBLE_BYTES * (2 + 2 * GATES[spec.op.kind]) * spec.inputs[2].shape[-1]

    def body(self, spec: LayerSpec) -> str:
        op, element = spec.op, spec.outputs[0].element_type
        assert isinstance(op, Recurrent)
        length, batch, size = spec.inputs[0].shape
        hidden = spec.inputs[2].shape[-1]
        words: dict[str, int | str] = {
            "length": length,
            "batch": batch,
            "size": size,
            "hidden": hidden,
            "rows": GATES[op.kind] * hidden,
            "directions": len(op.backward),
            "initial_cell": "x6[(d * $batch + n) * $hidden + j]" if op.kind == "LSTM" else "0",
            "store_h": converted("h[j]", "double", element),
            "store_c": converted("c[j]", "double", element),
            "couples": int(op.couples),
            "behind": int(op.resets_behind),
        }
        words["initial_cell"] = fill(str(words["initial_cell"]), **words).strip()
        parts = []
        for direction, backward in enumerate(op.backward):
            own = {**words, "d": direction, "step": "count - 1 - s" if backward else "s"}
            names = ("f", "g", "h")
            for name, (kind, alpha, beta) in zip(names, op.activations[direction], strict=False):
                text = fill(_TEXTS[kind], alpha=repr(alpha), beta=repr(beta)).strip()
                own[f"act_{name}"] = _activation(text, op.clip)
            for name in names:
                own.setdefault(f"act_{name}", "0")
            own["gates"] = fill(_GATES[op.kind], **own)
            own["last_cell"] = fill(_LAST_CELL, **own).strip() if op.kind == "LSTM" else ""
            parts.append(fill(_LOOP, **own))
        return "\n".join(parts)


def _activation(text: str, clip: float) -> str:
    """A statement that turns `x` into its activation."""
    bounded = f"x = fmin(fmax(x, {-clip!r}), {clip!r}); " if clip else ""
    return f"{bounded}x = {text};"


_LOOP = """
{
    enum { d = $d };
    double *const h = workspace, *const c = h + $hidden, *const in = c + $hidden, *const back = in + $rows;
    for (long n = 0; n < $batch; ++n) {
        const long given = x4[n], count = given < 0 ? 0 : given > $length ? $length : given;
        for (long j = 0; j < $hidden; ++j) {
            h[j] = x5[(d * $batch + n) * $hidden + j];
            c[j] = $initial_cell;
        }
        for (long t = 0; t < $length; ++t)
            for (long j = 0; j < $hidden; ++j)
                y0[((t * $directions + d) * $batch + n) * $hidden + j] = 0;
        for (long s = 0; s < count; ++s) {
            const long t = $step;
            for (long row = 0; row < $rows; ++row) {
                double a = x3[d * 2L * $rows + row], b = x3[d * 2L * $rows + $rows + row];
                for (long k = 0; k < $size; ++k)
                    a += (double)x1[(d * $rows + row) * (long)$size + k] * (double)x0[(t * $batch + n) * $size + k];
                for (long k = 0; k < $hidden; ++k)
                    b += (double)x2[(d * $rows + row) * (long)$hidden + k] * h[k];
                in[row] = a;
                back[row] = b;
            }
$gates
            for (long j = 0; j < $hidden; ++j)
                y0[((t * $directions + d) * $batch + n) * $hidden + j] = $store_h;
        }
        for (long j = 0; j < $hidden; ++j) {
            y1[(d * $batch + n) * $hidden + j] = $store_h;
            $last_cell
        }
    }
}
"""

_LAST_CELL = "y2[(d * $batch + n) * $hidden + j] = $store_c;"

_GATES = {
    "RNN": """
for (long j = 0; j < $hidden; ++j) {
    double x = in[j] + back[j];
    $act_f
    h[j] = x;
}
""",
    "GRU": """
for (long j = 0; j < 2 * $hidden; ++j) {
    double x = in[j] + back[j];
    $act_f
    in[j] = x;
}
for (long j = 0; j < $hidden; ++j) {
    const long row = 2 * $hidden + j;
    double x = in[$hidden + j] * back[row];
    if (!$behind) {
        x = x3[d * 2L * $rows + $rows + row];
        for (long k = 0; k < $hidden; ++k)
            x += (double)x2[(d * $rows + row) * (long)$hidden + k] * in[$hidden + k] * h[k];
    }
    x += in[row];
    $act_g
    c[j] = (1 - in[j]) * x + in[j] * h[j];
}
for (long j = 0; j < $hidden; ++j)
    h[j] = c[j];
""",
    "LSTM": """
for (long j = 0; j < $hidden; ++j) {
    double x = in[j] + back[j] + (double)x7[d * 3L * $hidden + j] * c[j];
    $act_f
    const double gate = x;
    x = in[2 * $hidden + j] + back[2 * $hidden + j] + (double)x7[d * 3L * $hidden + 2 * $hidden + j] * c[j];
    $act_f
    const double forget = $couples ? 1 - gate : x;
    x = in[3 * $hidden + j] + back[3 * $hidden + j];
    $act_g
    c[j] = forget * c[j] + gate * x;
    x = in[$hidden + j] + back[$hidden + j] + (double)x7[d * 3L * $hidden + $hidden + j] * c[j];
    $act_f
    const double out = x;
    x = c[j];
    $act_h
    h[j] = out * x;
}
""",
}
