"""`explore algorithms`."""

from __future__ import annotations

from typing import Annotated

from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option


def algorithms(
    as_json: Annotated[bool, json_option("a list of algorithm, engine, summary")] = False,
) -> None:
    """List the registered algorithms."""
    from codegen.algorithm import algorithms as registered
    from codegen.algorithm_base import first_sentence
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json
    from explorer.terminal.sheet import Sheet

    with reported():
        rows = [(known.name, known.engine, first_sentence(known)) for known in registered().values()]
        if as_json:
            print_json([dict(zip(("algorithm", "engine", "summary"), row, strict=True)) for row in rows])
            return
        console = stdout()
        Sheet("", ("algorithm", "engine", "what it does"), rows).show(console)
        say_next(console, "explore run --force LAYER=ALGORITHM, or --forbid, to overrule a search")
