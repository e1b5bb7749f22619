"""The page of all commands, from what their `--help` is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from explorer.cli import command_line


def commands_page() -> str:
    """Every command of `explore` with its arguments and options, in Markdown."""
    lines = [
        "# Commands",
        "",
        "What `explore COMMAND --help` says, of every command. Exit codes: 0 done, 1 an error that a message tells,",
        "2 a wrong command line, 130 interrupted.",
    ]
    root = typer.main.get_command(command_line())
    for words, command in _leaves(root, ("explore",)):
        lines += ["", f"## `{' '.join(words)}`", "", _text(command.help)]
        lines += list(_table("Argument", [p for p in command.params if p.param_type_name == "argument"]))
        lines += list(_table("Option", [p for p in command.params if p.param_type_name == "option"]))
    return "\n".join(lines) + "\n"


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
        return
    for name in sorted(below):
        if not below[name].hidden:
            yield from _leaves(below[name], (*words, name))


def _table(title: str, params: list[Any]) -> Iterator[str]:
    shown = [p for p in params if not getattr(p, "hidden", False)]
    if not shown:
        return
    yield from ("", f"| {title} | | default |", "|---|---|---|")
    for param in shown:
        names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        if param.param_type_name == "argument":
            names = f"`{param.metavar or param.name.upper()}`"
        yield f"| {names} | {_text(getattr(param, 'help', None))} | {_default(param)} |"


def _default(param: Any) -> str:
    shown = getattr(param, "show_default", None)
    if isinstance(shown, str):
        return _text(shown)
    if param.required:
        return "required"
    value = param.default() if callable(param.default) else param.default
    if value is None or value in ((), [], "", False):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _text(text: str | None) -> str:
    """One line that a cell of a table can hold."""
    words = " ".join((text or "").split())
    return words.replace("|", "\\|").replace("<", "&lt;").replace("\b", "")
