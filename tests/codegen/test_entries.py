"""Kernels of a translation unit are taken out of it, and are the files that they are alone."""

from __future__ import annotations

from codegen.bundle.entries import one_unit, parts_of, separate_kernel

PARAMETERS = (
    "const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part"
)


def _source(entry: str, step: int) -> str:
    return f"static int {entry}_step(void) {{ return {step}; }}\nvoid {entry}({PARAMETERS}) {{ {entry}_step(); }}\n"


SOURCES = {"net_first": _source("net_first", 1), "net_second": _source("net_second", 2)}


def test_a_kernel_is_the_same_file_whatever_it_is_called() -> None:
    assert separate_kernel("candidate", _source("candidate", 1)) == separate_kernel(
        "other", _source("other", 1)
    )
    assert separate_kernel("candidate", _source("candidate", 1)) != separate_kernel(
        "other", _source("other", 2)
    )


def test_the_kernels_of_a_unit_are_taken_out_and_declared_by_the_symbols_of_their_files() -> None:
    parts = parts_of(f"before\n{one_unit(SOURCES)}behind\n")
    assert parts.kernels == tuple(separate_kernel(entry, source) for entry, source in SOURCES.items())
    assert parts.rest.startswith("before\n") and parts.rest.endswith("behind\n")
    for entry, kernel in zip(SOURCES, parts.kernels, strict=True):
        (line,) = [line for line in parts.rest.splitlines() if entry in line]
        symbol = line.split('"')[1]
        assert f'__asm__("{symbol}")' in kernel


def test_kernels_that_differ_in_their_names_alone_are_one_file() -> None:
    alike = {name: _source(name, 1) for name in ("net_first", "net_second")}
    assert len(parts_of(one_unit(alike)).kernels) == 1


def test_a_text_without_kernels_is_whole() -> None:
    assert parts_of("int main(void) { return 0; }\n").kernels == ()
    assert parts_of("int main(void) { return 0; }\n").rest == "int main(void) { return 0; }\n"
