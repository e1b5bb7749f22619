"""What the options of `explore qpu run` mean: the program, its uniforms, its buffers and the files they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UsageError
from explorer.qpu.expectations import TYPES, Expectation, fault, numbers_of
from explorer.qpu.files import load_words
from explorer.qpu.job import LARGEST_BUFFER_BYTES, Job
from explorer.qpu.job_file import SUFFIX, read_job
from explorer.qpu.uniforms import NAME, RESERVED, file_words, integer, named_value, number_word
from microbench.virtual.program import BufferAddress, QpuLaunch, QpuProgram, UniformValue


@dataclass(frozen=True)
class ProgramOptions:
    """The options that say what runs, as they were given; None and empty lists are those that were not.

    `load` reads the files and raises UsageError, ListingError or JobFileError.
    """

    program: Path
    form: str | None = None
    qpus: int | None = None
    uniforms: Sequence[str] = ()
    inputs: Sequence[str] = ()
    buffers: Sequence[str] = ()
    launches: int | None = None

    def load(self) -> Job:
        if self.program.suffix == SUFFIX:
            self._require_no_others()
            return read_job(self.program)
        contents: dict[str, NDArray[np.uint8]] = {}
        for name, content in (*map(_input, self.inputs), *map(_buffer, self.buffers)):
            if name in contents:
                raise UsageError(f"the buffer {name!r} is given twice: name each once with --in or --buffer")
            contents[name] = content
        code = load_words(self.program, self.form or "auto")
        launch = QpuLaunch.alike(code, tuple(self._stream(contents)), self.qpus or 1)
        return Job(QpuProgram(contents, (launch,) * (self.launches or 1)), {code: self.program.stem})

    def _stream(self, contents: Mapping[str, NDArray[np.uint8]]) -> Iterator[UniformValue]:
        for text in self.uniforms:
            for value in uniform_values(text):
                if isinstance(value, BufferAddress) and value.buffer not in contents:
                    raise UsageError(
                        f"--uniform {value.buffer}: no such buffer; give it with --in {value.buffer}=FILE or "
                        f"--buffer {value.buffer}=BYTES"
                    )
                yield value

    def _require_no_others(self) -> None:
        given = {
            "--form": self.form, "--qpus": self.qpus, "--uniform": self.uniforms, "--in": self.inputs,
            "--buffer": self.buffers, "--launches": self.launches,
        }  # fmt: skip
        said = [option for option, value in given.items() if value]
        if said:
            raise UsageError(f"{', '.join(said)}: {self.program} is a job file, which says that itself")


def with_files(job: Job, outputs: Sequence[str], expectations: Sequence[str]) -> Job:
    """The job with what --out and --expect add; raises UsageError."""
    files = {name: Path(value) for name, value in (_pair("--out", text, "FILE") for text in outputs)}
    for name, path in files.items():
        if name not in job.program.buffers:
            known = ", ".join(job.program.buffers) or "none"
            raise UsageError(f"--out {name}={path}: no such buffer; there are: {known}")
    expected = tuple(_expectation(text, job.program.buffers) for text in expectations)
    return replace(job, outputs={**job.outputs, **files}, expectations=(*job.expectations, *expected))


def uniform_values(text: str) -> Iterator[UniformValue]:
    """The words that one --uniform stands for; raises UsageError."""
    try:
        if text.startswith("@"):
            yield from file_words(_read(Path(text[1:])))
            return
        value = named_value(text)
        value = number_word(text) if value is None else value
    except ValueError as error:
        raise UsageError(f"--uniform {text}: {error}") from error
    if value is None:
        raise UsageError(
            f"--uniform {text}: neither a number, a buffer's name (NAME, NAME+64, NAME+256*qpu), uniforms, qpu, qpus, "
            "nor @FILE"
        )
    yield value


def _expectation(text: str, buffers: Mapping[str, NDArray[np.uint8]]) -> Expectation:
    name, value = _pair("--expect", text, "FILE:TOLERANCE")
    file, kind = value, TYPES[0]
    if value.rpartition(":")[2] in TYPES:
        file, _, kind = value.rpartition(":")
    file, _, tolerance = file.rpartition(":")
    try:
        if not file:
            raise ValueError("write NAME=FILE:TOLERANCE, or NAME=FILE:TOLERANCE:TYPE")
        expectation = Expectation(name, numbers_of(_read(Path(file)), kind), file, _tolerance(tolerance))
    except ValueError as error:
        raise UsageError(f"--expect {text}: {error}") from error
    what = fault(expectation, {known: content.nbytes for known, content in buffers.items()})
    if what is not None:
        raise UsageError(f"--expect {text}: {what}")
    return expectation


def _tolerance(text: str) -> float:
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1.0
    if not tolerance >= 0.0:
        raise ValueError(f"the tolerance {text!r} is no number from 0 on; types are {', '.join(TYPES)}")
    return tolerance


def _input(text: str) -> tuple[str, NDArray[np.uint8]]:
    name, value = _pair("--in", text, "FILE")
    return name, np.frombuffer(_read(Path(value)), np.uint8)


def _buffer(text: str) -> tuple[str, NDArray[np.uint8]]:
    name, value = _pair("--buffer", text, "BYTES")
    size = integer(value)
    if size is None or not 0 < size <= LARGEST_BUFFER_BYTES:
        raise UsageError(f"--buffer {text}: the size must be 1 to {LARGEST_BUFFER_BYTES} bytes")
    return name, np.zeros(size, np.uint8)


def _pair(option: str, text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value or NAME.fullmatch(name) is None or name in RESERVED:
        raise UsageError(
            f"{option} {text}: write NAME={what}, the name of letters and digits and not {' or '.join(RESERVED)}"
        )
    return name, value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name a file that is there") from error
