"""The C compilers: caching, cross targets, and what is said when they refuse."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.engines.cpu import toolchain
from codegen.engines.cpu.toolchain import compile_executable, compile_shared
from codegen.errors import ToolchainError
from codegen.target import Target

HOST = Target(name="host", qpus=0, cpu="native", compiler=("",), cores=1)
MAIN = {
    "main.c": '#include "answer.h"\nint main(void) { return ANSWER; }\n',
    "answer.h": "#define ANSWER 42\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(toolchain, "cache_directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def fresh_compilers() -> Iterator[None]:
    toolchain.compiler_command.cache_clear()
    toolchain.compiler_identity.cache_clear()
    yield
    toolchain.compiler_command.cache_clear()
    toolchain.compiler_identity.cache_clear()


def test_an_executable_runs_and_is_built_once(cache: Path) -> None:
    first = compile_executable(MAIN, HOST)
    assert subprocess.run([first], check=False).returncode == 42
    before = first.stat().st_mtime_ns
    assert compile_executable(MAIN, HOST) == first
    assert first.stat().st_mtime_ns == before
    assert [path for path in cache.rglob("*") if path.is_file()] == [first]


def test_sources_flags_and_headers_are_part_of_the_key() -> None:
    paths = {
        compile_executable(MAIN, HOST),
        compile_executable(MAIN, HOST, ("-O2",)),
        compile_executable({**MAIN, "answer.h": "#define ANSWER 41\n"}, HOST),
    }
    assert len(paths) == 3


def test_a_shared_object_can_be_loaded() -> None:
    path = compile_shared({"f.c": "int twice(int x) { return 2 * x; }\n"}, HOST)
    assert ctypes.CDLL(str(path)).twice(21) == 42


def test_a_refused_source_shows_what_the_compiler_says() -> None:
    with pytest.raises(ToolchainError, match="the C compiler failed") as raised:
        compile_executable({"main.c": "int main(void) { return missing; }\n"}, HOST)
    assert "missing" in str(raised.value)
    with pytest.raises(ToolchainError, match="nothing to compile"):
        compile_executable({"only.h": ""}, HOST)


def test_a_cache_that_cannot_be_written_is_a_toolchain_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(toolchain, "cache_directory", lambda: tmp_path / "file")
    with pytest.raises(ToolchainError, match="cannot keep a compiled file"):
        compile_executable(MAIN, HOST)


def test_without_a_system_compiler_zig_is_taken(
    monkeypatch: pytest.MonkeyPatch, fresh_compilers: None
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert toolchain.compiler_command("")[1:] == ("-m", "ziglang", "cc")
    assert toolchain.compiler_command("arm-linux-musleabihf")[-2:] == ("-target", "arm-linux-musleabihf")


def test_without_any_compiler_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, fresh_compilers: None, tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ToolchainError, match="pip install ziglang"):
        toolchain.compiler_command("")
