"""What the site has: the repository's documents as they are, the commands, the results.

Documents keep their places under the root, so that links between them hold on the site as in the repository. A link to
a file that is no page becomes the file's name.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")

sys.path.insert(0, str(Path(__file__).parent))

from commands import commands_page  # noqa: E402
from gallery import gallery_page  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds every generated page and every figure."""
    documents = {path: _page_of(path) for path in _documents()}
    for path, page in documents.items():
        files.append(File.generated(config, page, content=_with_links(path, documents)))
    for figure in sorted((ROOT / "results" / "figures").iterdir()):
        place = figure.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(figure)))
    files.append(File.generated(config, "commands.md", content=commands_page()))
    files.append(File.generated(config, "gallery.md", content=gallery_page(ROOT / "results")))
    return files


def _documents() -> Iterator[str]:
    """Markdown of the repository that is shown, by path from its root."""
    yield from PAGES
    for folder in ("docs", "results"):
        for path in sorted((ROOT / folder).glob("*.md")):
            if path != ROOT / "docs" / "README.md":  # the navigation takes its place
                yield path.relative_to(ROOT).as_posix()


def _page_of(path: str) -> str:
    return "index.md" if path == "README.md" else path


def _with_links(path: str, documents: dict[str, str]) -> str:
    """A document whose links lead to pages of the site."""

    def resolved(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        place, _, anchor = target.partition("#")
        if not place or "://" in target:
            return match[0]
        found = posixpath.normpath(posixpath.join(posixpath.dirname(path), place))
        if found in documents or mark:
            page = posixpath.relpath(documents.get(found, found), posixpath.dirname(_page_of(path)) or ".")
            return f"{mark}[{text}]({page}{'#' + anchor if anchor else ''})"
        if not (ROOT / found).exists():
            raise FileNotFoundError(f"{path} links to {target}, which is not there")
        return text if found == text else f"{text} (`{found}`)"

    lines = (ROOT / path).read_text(encoding="utf-8").split("\n")
    fenced = False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            lines[number] = _LINK.sub(resolved, line)
    return "\n".join(lines)
