"""Templates of the page's parts: everything is escaped that was not made by them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.runs.algorithm_style import DARK, LIGHT, style_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
MISSING = "–"
NO_ALGORITHM = MISSING, "all"
# Markers by matplotlib's names, as outlines around the origin, 10 wide.
OUTLINES = {
    "o": "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0 -4.5 0Z",
    "s": "M-4.2 -4.2H4.2V4.2H-4.2Z",
    "D": "M0 -5.2L5.2 0L0 5.2L-5.2 0Z",
    "^": "M0 -5L5 4.2H-5Z",
    "v": "M0 5L5 -4.2H-5Z",
    "P": "M-1.8 -5H1.8V-1.8H5V1.8H1.8V5H-1.8V1.8H-5V-1.8H-1.8Z",
    "X": "M-5 -2.5L-2.5 -5L0 -2.5L2.5 -5L5 -2.5L2.5 0L5 2.5L2.5 5L0 2.5L-2.5 5L-5 2.5L-2.5 0Z",
    "*": "M0 -5.5L1.3 -1.8L5.2 -1.7L2.1 0.7L3.2 4.5L0 2.2L-3.2 4.5L-2.1 0.7L-5.2 -1.7L-1.3 -1.8Z",
    "<": "M-5 0L4.2 -5V5Z",
    ">": "M5 0L-4.2 -5V5Z",
    "p": "M0 -5L4.8 -1.5L2.9 4H-2.9L-4.8 -1.5Z",
    "h": "M0 -5L4.3 -2.5V2.5L0 5L-4.3 2.5V-2.5Z",
    "d": "M0 -5.5L3.2 0L0 5.5L-3.2 0Z",
    "H": "M-5 0L-2.5 -4.3H2.5L5 0L2.5 4.3H-2.5Z",
    "8": "M-2 -5H2L5 -2V2L2 5H-2L-5 2V-2Z",
    "$\N{BLACK SPADE SUIT}$": (
        "M0 -5.2C1 -3 5 -0.8 5 1.6A2.4 2.4 0 0 1 0.9 3L1.8 5H-1.8L-0.9 3A2.4 2.4 0 0 1 -5 1.6C-5 -0.8 -1 -3 0 -5.2Z"
    ),
    ".": "M-2.2 0A2.2 2.2 0 1 0 2.2 0A2.2 2.2 0 1 0 -2.2 0Z",
}


def part(name: str, *arguments: object) -> Markup:
    """What the macro of that name in parts.html makes of the arguments."""
    made: Markup = getattr(_parts(), name)(*arguments)
    return made


def rendered(template: str, **values: object) -> Markup:
    """A template of the page with its values; text among them is escaped."""
    from markupsafe import Markup

    return Markup(environment().get_template(template).render(**values))


@cache
def environment() -> Environment:
    """Escapes everything, whatever a template is called; a name that nobody gives is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        style_of=style_of, outlines=OUTLINES, no_algorithm=NO_ALGORITHM, light=LIGHT, dark=DARK
    )
    return made


@cache
def _parts() -> object:
    return environment().get_template("parts.html").module
