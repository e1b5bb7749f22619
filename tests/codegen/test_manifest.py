"""The manifest of a bundle: hashes of all files, its own included, and what becomes of changed and older ones."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codegen.bundle import compile_bundle, read_manifest
from codegen.bundle.manifest import BUNDLE_FORMAT, MANIFEST_NAME, SUMS_NAME
from codegen.errors import BundleError
from tests.codegen.planned import HOST, plan_of, small_network


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sound") / "bundle"
    graph = small_network()
    compile_bundle(graph, plan_of(graph), HOST, directory)
    return directory


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return shutil.copytree(sound, tmp_path / "bundle")


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def test_what_is_written_is_read(sound: Path) -> None:
    manifest = read_manifest(sound)
    assert manifest.format == BUNDLE_FORMAT
    assert {*manifest.files, MANIFEST_NAME, SUMS_NAME} == {path.name for path in sound.iterdir()}


def test_the_sums_are_those_of_sha256sum(sound: Path) -> None:
    names = sorted(path.name for path in sound.iterdir() if path.name != SUMS_NAME)
    ended = subprocess.run(["sha256sum", *names], cwd=sound, capture_output=True, text=True, check=True)
    assert (sound / SUMS_NAME).read_text() == ended.stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["inputs"][0].update(name="y"),
        lambda content: content["inputs"][0].update(shape=[1, 3, 17, 18]),
        lambda content: content.update(arena_bytes=content["arena_bytes"] + 64),
        lambda content: content["steps"].reverse(),
        lambda content: content["files"].pop("Makefile"),
        lambda content: content.update(format=1),
    ],
    ids=["name", "shape", "memory", "steps", "files", "format"],
)
def test_a_changed_manifest_is_refused(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite(bundle, lambda content: content)
    read_manifest(bundle)  # as it was
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=r"manifest\.json is not what SHA256SUMS lists"):
        read_manifest(bundle)


def test_no_byte_of_manifest_and_sums_can_change(bundle: Path) -> None:
    for name in (MANIFEST_NAME, SUMS_NAME):
        path, content = bundle / name, (bundle / name).read_bytes()
        for place in range(0, len(content), 41):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(BundleError):
                read_manifest(bundle)
        path.write_bytes(content)
    read_manifest(bundle)


def test_a_bundle_without_its_sums_is_refused(bundle: Path) -> None:
    (bundle / SUMS_NAME).unlink()
    with pytest.raises(BundleError, match=r"SHA256SUMS: No such file"):
        read_manifest(bundle)


def test_bundles_of_the_first_format_are_read_and_their_files_checked(bundle: Path) -> None:
    (bundle / SUMS_NAME).unlink()
    rewrite(bundle, lambda content: content.update(format=1))
    assert read_manifest(bundle).format == 1
    (bundle / "model.c").write_text("other")
    with pytest.raises(BundleError, match=r"model\.c is not what manifest\.json lists"):
        read_manifest(bundle)


def test_bundles_of_a_later_format_are_refused(bundle: Path) -> None:
    rewrite(bundle, lambda content: content.update(format=3))
    with pytest.raises(BundleError, match="bundle of format 3, this program reads 1 and 2"):
        read_manifest(bundle)
