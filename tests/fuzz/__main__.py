"""Damaged frames, stores, known hosts, answers, servers and plans: `python -m tests.fuzz [--stores N] [--frames N]`.

Each is read as it is in use; what comes of it is a sound value or a typed error, and nothing else. Frames go to a
runner under gcc's address and undefined-behaviour sanitizers. Prints how many there were of each verdict; the exit code
is 1 where one is wrong or crashed, whose number brings it again by --first.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.fuzz.frames import BATCH, judged_frames
from tests.fuzz.known_hosts_files import judged_known_hosts, lines
from tests.fuzz.plans import judged_plan, plans
from tests.fuzz.replies import judged_reply
from tests.fuzz.servers import judged_server
from tests.fuzz.stores import judged_store, written
from tests.microbench.sanitized_runner import sanitized_runner
from tests.random_graphs.processes import Judge, outcomes

MOST_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=0, help=f"asked {BATCH} at a time")
    parser.add_argument("--stores", type=int, default=0)
    parser.add_argument("--known-hosts", type=int, default=0)
    parser.add_argument("--replies", type=int, default=0)
    parser.add_argument(
        "--servers", type=int, default=0, help="what SSH servers say before there is a connection"
    )
    parser.add_argument("--plans", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first of each")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        questions: list[tuple[str, Judge, int]] = [
            ("Stores", judged_store, chosen.stores),
            ("Known hosts", judged_known_hosts, chosen.known_hosts),
            ("Answers of runners", judged_reply, chosen.replies),
            ("SSH servers", judged_server, chosen.servers),
            ("Plans", judged_plan, chosen.plans),
        ]
        if chosen.frames:
            runner = sanitized_runner(Path(directory) / "runner", "virtual", "address,undefined")
            batches = -(-chosen.frames // BATCH)
            title = f"Batches of {BATCH} frames"
            questions.append((title, partial(judged_frames, runner=runner), batches))
        for sound in (written, lines, plans):
            sound()  # once, before there are other processes
        for title, judge, count in questions:
            if count:
                failed |= _told(title, judge, chosen.first, count, chosen.processes)
    return int(failed)


def _told(title: str, judge: Judge, first: int, count: int, processes: int) -> bool:
    """Prints the verdicts, also where it is interrupted; whether there was a failure."""
    verdicts: Counter[str] = Counter()
    failures = []
    try:
        for number, outcome in outcomes(judge, first, count, processes):
            verdicts[outcome.verdict] += 1
            if outcome.is_failure:
                failures.append(f"{outcome.verdict} {number}: {outcome.reason}\n")
    finally:
        rows = "".join(f"| {verdict} | {found:,} |\n" for verdict, found in verdicts.most_common())
        sys.stdout.write(f"## {title}\n\n| of {verdicts.total():,} | |\n|---|---|\n{rows}\n")
        sys.stdout.write("".join(failures[:MOST_SHOWN]))
        sys.stdout.flush()
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
