"""What the pages of `explore bench cpu-clock` say before their tables, by core."""

from __future__ import annotations

from dataclasses import dataclass

_MODEL = "../microbench/emulation/cores"
_PUBLISHED = "../microbench/emulation/judges/published"
_THREADS = """\
Threads have a core and a clock each, and go on in the order of their clocks; the second level and the channel to memory
are shared, and a thread that waits costs what it waits. The judges are loops whose cycles on silicon are published, and
another engine's own build on networks whose times on a"""
_TIMES = "Times are `simulated`; ratios are modelled time to published time."


@dataclass(frozen=True)
class Page:
    """A page's title, and its text before the tables."""

    title: str
    introduction: str


PAGES = {
    "cortex-a53": Page(
        "The clock of a Cortex-A53",
        f"""\
`explore bench cpu-clock --params DIR` runs programs for AArch64 under qemu-user with a plugin that models the core: an
in-order pipeline of two instructions a cycle, caches, prefetches and memory
([core model]({_MODEL}/cortex-a53.toml), every constant with its source).
{_THREADS} Raspberry Pi 3B+ are
([published times]({_PUBLISHED}/cortex-a53.toml)).
{_TIMES} `seen before`: the model was compared with that time while it was made; nothing was fitted to a time of
four threads. The model is identified by its hash; kernels of this project are tuned on it only as it stands here.""",
    ),
    "cortex-a72": Page(
        "The clock of a Cortex-A72",
        f"""\
`explore bench cpu-clock --core cortex-a72 --params DIR` runs programs for AArch64 under qemu-user with a plugin that
models the core: an out-of-order pipeline (three slots of dispatch a cycle, a reorder buffer of 128, eight pipes with a
queue each, a predictor of branches), caches, prefetches and memory
([core model]({_MODEL}/out_of_order/cortex-a72.toml), every constant with its source or `assumed`).
{_THREADS} Raspberry Pi 4 are
([published times]({_PUBLISHED}/cortex-a72.toml)).
{_TIMES}
The constants come from measurements of single instructions on another board's Cortex-A72, of the memory of Raspberry
Pis 4, and from a compiler's model of the core's forerunner. The model was frozen by its hash before it first ran a
network (`seen before`: none) and has not changed since. A core is judged by at least five networks on one thread of
which all are within 0.80 to 1.25; only then may measurements of a board's CPU stand on its clock, and with no more
threads than were judged so. Memory is where the model is weakest: its bandwidth is what those boards copy, 4.65 GB/s
read and written, so that filling memory takes it 0.63 of silicon's time; tables at 3.12 GB/s have the rate at which the
boards fill it, and too slow a copy. That four threads come near with it only judges showed: the model has it not.""",
    ),
}
