"""Names of the text syntax: what operands and results are called, and where they lie. Derived from the tables.

One instruction a line, `#` starts a comment, `name:` a label:

    [ADD operation] ; [MUL operation] ; [signal]   {field=value, …}

`fadd.zs.sf ra1, r0, 1.0 ; mov.rot4 r1, r2 ; load_tmu0`. After an operation's name follow its condition (none:
always), `.sf` where it sets the flags, and on the mul ALU `.rot1` to `.rot15` or `.rot_r5`. The first operation is
the add ALU's, the second the mul ALU's; one that only the mul ALU has may stand first. `mov` is `or` or `v8min` of
equal operands. Results: ra0 to ra31, rb0 to rb31, r0 to r3, `-` for none, and the registers of the table, with a
pack mode behind (`ra1.16a`, `r0.color`). Operands: those registers, r0 to r5, small immediates (-16 to 15, and
1.0/256 to 128.0 in powers of two) and register-mapped inputs, with an unpack mode behind (`ra1.16a`, `r4.8b`), or
with the port (`uniform.b`) where not the first free one.

    load ra1, 0x3f800000 [; load.zs rb2]     32 bits: an integer or a float; `load.signed`, `load.unsigned` take
                                             a list of 16, `[0, 1, -1, …]`; the second result is the mul ALU's
    branch.any_zc NAME [; link ra1]          relative, to a label or by bytes from the fourth instruction after
    branch ra4 + 16, jump 0x1000, jump ra4   with the register's lane 15 added; `jump` is absolute
    acquire 5, release 5                     semaphores: decrement, increment
    .word 0x0123456789abcdef                 any word

Fields that the rest of the line does not say stand in braces by their names in the encoding.
"""

from __future__ import annotations

from codegen.engines.videocore4.tables import IO_TABLE, PACK_A, PACK_MUL, UNPACK_A

FILES = ("a", "b")

READ_NAMES: tuple[dict[int, str], dict[int, str]] = (
    {io.address: io.read[0] for io in IO_TABLE if io.read[0]},
    {io.address: io.read[1] for io in IO_TABLE if io.read[1]},
)
WRITE_NAMES: tuple[dict[int, str], dict[int, str]] = (
    {io.address: io.write[0] for io in IO_TABLE},
    {io.address: io.write[1] for io in IO_TABLE},
)
UNPACK_NAMES = {mode.code: mode.name for mode in UNPACK_A}
UNPACK_CODES = {mode.name: mode.code for mode in UNPACK_A if mode.name}
PACK_A_NAMES = {mode.code: mode.name for mode in PACK_A}
PACK_A_CODES = {mode.name: mode.code for mode in PACK_A if mode.name}
PACK_MUL_NAMES = {mode.code: mode.name for mode in PACK_MUL}
PACK_MUL_CODES = {mode.name: mode.code for mode in PACK_MUL if mode.name}


def read_name(file: int, address: int) -> str:
    """The operand that a port reads: `ra5`, `uniform`, or `io33` where there is no register."""
    if address < 32:
        return f"r{FILES[file]}{address}"
    return READ_NAMES[file].get(address, f"io{address}")


def write_name(file: int, address: int) -> str:
    """The result's place: `ra5`, `r0`, `vpm_read_setup`."""
    return f"r{FILES[file]}{address}" if address < 32 else WRITE_NAMES[file][address]


def _addresses(names: tuple[dict[int, str], dict[int, str]]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for file, by_address in enumerate(names):
        for address, name in by_address.items():
            found.setdefault(name, {})[file] = address
        for address in range(32):
            found.setdefault(f"r{FILES[file]}{address}", {})[file] = address
    return found


# Name -> file (0: A, 1: B) -> address.
READS = _addresses(READ_NAMES)
READS |= {
    f"io{address}": {file: address for file in (0, 1) if address not in READ_NAMES[file]}
    for address in range(32, 64)
    if any(address not in names for names in READ_NAMES)
}
WRITES = _addresses(WRITE_NAMES)
