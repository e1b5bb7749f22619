"""The commands that make the run, its bundle and this report again, and what has to be the same for that."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Sequence

import pandas as pd

from codegen.plan import plan_hash
from explorer.report.exhibits import Commands, Exhibit
from explorer.report.section import Part
from explorer.runs.counters import COUNTERS_FILE
from explorer.runs.data import FRONT_FILE, PLAN_FILE, SUMMARY_FILE, RunData
from explorer.runs.files import COMMAND_FILE, SAMPLES_FILE
from explorer.runs.reasons import REASONS_FILE

DATA_FILES = (
    PLAN_FILE, SUMMARY_FILE, SAMPLES_FILE, REASONS_FILE, COUNTERS_FILE, COMMAND_FILE, FRONT_FILE, "front.json",
)  # fmt: skip


class Reproduction:
    """How to do it again."""

    name = "reproduction"
    title = "How to reproduce"
    place = 90
    needs = "plan.json"

    def applies(self, run: RunData) -> bool:
        return True

    def parts(self, run: RunData) -> Sequence[Part]:
        text = (
            "This report is made of nothing but the files of its own directory. The first command makes the run again, "
            "the second the bundle from the plan alone, the third the report: a page and a notebook."
        )
        return (text, commands, provenance, data_files)


def commands(run: RunData) -> Commands:
    """What to type, in the run's directory; a model file has to be put there where the run was of one."""
    words = run.command or ("explore", "run", "--device", run.plan.device, "--seed", str(run.plan.seed))
    model = "model.onnx"  # where a run of the built-in network leaves it
    if "--model" in words:
        model = words[words.index("--model") + 1]
    elif not (run.directory / model).is_file():
        model = "MODEL.onnx"
        words = (*words, "--model", model)
    return Commands(
        (
            shlex.join([*words, "--store", "again/samples.sqlite", "--out", "again"]),
            shlex.join(["explore", "compile", PLAN_FILE, "--model", model, "--out", "again-bundle"]),
            "explore report .",
        )
    )


def provenance(run: RunData) -> Exhibit:
    """What the plan rests on; equal values give an equal plan wherever times do not come from a clock."""
    plan = run.plan
    rows = [
        ("model", plan.model_name, plan.model_sha256 or "unknown"),
        ("device profile", plan.device, plan.profile_hash),
        ("board", run.board, plan.board_fingerprint),
        ("seed", str(plan.seed), ""),
        *((f"version of {name}", version, "") for name, version in sorted(plan.versions.items())),
        ("plan", f"{len(plan.steps)} steps", plan_hash(plan)),
    ]
    return Exhibit(pd.DataFrame(rows, columns=["what", "name", "hash"]), label="What the plan rests on")


def data_files(run: RunData) -> Exhibit:
    """The files that this report was made from."""
    return Exhibit(pd.DataFrame(_files(run), columns=["file", "bytes", "SHA-256"]), label="Files")


def _files(run: RunData) -> Iterator[tuple[str, int, str]]:
    for name in DATA_FILES:
        path = run.directory / name
        if path.is_file():
            content = path.read_bytes()
            yield name, len(content), hashlib.sha256(content).hexdigest()
