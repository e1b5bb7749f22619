"""The page of a run: one file that loads nothing; its script adds to it and takes nothing away when it is off."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.report.markup import TEMPLATES, part, rendered
from explorer.report.notebook import left_out
from explorer.report.section import Part, ReportSection
from explorer.runs.data import RunData

if TYPE_CHECKING:
    from markupsafe import Markup


def page(run: RunData, sections: Sequence[ReportSection], notebook: str) -> str:
    """The page of all sections that apply; `notebook` is the file that it names for those who go on.

    Equal runs give equal pages.
    """
    from markupsafe import Markup

    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shown = [
        {"name": one.name, "title": one.title, "parts": [_markup(p, run) for p in one.parts(run)]}
        for one in sections
        if one.applies(run)
    ]
    return str(
        rendered(
            "page.html",
            title=f"{run.plan.model_name} on {run.plan.device}",
            style=rendered("page.css"),
            script=Markup(script),
            script_hash=digest,
            sections=shown,
            absent=left_out(run, sections),
            notebook=notebook,
        )
    )


def _markup(one: Part, run: RunData) -> Markup:
    return part("paragraph", one) if isinstance(one, str) else one(run).markup()
