"""Networks that people bring, judged: `python -m tests.networks --work DIR [--site DIR] [--board] [--out FILE]`.

Exports of torchvision, timm and small modules with seeded weights (where these packages are installed; else what DIR
has of them), and the trained networks that the packages in the site-packages of --site carry. Each is imported,
compiled and compared with onnxruntime on this machine, and with --board on the virtual board. What is known is kept in
DIR, so that a study that was ended goes on. Words choose networks whose names contain one of them. The exit code is 1
where one gives something wrong or crashes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.networks.architectures import ARCHITECTURES, Architecture, export, missing
from tests.networks.page import Record, page, wrong
from tests.networks.trained import TRAINED, Trained

LONGEST_S = 1200.0
KEPT = "judged.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--work", type=Path, required=True, help="directory of exports and of what is known")
    parser.add_argument("--site", type=Path, help="site-packages with packages that carry trained networks")
    parser.add_argument("--board", action="store_true", help="on the virtual board too")
    parser.add_argument("--out", type=Path, help="the page")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    lacking = missing()
    if lacking:
        sys.stdout.write(f"nothing is exported: {lacking}\n")
    known = _known(chosen.work / KEPT)
    for record, judge in _questions(chosen.work, chosen.site, chosen.board):
        key = (record.network, record.package, record.place)
        if key in known or (chosen.words and not any(word in record.network for word in chosen.words)):
            continue
        known[key] = _asked(record, judge)
        with (chosen.work / KEPT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(known[key])) + "\n")
        sys.stdout.write(f"{record.place} {record.network}: {known[key].found}\n")
        sys.stdout.flush()
    if chosen.out:
        chosen.out.write_text(page(list(known.values())), encoding="utf-8")
    return int(bool(wrong(list(known.values()))))


def _known(path: Path) -> dict[tuple[str, str, str], Record]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    records = [Record(**json.loads(line)) for line in lines]
    return {(record.network, record.package, record.place): record for record in records}


Judge = Callable[[], Mapping[str, Any]]


def _questions(work: Path, site: Path | None, board: bool) -> Iterator[tuple[Record, Judge]]:
    """Every network on the host, then on the board; what has no file is left out."""
    for place in ("host", "board") if board else ("host",):
        for number, one in enumerate(ARCHITECTURES):
            path = work / f"{one.name}.onnx"
            if path.is_file() or not missing():
                yield Record(one.name, "", place, number, one.family, {}), _exported(one, path, place)
        for number, carried in enumerate(TRAINED if site else ()):
            assert site is not None
            version = _version(carried.package, site)
            if version:
                name = f"{carried.package} {version}"
                yield (
                    Record(Path(carried.file).stem, name, place, number, carried.purpose, {}),
                    _carried(carried, site, work, place),
                )


def _exported(one: Architecture, path: Path, place: str) -> Judge:
    def judge() -> Mapping[str, Any]:
        from tests.networks.judge import judge_on_board, judge_on_host

        if not path.is_file():
            half = path.with_suffix(".half")
            try:
                export(one, half)
            except Exception as error:  # noqa: BLE001 - whatever the exporter fails by is not this project's
                return {"reason": f"its exporter fails: {type(error).__name__}: {error}"}
            half.rename(path)
        if place == "host":
            return asdict(judge_on_host(path, {}, comparison=one.comparison))
        return asdict(judge_on_board(path, {}, comparison=one.comparison))

    return judge


def _carried(one: Trained, site: Path, work: Path, place: str) -> Judge:
    def judge() -> Mapping[str, Any]:
        from tests.networks.judge import judge_on_board, judge_on_host

        path = one.judged(site, work)
        if place == "host":
            return asdict(judge_on_host(path, one.shapes, one.given))
        return asdict(judge_on_board(path, one.shapes, one.given))

    return judge


def _version(package: str, site: Path) -> str:
    found = importlib.metadata.distributions(name=package, path=[str(site)])
    return next((one.version for one in found), "")


def _asked(record: Record, judge: Judge) -> Record:
    """What a process of its own says; what ends it is told as a crash, what takes too long as that."""
    near, far = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(far, judge), daemon=True)
    process.start()
    far.close()
    found: Mapping[str, Any]
    try:
        found = near.recv() if near.poll(LONGEST_S) else {"reason": f"takes more than {LONGEST_S:.0f} s"}
    except EOFError:
        process.join()
        found = {"reason": f"crash: exit code {process.exitcode}"}
    process.kill()
    process.join()
    return Record(record.network, record.package, record.place, record.number, record.family, dict(found))


def _answer(pipe: Connection, judge: Judge) -> None:
    try:
        pipe.send(judge())
    except Exception as error:  # noqa: BLE001 - whatever is not typed is what this looks for
        pipe.send({"reason": f"crash: {type(error).__name__}: {error}"})


if __name__ == "__main__":
    sys.exit(main())
