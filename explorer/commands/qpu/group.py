"""The commands `explore qpu`: assembler, disassembler, checker and instruction set. Heavy imports stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.qpu.run import run, sensitivity
from explorer.terminal.exits import EXIT_CHECK_FAILED, reported
from explorer.terminal.json_output import json_option

qpu_app = typer.Typer(
    help="Programs of the GPU's QPUs: assemble, disassemble, check. Files may be - for the standard streams.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

CodeArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="raw little-endian words, or a listing: 0x009e7000, 0x100009e7, …"),
]
FormOption = Annotated[
    str,
    typer.Option(
        "--form",
        help="how the file is read: auto, raw, words32 (low half first), words32-high-first, words64",
        metavar="FORM",
    ),
]


@qpu_app.command()
def isa() -> None:
    """Print the instruction set, the text syntax and the validator's rules as Markdown."""
    from codegen.engines.videocore4.documentation import markdown

    with reported():
        typer.echo(markdown(), nl=False)


@qpu_app.command()
def asm(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="program text; `explore qpu isa` has its syntax")
    ],
    out: Annotated[Path, typer.Option(help="file to write; - prints", metavar="FILE")] = Path("-"),
    form: Annotated[
        str,
        typer.Option(
            "--form", help="what is written: words32 (low half first), words64 or raw", metavar="FORM"
        ),
    ] = "words32",
    check: Annotated[bool, typer.Option(help="refuse a program that breaks a rule of the hardware")] = True,
    part: Annotated[
        bool, typer.Option("--part", help="the program is a part: nothing holds at its ends")
    ] = False,
) -> None:
    """Assemble program text."""
    from codegen.engines.videocore4.listing import write_listing, write_raw
    from codegen.engines.videocore4.text import assemble_text
    from explorer.qpu.files import STREAM, read_text, require_form, require_sound, write_file
    from explorer.terminal.console import say_next, stdout

    with reported(place=out):
        chosen = require_form(form, ("words32", "words64", "raw"))
        words = assemble_text(read_text(source))
        if check:
            require_sound(words, whole=not part)
        if chosen == "raw":
            write_file(out, write_raw(words))
        else:
            write_file(out, write_listing(words, "words64" if chosen == "words64" else "words32").encode())
        if out != STREAM:
            say_next(stdout(), f"explore qpu run {out}")


@qpu_app.command()
def disasm(
    file: CodeArgument,
    form: FormOption = "auto",
    out: Annotated[Path, typer.Option(help="file to write; - prints", metavar="FILE")] = Path("-"),
) -> None:
    """Print a program as text that `explore qpu asm` reads back to the same words."""
    from codegen.engines.videocore4.disassembler import disassemble
    from explorer.qpu.files import STREAM, load_words, write_file
    from explorer.terminal.console import say_next, stdout

    with reported(place=out):
        write_file(out, disassemble(load_words(file, form)).encode())
        if out != STREAM:
            say_next(stdout(), f"explore qpu asm {out}")


@qpu_app.command()
def check(
    file: CodeArgument,
    form: FormOption = "auto",
    part: Annotated[
        bool, typer.Option("--part", help="the program is a part: nothing holds at its ends")
    ] = False,
    slots: Annotated[bool, typer.Option("--slots", help="tell how full every loop is")] = False,
    as_json: Annotated[
        bool,
        json_option(
            "instructions (how many), findings (rule, severity, index, text) and loops (start, stop, instructions, "
            "adds, muls, loads, idle, inner)"
        ),
    ] = False,
) -> None:
    """Check a program against the hardware's rules; exit code 1 where it breaks one."""
    from codegen.engines.videocore4.validate import check_words
    from explorer.qpu.files import check_json, load_words, print_findings, print_slots
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json

    with reported():
        words = load_words(file, form)
        findings = check_words(words, whole=not part)
        if as_json:
            print_json(check_json(words, findings))
        else:
            print_findings(words, findings)
        if slots and not as_json:
            print_slots(words)
        if any(finding.rule.severity == "error" for finding in findings):
            raise typer.Exit(EXIT_CHECK_FAILED)
        if not as_json:
            say_next(stdout(), f"explore qpu run {file}")


qpu_app.command()(run)
qpu_app.command()(sensitivity)
