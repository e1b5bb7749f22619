"""The registers a kernel names: two files of 32, six accumulators, and register-mapped input and output."""

from __future__ import annotations

from dataclasses import dataclass, replace

from codegen.engines.videocore4.isa import NOP_ADDRESS, READ_ADDRESSES, WRITE_ADDRESSES
from codegen.engines.videocore4.syntax import PACK_A_CODES, PACK_MUL_CODES, UNPACK_CODES
from codegen.errors import AssemblyError


@dataclass(frozen=True)
class Register:
    """A place an operation reads or writes.

    `read_ports` and `write_files` say through which register file's port ("a", "b") it can be reached;
    `resource` is the unit whose accesses stay in program order; a peripheral allows one access an instruction.
    A virtual register has no place until it is allocated; `files` are where it may go: "a", "b", "r" (r0 to r3).
    """

    name: str
    resource: str
    mux: int | None = None  # accumulators only
    read_address: int | None = None
    read_ports: str = ""
    write_address: int | None = None
    write_files: str = ""
    ordered: bool = False
    peripheral: bool = False
    virtual: bool = False
    files: str = ""
    unpack: str = ""
    pack: str = ""

    def __repr__(self) -> str:
        return ".".join(filter(None, (self.name, self.unpack, self.pack)))

    def unpacked(self, mode: str) -> Register:
        """As an operand: a part of it, widened; modes of the ISA's unpack tables. For file A and r4."""
        if mode not in UNPACK_CODES:
            raise AssemblyError(f"{self}: unpack mode {mode!r}: one of {', '.join(UNPACK_CODES)}")
        if not (self.virtual or self.mux == 4 or (self.read_ports == "a" and self.is_general)):
            raise AssemblyError(f"{self} cannot be unpacked: only registers of file A and r4 can")
        return replace(self, unpack=mode, files="a" if self.virtual else "")

    def packed(self, mode: str) -> Register:
        """As a result: narrowed into a part of it; modes of the ISA's pack tables.

        The colour modes are the multiplier's and go anywhere, the others need a register of file A.
        """
        if mode in PACK_MUL_CODES:
            return replace(self, pack=mode)
        if mode not in PACK_A_CODES:
            raise AssemblyError(
                f"{self}: pack mode {mode!r}: one of {', '.join((*PACK_A_CODES, *PACK_MUL_CODES))}"
            )
        if not (self.virtual or (self.write_files == "a" and self.is_general)):
            raise AssemblyError(f"{self} cannot be written with {mode}: only registers of file A can")
        return replace(self, pack=mode, files="a" if self.virtual else "")

    @property
    def is_general(self) -> bool:
        """Whether it is a location of a register file."""
        return self.write_address is not None and self.write_address < 32


def A(index: int) -> Register:
    """Register file A; 30 and 31 belong to the linker."""
    return _general("a", index)


def B(index: int) -> Register:
    """Register file B."""
    return _general("b", index)


def _general(file: str, index: int) -> Register:
    if not 0 <= index <= 31:
        raise AssemblyError(f"register r{file}{index} does not exist: 0 to 31")
    name = f"r{file}{index}"
    return Register(name, name, read_address=index, read_ports=file, write_address=index, write_files=file)


def virtual(name: str, files: str = "abr") -> Register:
    """A value that the allocator finds a register for: in file A ("a"), B ("b") or r0 to r3 ("r")."""
    if not files or not set(files) <= set("abr"):
        raise AssemblyError(f"virtual register {name}: files {files!r} are not some of a, b and r")
    return Register(f"%{name}", f"%{name}", write_files="ab", virtual=True, files=files)


def _accumulator(index: int) -> Register:
    return Register(
        f"r{index}", f"r{index}", mux=index, write_address=32 + index if index < 4 else None, write_files="ab"
    )


def _read(name: str, resource: str, address: str, ports: str = "ab", peripheral: bool = False) -> Register:
    return Register(
        name,
        resource,
        read_address=READ_ADDRESSES[address],
        read_ports=ports,
        ordered=True,
        peripheral=peripheral,
    )


def _write(name: str, resource: str, address: str, files: str = "ab", peripheral: bool = True) -> Register:
    return Register(
        name,
        resource,
        write_address=WRITE_ADDRESSES[address],
        write_files=files,
        ordered=True,
        peripheral=peripheral,
    )


R0, R1, R2, R3 = (_accumulator(i) for i in range(4))
R4 = _accumulator(4)
R5 = _accumulator(5)
# r5 is written through file A (each quad its own first lane) or file B (every lane lane 0).
R5_QUAD = Register("r5.quad", "r5", write_address=WRITE_ADDRESSES["r5"], write_files="a")
R5_ALL = Register("r5.all", "r5", write_address=WRITE_ADDRESSES["r5"], write_files="b")

NULL = Register(
    "-", "null", read_address=NOP_ADDRESS, read_ports="ab", write_address=NOP_ADDRESS, write_files="ab"
)
ELEMENT = Register("element", "element", read_address=38, read_ports="a")
QPU = Register("qpu", "qpu", read_address=38, read_ports="b")

UNIFORM = _read("uniform", "uniform", "uniform")
# The same stream through one port, and that port's value once more: a read of a file's NOP address gives lanes 12
# to 15 of the last value the port delivered to every quad, which for a uniform is the uniform (addendum,
# "Secret access to previous input values").
UNIFORM_A = _read("uniform", "uniform", "uniform", "a")
UNIFORM_B = _read("uniform", "uniform", "uniform", "b")
RELAY_A = _read("relay.a", "uniform", "nop", "a")
RELAY_B = _read("relay.b", "uniform", "nop", "b")
UNIFORM_ADDRESS = _write("uniform_address", "uniform", "uniforms_address", peripheral=False)

VPM_READ = _read("vpm.read", "vpm", "vpm", peripheral=True)
VPM_WRITE = _write("vpm.write", "vpm", "vpm")
VPM_READ_SETUP = _write("vpm.read_setup", "vpm", "vpm_setup", "a")  # also the DMA load's setup
VPM_WRITE_SETUP = _write("vpm.write_setup", "vpm", "vpm_setup", "b")  # also the DMA store's setup
DMA_LOAD_ADDRESS = _write("dma.load", "vpm", "dma_address", "a")
DMA_STORE_ADDRESS = _write("dma.store", "vpm", "dma_address", "b")
DMA_LOAD_WAIT = _read("dma.load_wait", "vpm", "dma_wait", "a", peripheral=True)
DMA_STORE_WAIT = _read("dma.store_wait", "vpm", "dma_wait", "b", peripheral=True)

TMU0_S = _write("tmu0", "tmu0", "tmu0_s")
TMU1_S = _write("tmu1", "tmu1", "tmu1_s")
TMU_S = (TMU0_S, TMU1_S)
TMU_NOSWAP = _write("tmu_noswap", "tmu0", "tmu_noswap")
MUTEX = _read("mutex", "vpm", "mutex", peripheral=True)
MUTEX_RELEASE = _write("mutex.release", "vpm", "mutex_release")
HOST_INTERRUPT = _write("host_interrupt", "vpm", "host_interrupt")

# The special functions' results arrive in r4.
SFU_RECIP = _write("sfu_recip", "r4", "sfu_recip")
SFU_RSQRT = _write("sfu_rsqrt", "r4", "sfu_rsqrt")
SFU_EXP2 = _write("sfu_exp2", "r4", "sfu_exp2")
SFU_LOG2 = _write("sfu_log2", "r4", "sfu_log2")
