"""The documentation builds without a warning, holds every command and result, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

from explorer.cli import command_line
from tests.test_floors import ROOT

LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Loads(HTMLParser):
    """Addresses that a page loads, and the places of the site that it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(LOADING.get(tag, "")) or ""
        if address and values.get("rel") != "canonical":
            self.loaded.append(address)
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(
        [*command, "--config-file", "docs/site/mkdocs.yml", "--site-dir", str(place)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr, built.stderr
    return place


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for address in Loads(page.read_text(encoding="utf-8")).loaded:
            assert not re.match(r"(\w+:)?//", address), f"{page.name} loads {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet
        )


def test_links_lead_to_pages_that_are_there(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":  # its links are those of the place where it is served
            continue
        for link in Loads(page.read_text(encoding="utf-8")).links:
            place = link.partition("#")[0]
            if place and not re.match(r"\w+:", link):
                assert (page.parent / place).exists(), f"{page.relative_to(site)} leads to {link}"


def test_every_command_has_its_section(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")
    root = typer.main.get_command(command_line())
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        for words in [f"{name} {below}" for below in getattr(command, "commands", ())] or [name]:
            assert f"explore {words}</code>" in text, words


def test_every_page_of_results_is_in_the_gallery(site: Path) -> None:
    text = (site / "gallery.html").read_text(encoding="utf-8")
    pages = sorted((ROOT / "results").glob("*.md"))
    assert len(pages) > 10
    for page in pages:
        assert f'href="results/{page.stem}.html"' in text, page.name


def test_the_api_page_has_every_public_name(site: Path) -> None:
    import explorer

    text = (site / "docs" / "api.html").read_text(encoding="utf-8")
    for name in explorer.__all__:
        assert re.search(rf'id="[\w.]+\.{name}"', text), name


def test_the_picture_of_the_flow_is_what_its_script_draws() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "site" / "flow.py"))
    assert script["PICTURE"].read_text(encoding="utf-8") == script["picture"]()
