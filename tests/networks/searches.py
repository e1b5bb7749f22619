"""Networks searched fully: `python -m tests.networks.searches --work DIR --models DIR [--site DIR] [--out FILE]`.

Each is one `explore run` on a virtual board by default options from a store of its own that is empty at first. What is
known is kept in DIR, and a search that was ended goes on there; the processor time is that of all parts. Words choose
networks whose names contain one of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen.engine_registry import engine_named
from codegen.graph import LayerSpec
from explorer.pipeline.boards import open_board_of
from explorer.plans.network import load_network
from explorer.runs.data import BUNDLE_DIRECTORY, SUMMARY_FILE, RunData, open_run
from explorer.settings import RunSettings
from tests.networks.judge import bundle_error, rounding
from tests.networks.places import launched_share, why_not_launched
from tests.networks.searched_networks import SEARCHED, Searched
from tests.networks.searches_page import Found, page
from tests.networks.trained import TRAINED, Trained

DEVICE = "pi-zero"
KEPT, SPENT = "searched.jsonl", "spent.jsonl"


@dataclass(frozen=True)
class Places:
    """`work`: of exports, stores and runs; `models`: of files that are given; `site`: site-packages of networks."""

    work: Path
    models: Path
    site: Path | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument(
        "--work", type=Path, required=True, help="directory of exports, stores, runs, what is known"
    )
    parser.add_argument(
        "--models", type=Path, required=True, help="directory of trained networks that are given"
    )
    parser.add_argument("--site", type=Path, help="site-packages with packages that carry trained networks")
    parser.add_argument("--out", type=Path, help="the page")
    chosen = parser.parse_args()
    # So that what a part has taken is written down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    places = Places(chosen.work, chosen.models, chosen.site)
    places.work.mkdir(parents=True, exist_ok=True)
    known = {one.name: one for one in _read(places.work / KEPT)}
    for network in SEARCHED:
        if network.name in known or (chosen.words and not any(word in network.name for word in chosen.words)):
            continue
        path = network.file(places.work, places.models, places.site)
        if path is None:
            continue
        known[network.name] = searched(network, path, places.work)
        with (places.work / KEPT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(known[network.name])) + "\n")
        sys.stdout.write(f"{network.name}: {known[network.name]}\n")
        sys.stdout.flush()
    if chosen.out:
        chosen.out.write_text(
            page([known[one.name] for one in SEARCHED if one.name in known]), encoding="utf-8"
        )
    return 0


def _read(path: Path) -> list[Found]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Found(**json.loads(line)) for line in lines]


def searched(network: Searched, path: Path, work: Path) -> Found:
    """Runs the search, in as many parts as it is let, and reads its results."""
    place = work / "runs" / network.name
    command = [sys.executable, "-c", "from explorer.cli import main; main()", "run", "--device", DEVICE]
    command += ["--model", str(path), "--store", str(work / f"{network.name}.sqlite"), "--out", str(place)]
    for name, shape in network.shapes.items():
        command += ["--shape", f"{name}={','.join(map(str, shape))}"]
    place.parent.mkdir(parents=True, exist_ok=True)
    is_done = (place / SUMMARY_FILE).is_file()  # written at the end, whatever its check says
    reason = "" if is_done else _run(network.name, command, work)
    spent = [json.loads(line) for line in (work / SPENT).read_text(encoding="utf-8").splitlines()]
    parts = [one for one in spent if one["name"] == network.name]
    seconds: dict[str, float] = {key: sum(one[key] for one in parts) for key in ("wall_s", "processor_s")}
    if not (place / SUMMARY_FILE).is_file():
        return Found(network.name, network.purpose, {**seconds, "reason": reason})
    return Found(network.name, network.purpose, {**seconds, **_results(network, path, open_run(place))})


def _run(name: str, command: Sequence[str], work: Path) -> str:
    """What went wrong; what it prints is kept, and what it takes, however it ends."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with (work / f"{name}.txt").open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait()
        finally:
            while (
                process.poll() is None
            ):  # it ends by the interrupt that this process has had, more than once maybe
                with suppress(KeyboardInterrupt):
                    process.wait()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            spent = {"name": name, "wall_s": time.perf_counter() - start, "processor_s": processor_s}
            with (work / SPENT).open("a", encoding="utf-8") as kept:
                kept.write(json.dumps(spent) + "\n")
    return f"exit code {code}: {(work / f'{name}.txt').read_text(encoding='utf-8')[-300:]}" if code else ""


def _results(network: Searched, path: Path, run: RunData) -> dict[str, Any]:
    report, graph = run.report, load_network(path, network.shapes, network.name).graph
    assert report is not None
    board = open_board_of(RunSettings(device=DEVICE))
    carried = next((one for one in TRAINED if one.file == network.carried and one.like), None)
    bundle = run.directory / BUNDLE_DIRECTORY
    on_cpu = sum(step.run_s or 0.0 for step in report.steps if not engine_named(step.choice.engine).launches)
    check = report.check
    is_off = check is not None and not check.largest_error <= check.tolerance
    return {
        "shapes": {name: list(graph.types[name].shape) for name in graph.inputs},
        "macs": sum(LayerSpec.of(graph, node).macs for node in graph.nodes),
        "time_s": report.time_s,
        "launches": report.launches,
        "peak_share": report.peak_share,
        "launched": launched_share(graph, run.plan),
        "why_not": why_not_launched(graph, run.plan, board.target),
        "cpu_share": on_cpu / report.time_s,
        "measured": report.samples["measured now"] + report.samples["known from the store"],
        "error": check.largest_error if check else None,
        "tolerance": check.tolerance if check else None,
        "rounding": rounding(graph, path, network.shapes) if is_off else None,
        "own_error": bundle_error(board, bundle, graph, path, network.shapes, _pictures(carried, network))
        if carried
        else None,
    }


def _pictures(carried: Trained, network: Searched) -> Callable[[int], Mapping[str, Any]]:
    """Inputs by seed of the kind that a network was trained for."""
    like = carried.like
    assert like is not None
    return lambda seed: {name: like(shape, seed) for name, shape in network.shapes.items()}


if __name__ == "__main__":
    sys.exit(main())
