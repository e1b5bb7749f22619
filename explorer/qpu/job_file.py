"""Job files: codes, buffers, launches and expectations of QPU programs in TOML (docs/qpu-programs.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.listing import FORMS, read_program
from codegen.engines.videocore4.text import assemble_text
from codegen.errors import AssemblyError, ListingError
from codegen.target import GPU_MEMORIES
from explorer.errors import JobFileError
from explorer.qpu.expectations import TYPES, Expectation, fault, numbers_of
from explorer.qpu.job import DEFAULT_DEVICE, DEFAULT_TIMEOUT_S, LARGEST_BUFFER_BYTES, Job, filled
from explorer.qpu.toml_table import TomlTable
from explorer.qpu.uniforms import NAME, RESERVED, file_words, float_word, integer_word, named_value
from microbench.virtual.program import BufferAddress, Code, QpuLaunch, QpuProgram, UniformValue

SUFFIX = ".toml"
TEXT = "text"
MOST_QPUS = 16
MOST_LAUNCHES = 10_000
_HIGHEST_CLOCK_HZ = 5e9

Streams = tuple[tuple[UniformValue, ...], ...]


def read_job(path: Path) -> Job:
    """The job of a file; names in it are relative to its directory. Raises JobFileError with every fault it has."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobFileError(f"{path}: cannot be read: {error.strerror}; name a file that is there") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise JobFileError(f"{path}: no TOML: {error}") from error
    reader = _Reader(path.parent)
    job = reader.job(TomlTable(values, "", reader.faults))
    if reader.faults:
        raise JobFileError("\n  ".join([f"{path}: {len(reader.faults)} faults", *reader.faults]))
    return job


@dataclass(frozen=True, eq=False)
class _Content:
    numbers: NDArray[np.generic]
    source: str


def _numbers(values: Any, kind: str) -> NDArray[np.generic]:
    """Raises ValueError for what is no list of numbers of a type."""
    if not isinstance(values, list) or not values:
        raise ValueError(f"must be a list of numbers, not {values!r}")
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise ValueError("must be numbers, each of them")
    wide = np.array(values, np.float64)
    numbers = wide.astype(kind)
    if not kind.startswith("float") and not np.array_equal(numbers.astype(np.float64), wide):
        raise ValueError(f"not every value is a whole number that fits {kind}")
    return numbers


