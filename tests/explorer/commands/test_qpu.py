"""`explore qpu asm | disasm | check | isa` on files of every form."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from codegen.engines.videocore4.documentation import markdown
from codegen.engines.videocore4.isa import ADD_OPS, MUL_OPS, SIGNALS
from codegen.engines.videocore4.rules import RULES
from explorer.cli import command_line

PROGRAM = """\
    load ra0, 0xa
    mov r0, 0
    mov r1, 1.0
L3:
    sub.sf ra0, ra0, 1
    fadd r0, r0, r1
    branch.any_zc L3
    nop
    nop
    nop
    thread_end
    nop
    nop
"""


def explore(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(command_line(), ["qpu", *map(str, arguments)], input=text)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "count.qasm"
    path.write_text(PROGRAM.replace("0xa", "10"))
    return path


@pytest.mark.parametrize("form", ["raw", "words32", "words64"])
def test_a_program_goes_through_every_form_and_back(source: Path, tmp_path: Path, form: str) -> None:
    program = tmp_path / "count.bin"
    assert explore("asm", source, "--form", form, "--out", program).exit_code == 0
    shown = explore("disasm", program)
    assert (shown.exit_code, shown.stdout) == (0, PROGRAM.replace("thread_end", "nop ; thread_end"))
    again = tmp_path / "again.qasm"
    again.write_text(shown.stdout)
    other = tmp_path / "again.bin"
    assert explore("asm", again, "--form", form, "--out", other).exit_code == 0
    assert other.read_bytes() == program.read_bytes()


def test_listings_are_printed_and_read_from_the_standard_streams(source: Path) -> None:
    listing = explore("asm", source).stdout
    assert listing.splitlines()[0] == "0x0000000a, 0xe0020027,"
    assert "L3:" in explore("disasm", "-", text=listing).stdout


def test_check_names_rules_and_counts_slots(source: Path, tmp_path: Path) -> None:
    program = tmp_path / "p.bin"
    explore("asm", source, "--out", program)
    sound = explore("check", program, "--slots")
    assert sound.exit_code == 0
    assert "12 instructions, 0 errors, 0 warnings" in sound.stderr
    assert "3 to 8 (inner)" in sound.stdout and "2 of 12" in sound.stdout
    program.write_text("0x1, 0x100009e7, 0x15a27d80, 0x10020027")
    assert explore("check", program).exit_code == 1


def test_unsound_programs_are_not_assembled_unless_asked(tmp_path: Path) -> None:
    source = tmp_path / "p.qasm"
    source.write_text("mov ra0, r0\nmov r1, ra0\nthread_end\nnop\nnop\n")
    refused = explore("asm", source)
    assert refused.exit_code == 2
    assert "QPU101 at instruction 1 `mov r1, ra0`" in refused.stderr
    assert explore("asm", source, "--no-check").exit_code == 0


def test_a_part_need_not_end(tmp_path: Path) -> None:
    source = tmp_path / "p.qasm"
    source.write_text("nop\n")
    assert "QPU201" in explore("asm", source).stderr
    assert explore("asm", source, "--part").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("disasm", "missing.bin"), "missing.bin: No such file"),
        (("disasm", "mixed.txt"), "mixed.txt: ambiguous"),
        (("disasm", "mixed.txt", "--form", "hex"), "form 'hex' is not one of auto, raw"),
        (("asm", "raw.bin"), "raw.bin: no text, so no program text"),
        (("asm", "mixed.txt"), "line 1: unknown operation '0x1,'|line 1: "),
        (("asm", "mixed.txt", "--form", "auto"), "form 'auto' is not one of words32"),
    ],
)
def test_bad_input_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw.bin").write_bytes(b"\xff" * 8)
    Path("mixed.txt").write_text("0x1, 0x100009e7009e7000")
    result = explore(*arguments)
    assert result.exit_code == 2
    assert any(part in result.stderr.replace("\n", " ") for part in message.split("|"))


def test_the_reference_has_every_name_and_rule() -> None:
    page = explore("isa").stdout
    assert page == markdown()
    for name in (*ADD_OPS, *MUL_OPS, *SIGNALS):
        assert f"`{name}`" in page
    for rule in RULES:
        assert f"| {rule.number} | " in page and rule.source in page
