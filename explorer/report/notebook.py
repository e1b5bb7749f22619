"""The notebook of a report: built from the sections, executed by a kernel on this machine."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from explorer.errors import MissingExtraError, ReportError
from explorer.report.section import Part, ReportSection
from explorer.runs.data import RunData

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

EXTRA_PACKAGES = ("nbformat", "nbclient", "ipykernel", "jinja2")
INSTALL_LINE = "pip install -e '.[report]'"
LONGEST_EXECUTION_S = 120.0
LOOPBACK = "127.0.0.1"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SETUP = "from explorer.runs.data import open_run\n\nrun = open_run('.')"
HOW = (
    "Every table below is a pandas DataFrame and every figure one of matplotlib: `layer_table(run).frame` and "
    "`roofline(run).figure` are what a cell shows, to sort, join, plot or save. `run` has the rest: `run.samples`, "
    "`run.reasons`, `run.counters` and `run.front` are tables, `run.plan` and `run.report` objects."
)
GOING_ON = (
    "from explorer.runs.frames import steps_frame\n\n"
    "layers = steps_frame(run)\n"
    'layers.nlargest(5, "time_s")[["layer", "algorithm", "time_s", "kind", "share"]]',
    'axes = layers.plot.barh(x="layer", y="share", figsize=(7, 1 + 0.18 * len(layers)), legend=False, fontsize=7)\n'
    "axes.invert_yaxis()",
    'working = run.samples[run.samples["status"] == "ok"]\n'
    'working.groupby(["algorithm", "kind"])["time_s"].describe()[["count", "min", "50%", "max"]]',
)


def require_extra() -> None:
    """Raises MissingExtraError naming the line to type where the optional packages are not installed."""
    missing = [name for name in EXTRA_PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"reports need {', '.join(missing)}: type  {INSTALL_LINE}  in the project's directory"
        )


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook: Markdown or Python."""

    kind: Literal["markdown", "code"]
    source: str


def report_cells(run: RunData, sections: Sequence[ReportSection]) -> tuple[tuple[str, Cell], ...]:
    """Every cell of a run's notebook, with an id that says which section it is of."""
    title = f"# {_plain(run.plan.model_name)} on {_plain(run.plan.device)}"
    cells = [
        ("title", Cell("markdown", title)),
        ("how", Cell("markdown", HOW)),
        ("setup", Cell("code", SETUP)),
    ]
    for section in sections:
        if section.applies(run):
            own = (Cell("markdown", f"## {section.title}"), *map(_cell, section.parts(run)))
            cells += [(f"{section.name}-{number}", cell) for number, cell in enumerate(own)]
    going_on = GOING_ON if run.samples is not None else GOING_ON[:-1]
    cells += [
        ("going-on", Cell("markdown", "## To go on from")),
        *((f"going-on-{number}", Cell("code", source)) for number, source in enumerate(going_on)),
    ]
    absent = left_out(run, sections)
    return tuple([*cells, ("absent", Cell("markdown", absent))] if absent else cells)


def left_out(run: RunData, sections: Sequence[ReportSection]) -> str:
    """A sentence with the sections that a run has no data for; empty where there are none."""
    absent = [f"{one.title} (needs {one.needs})" for one in sections if not one.applies(run)]
    return f"Left out, for want of data: {'; '.join(absent)}." if absent else ""


def _cell(part: Part) -> Cell:
    if isinstance(part, str):
        return Cell("markdown", part)
    name = part.__name__
    return Cell("code", f"from {part.__module__} import {name}\n\n{name}(run)")


def build_notebook(cells: Sequence[tuple[str, Cell]]) -> NotebookNode:
    """The notebook before it is executed; equal cells give equal notebooks."""
    from nbformat import v4

    made = {"markdown": v4.new_markdown_cell, "code": v4.new_code_cell}
    notebook = v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [made[cell.kind](cell.source, id=name) for name, cell in cells]
    return notebook


def execute_notebook(notebook: NotebookNode, directory: Path, limit_s: float = LONGEST_EXECUTION_S) -> None:
    """Runs every cell in a directory, in place, with this interpreter as the kernel, on loopback.

    Raises ReportError where a cell fails, the kernel dies, or all cells together take longer than `limit_s`.
    """
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    with tempfile.TemporaryDirectory(prefix="explore-report-") as scratch:
        try:
            asyncio.run(_execute(notebook, directory, Path(scratch), limit_s))
        except TimeoutError as error:
            raise ReportError(f"the notebook took longer than {limit_s:g} s; its kernel was ended") from error
        except CellExecutionError as error:
            raise ReportError(f"a cell of the notebook failed: {error.ename}: {error.evalue}") from error
        except (DeadKernelError, RuntimeError) as error:
            raise ReportError(f"the notebook's kernel did not start, or died: {error}") from error


async def _execute(notebook: NotebookNode, directory: Path, scratch: Path, limit_s: float) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    client = NotebookClient(
        notebook,
        km=_kernel_manager(scratch),
        resources={"metadata": {"path": str(directory)}},
        record_timing=False,
        shutdown_kernel="immediate",
        on_cell_start=_leave_interrupts_alone,
    )
    client.owns_km = True  # so that leaving, for whichever reason, ends the kernel
    try:
        async with asyncio.timeout(limit_s) as deadline:
            await client.async_execute()
    except DeadKernelError as error:  # the client takes being cancelled for the kernel's death
        if deadline.expired():
            raise TimeoutError from error
        raise


def _leave_interrupts_alone(**_: object) -> None:
    """Takes back the client's own handler, which would show a user's interrupt as a kernel that died."""
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


def _kernel_manager(scratch: Path) -> AsyncKernelManager:
    """A kernel of this very interpreter, whatever kernels and settings the user has installed."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    arguments = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    own = [
        f"--IPKernelApp.ipython_dir={scratch}",
        "--IPKernelApp.ignore_cwd=True",
        "--HistoryManager.enabled=False",
        "--log-level=ERROR",  # the warning that loopback is not encrypted is of no use to a user
    ]
    place = scratch / "kernels" / KERNEL["name"]
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps({**KERNEL, "argv": [*arguments, *own]}), encoding="utf-8")
    return AsyncKernelManager(
        kernel_name=KERNEL["name"],
        kernel_spec_manager=KernelSpecManager(
            kernel_dirs=[str(scratch / "kernels")], ensure_native_kernel=False
        ),
        ip=LOOPBACK,
        transport="tcp",
        connection_file=str(scratch / "connection.json"),
    )


def _plain(text: str) -> str:
    """Text with no meaning in Markdown or HTML, whatever is in it."""
    return "".join(
        f"\\{c}" if not c.isalnum() and c.isascii() and c.isprintable() and c != " " else c for c in text
    )