@dataclass
class _Reader:
    """Reads tables in the order in which they need each other; what is broken is left out and found fault with."""

    base: Path
    faults: list[str] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    buffers: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)  # buffers, the broken ones too
    outputs: dict[str, Path] = field(default_factory=dict)

    def job(self, top: TomlTable) -> Job:
        device = top.text("device") or DEFAULT_DEVICE
        v3d_hz = top.number("v3d_hz", None, 1e6, _HIGHEST_CLOCK_HZ)
        gpu_memory = top.choice("gpu_memory", GPU_MEMORIES, "")
        timeout_s = top.number("timeout_s", DEFAULT_TIMEOUT_S, 1e-6, 1e6)
        lax = top.flag("lax")
        codes, buffers = top.named_tables("code"), top.named_tables("buffer")
        launches, expectations = top.tables("launch"), top.tables("expect")
        top.close()
        for name, table in codes.items():
            self._code(name, table)
        for name, table in buffers.items():
            self._buffer(name, table)
        if not launches:
            self.faults.append("launch: is missing; a job has at least one table [[launch]]")
        done = tuple(launch for table in launches for launch in self._launch(table, tuple(codes)))
        return Job(
            QpuProgram(self.buffers, done),
            {code: name for name, code in self.codes.items()},
            self.outputs,
            tuple(e for table in expectations if (e := self._expectation(table)) is not None),
            self._device(device),
            v3d_hz,
            next((known for known in GPU_MEMORIES if known == gpu_memory), None),
            timeout_s if timeout_s is not None else DEFAULT_TIMEOUT_S,
            lax,
        )

    def _device(self, name: str) -> str:
        """A profile's name, or a file beside the job's."""
        return str(self.base / name) if name.endswith(SUFFIX) else name

    # Codes and buffers --------------------------------------------------------------------------------------

    def _code(self, name: str, table: TomlTable) -> None:
        form = table.choice("form", (*FORMS, TEXT), "auto")
        found = table.data("file", self.base, required=True)
        table.close()
        if found is None:
            return
        path, data = found
        try:
            if form == TEXT:
                self.codes[name] = assemble_text(data.decode("utf-8"))
            else:
                self.codes[name] = read_program(data, next(known for known in FORMS if known == form))
        except (AssemblyError, ListingError, UnicodeDecodeError) as error:
            table.fault("file", f"{path}: {error}")
            return
        if not self.codes[name]:
            table.fault("file", f"{path} has no instruction; a program has at least a thread end")

    def _buffer(self, name: str, table: TomlTable) -> None:
        self.declared.add(name)
        if NAME.fullmatch(name) is None or name in RESERVED:
            table.faults.append(
                f"{table.where}: a buffer's name has letters, digits and _, and is not {' or '.join(RESERVED)}"
            )
        size, out = table.whole("size", None, 1, LARGEST_BUFFER_BYTES), table.text("out")
        fill, before = table.whole("fill", 0, 0, 255) or 0, len(self.faults)
        content = self._content(table, "uint8")
        table.close()
        if len(self.faults) > before:
            return
        data = content.numbers.tobytes() if content is not None else b""
        if not data and size is None:
            table.fault("size", "is missing; a buffer has a size, a file or values")
        elif size is not None and len(data) > size:
            table.fault(
                "size", f"{content.source if content else ''} has {len(data)} bytes, more than {size}"
            )
        else:
            self.buffers[name] = filled(data, size if size is not None else len(data), fill)
            if out is not None:
                self.outputs[name] = self.base / out

    def _content(self, table: TomlTable, of_file: str) -> _Content | None:
        """Numbers of a file, or values that the table itself has, and where they come from."""
        kind = table.choice("type", TYPES, "")
        values, found = table.take("values"), table.data("file", self.base)
        if values is not None and found is not None:
            table.fault("values", "and a file: give one of them")
            return None
        try:
            if values is not None:
                return _Content(_numbers(values, kind or TYPES[0]), f"{table.where}.values")
            return None if found is None else _Content(numbers_of(found[1], kind or of_file), str(found[0]))
        except ValueError as error:
            table.fault("file" if values is None else "values", str(error))
            return None

    # Launches -----------------------------------------------------------------------------------------------

    def _launch(self, table: TomlTable, names: Sequence[str]) -> tuple[QpuLaunch, ...]:
        qpus = table.whole("qpus", None, 1, MOST_QPUS)
        repeat = table.whole("repeat", 1, 1, MOST_LAUNCHES) or 1
        code, uniforms = table.take("code"), table.take("uniforms")
        table.close()
        chosen = self._codes_of(table, code, names)
        streams = self._streams(table, uniforms)
        if chosen is None or streams is None:
            return ()
        count = qpus or max(len(chosen), len(streams))
        if len(chosen) not in (1, count):
            table.fault("code", f"{len(chosen)} codes for {count} QPUs; name one for all, or one for each")
            return ()
        if len(streams) not in (1, count):
            table.fault(
                "uniforms", f"{len(streams)} lists for {count} QPUs; give one for all, or one for each"
            )
            return ()
        each = count if len(chosen) == 1 else 1
        alike = count if len(streams) == 1 else 1
        return (QpuLaunch(chosen * each, streams * alike),) * repeat

    def _codes_of(self, table: TomlTable, value: Any, names: Sequence[str]) -> tuple[Code, ...] | None:
        """One code for all QPUs, or one for each; the only one there is may go without saying."""
        if value is None and len(names) == 1:
            value = names[0]
        wanted = value if isinstance(value, list) else [value]
        unknown = [name for name in wanted if name not in names]
        if not wanted or unknown:
            what = f"no code {unknown[0]!r}" if unknown and unknown[0] is not None else "is missing"
            table.fault(
                "code", f"{what}; there are: {', '.join(names) or 'none; a job has a table [code.NAME]'}"
            )
            return None
        found = tuple(self.codes[name] for name in wanted if name in self.codes)
        return found if len(found) == len(wanted) else None

    def _streams(self, table: TomlTable, value: Any) -> Streams | None:
        """One list of uniforms for all QPUs, or a list of lists with one for each."""
        if value is None:
            return ((),)
        if not isinstance(value, list):
            table.fault("uniforms", f"must be a list, or a list of lists, not {value!r}")
            return None
        if not value or not all(isinstance(item, list) for item in value):
            return self._whole_stream(table, value, "uniforms")
        streams = [self._whole_stream(table, item, f"uniforms, QPU {n}") for n, item in enumerate(value)]
        whole = [stream[0] for stream in streams if stream is not None]
        return tuple(whole) if len(whole) == len(streams) else None

    def _whole_stream(self, table: TomlTable, items: Sequence[Any], key: str) -> Streams | None:
        before = len(self.faults)
        words: list[UniformValue] = []
        for number, item in enumerate(items, 1):
            try:
                words += self._words(item)
            except ValueError as error:
                table.fault(key, f"item {number}, {item!r}: {error}")
        return (tuple(words),) if len(self.faults) == before else None

    def _words(self, item: Any) -> Sequence[UniformValue]:
        """Raises ValueError."""
        if isinstance(item, bool):
            raise ValueError("write 0 or 1")
        if isinstance(item, int):
            return [integer_word(item)]
        if isinstance(item, float):
            try:
                return [float_word(item)]
            except OverflowError as error:
                raise ValueError("the number does not fit float32") from error
        if isinstance(item, Mapping):
            return self._file_words(item)
        value = named_value(item.removeprefix("@")) if isinstance(item, str) else None
        addresses = isinstance(item, str) and item.startswith("@")
        if value is None or addresses == (item in ("qpu", "qpus")):
            raise ValueError(
                "a uniform is a number, an address (@NAME, @NAME+64, @NAME+256*qpu, @uniforms), qpu, qpus, or "
                "{ file = NAME }"
            )
        if isinstance(value, BufferAddress) and value.buffer not in self.declared:
            raise ValueError(
                f"no buffer {value.buffer!r}; there are: {', '.join(sorted(self.declared)) or 'none'}"
            )
        return [value]

    def _file_words(self, item: Mapping[str, Any]) -> tuple[int, ...]:
        if set(item) != {"file"} or not isinstance(item["file"], str):
            raise ValueError("words of a file are written { file = NAME }")
        try:
            return file_words((self.base / item["file"]).read_bytes())
        except OSError as error:
            raise ValueError(f"{self.base / item['file']} cannot be read: {error.strerror}") from error

    # Expectations -------------------------------------------------------------------------------------------

    def _expectation(self, table: TomlTable) -> Expectation | None:
        buffer = table.text("buffer", required=True)
        tolerance = table.number("tolerance", 0.0, 0.0, float("inf")) or 0.0
        relative, offset = table.flag("relative"), table.whole("offset", 0, 0, LARGEST_BUFFER_BYTES) or 0
        before, content = len(self.faults), self._content(table, TYPES[0])
        table.close()
        if content is None and len(self.faults) == before:
            table.fault("file", "is missing; what is expected is a file or values")
        if buffer is None or content is None:
            return None
        expectation = Expectation(buffer, content.numbers, content.source, tolerance, relative, offset)
        what = fault(expectation, {name: content.nbytes for name, content in self.buffers.items()})
        if what is not None and (buffer in self.buffers or buffer not in self.declared):
            table.fault("buffer", what)
        return expectation
