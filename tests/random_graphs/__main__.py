"""Random graphs and changed models: `python -m tests.random_graphs [--graphs N] [--changed N] [--compiled-each N]`.

Graphs with branches, attention, recurrent layers and integers are imported, evaluated in float64 before and behind the
passes, and each so many compiled and run, and compared with onnxruntime. Models whose bytes or fields were changed are
imported: they are imported, declined or refused by a typed error, and nothing else. Prints how many there were of each
verdict; the exit code is 1 where one is wrong or crashed, whose number brings it again by --first.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

from tests.random_graphs.judge import judged_change, judged_graph
from tests.random_graphs.processes import Judge, outcomes

MOST_SHOWN = 40


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=400)
    parser.add_argument("--changed", type=int, default=5000, help="changed models")
    parser.add_argument("--compiled-each", type=int, default=40, help="of how many graphs one is compiled")
    parser.add_argument("--first", type=int, default=0, help="number of the first of both")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    of_graphs: Judge = partial(judged_graph, compiled_each=chosen.compiled_each)
    questions: tuple[tuple[str, Judge, int], ...] = (
        ("Random graphs", of_graphs, chosen.graphs),
        ("Changed models", judged_change, chosen.changed),
    )
    failed = False
    for title, judge, count in questions:
        verdicts: Counter[str] = Counter()
        failures = []
        for number, outcome in outcomes(judge, chosen.first, count, chosen.processes):
            verdicts[outcome.verdict] += 1
            if outcome.is_failure:
                failures.append(f"{outcome.verdict} {number}: {outcome.reason}\n")
        rows = "".join(f"| {verdict} | {found:,} |\n" for verdict, found in verdicts.most_common())
        sys.stdout.write(f"## {title}\n\n| of {count:,} | |\n|---|---|\n{rows}\n")
        sys.stdout.write("".join(failures[:MOST_SHOWN]))
        sys.stdout.flush()
        failed |= bool(failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
