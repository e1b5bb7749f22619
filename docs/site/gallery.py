"""The page of results: each file of results/ with its question, its command and its first figure."""

from __future__ import annotations

import re
from pathlib import Path

_LINK = re.compile(r"\[([^\]]*)\]\([^)]+\)")
_FIGURE = re.compile(r"!\[[^\]]*\]\((figures/[^)]+)\)")


def gallery_page(results: Path) -> str:
    """An entry for every page of results, in Markdown; raises ValueError where one has no title or first paragraph."""
    lines = [
        "# Results",
        "",
        "Every page was printed by its command from what is in the repository. No number was taken on silicon.",
    ]
    for path in sorted(results.glob("*.md")):
        title, paragraph = _head(path)
        lines += ["", f"## [{title}]({results.name}/{path.name})", "", paragraph]
        figure = _FIGURE.search(path.read_text(encoding="utf-8"))
        if figure:
            lines += ["", f"![{title}]({results.name}/{figure[1]})"]
    return "\n".join(lines) + "\n"


def _head(path: Path) -> tuple[str, str]:
    blocks = [block.strip() for block in path.read_text(encoding="utf-8").split("\n\n") if block.strip()]
    if not blocks or not blocks[0].startswith("# "):
        raise ValueError(f"{path} begins with no title")
    text = next((block for block in blocks[1:] if not block.startswith(("#", "|", "!", "```"))), None)
    if text is None:
        raise ValueError(f"{path} does not say what it shows")
    # Links lead on from the page itself: from another they would lead astray.
    return blocks[0].removeprefix("# ").split("\n")[0], _LINK.sub(r"\1", text)
