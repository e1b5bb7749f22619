"""Figures as SVG within a page: text is text, colours follow the page, and what is a mark says what it stands for."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.runs.algorithm_style import LIGHT

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

INK, MUTED, GRID, GROUND = "#1b1f24", "#57606a", "#d3d9df", "#ffffff"
# What figures are drawn with, on white, and how the page's style calls it.
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    GROUND: "--ground",
    **{colour: f"--hue-{number}" for number, colour in enumerate(LIGHT)},
}


@dataclass(frozen=True)
class Mark:
    """What a mark of a figure stands for: shown where a pointer rests, and the step of the plan, if it is one's."""

    text: str
    layer: int | None = None


def inline_svg(figure: Figure, label: str, marks: Mapping[str, Mark], prefix: str) -> Markup:
    """The figure as an element `svg`; equal figures give equal text.

    `label`: for those who do not see it; `marks` by the ids that the figure's artists were given (`gid`). `prefix`
    keeps its ids apart from those of other figures on the page.
    """
    import matplotlib
    from markupsafe import Markup

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<defs>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="([\w-]+)">', lambda found: _group(found[1], marks), text)
    text = re.sub(r' id="', f' id="{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'href="#{prefix}-')
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None
    opening = f'<svg {view[0]} role="img" aria-label="{html.escape(label)}">'
    text = re.sub(r"<svg.*?>", lambda _: opening, text, count=1, flags=re.DOTALL)
    return Markup(re.sub(r"\s*\n\s*", "\n", text))


def _group(name: str, marks: Mapping[str, Mark]) -> str:
    """The beginning of a group: with its text where it is a mark; ids that nothing refers to are left out."""
    if name not in marks:
        return "<g>"
    mark = marks[name]
    layer = "" if mark.layer is None else f' data-layer="{mark.layer}"'
    return f'<g class="mark"{layer}><title>{html.escape(mark.text)}</title>'
