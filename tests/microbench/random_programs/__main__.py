"""Random QPU programs on the simulator: `python -m tests.microbench.random_programs [--programs N] [--strict | --lax]`.

Each kind of simulator runs as many, in processes of its own, each of which runs a share of them from a seed. Prints
how many ended, met the watchdog and were refused, and why; a process that dies was crashed by the program it was at,
whose share is then left out. The exit code is 1 where one crashed, or an outcome names neither QPU nor instruction.
Ctrl-C prints the counts of what was run until then.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence

from microbench.virtual.library import library
from tests.microbench.random_programs.shares import Outcome, outcomes

INTERRUPTED = 130


def report(title: str, found: Counter[Outcome]) -> str:
    """Markdown: counts of verdicts, and of the reasons of those that have one."""
    verdicts: Counter[str] = Counter()
    for outcome, count in found.items():
        verdicts[outcome.verdict] += count
    kinds = ("ended", "watchdog", "refused", "unclear", "crashed", "left out")
    rows = [f"| {kind} | {verdicts[kind]:,} |" for kind in kinds]
    lines = [f"## {title}", "", f"| of {found.total():,} programs | |", "|---|---|", *rows, ""]
    lines += ["| why | programs |", "|---|---|"]
    for outcome, count in found.most_common():
        if outcome.reason:
            lines.append(f"| {outcome.verdict}: {outcome.reason} | {count:,} |")
    return "\n".join([*lines, "", ""])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=10_000, help="of each kind, 10000 by default")
    parser.add_argument("--seed", type=int, default=0, help="of the first share")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--strict", action="store_true", help="only the simulator that stops at broken rules")
    only.add_argument("--lax", action="store_true", help="only the one that goes on where silicon does")
    chosen = parser.parse_args(arguments)
    library()  # compiled once, before there are processes
    failed = interrupted = False
    for strict, title in ((True, "Strict"), (False, "Not strict")):
        if (strict and chosen.lax) or (not strict and chosen.strict):
            continue
        found: Counter[Outcome] = Counter()
        try:
            for outcome in outcomes(chosen.seed, chosen.programs, strict, chosen.processes):
                found[outcome] += 1
        except KeyboardInterrupt:
            interrupted = True
        sys.stdout.write(report(title, found))
        sys.stdout.flush()
        failed |= any(outcome.verdict in ("unclear", "crashed") for outcome in found)
        if interrupted:
            return INTERRUPTED
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
