"""The HTML page of an executed notebook: one file, no script, nothing loaded from anywhere."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from nbformat import NotebookNode

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 80rem; margin: 0 auto;
  padding: 1.5rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; margin: 0.5rem 0 0.3rem; }
h2 { font-size: 1.25rem; margin: 1.8rem 0 0.5rem; padding-top: 0.8rem; border-top: 1px solid #d0d7de; }
nav a { margin-right: 1.2rem; }
a { color: #0b5cad; }
.anchor-link, .prompt { display: none; }
.output { margin: 0.8rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.82rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid #8c959f; }
th, td { padding: 0.22rem 0.6rem; }
td { border-bottom: 1px solid #e4e8ec; vertical-align: top; max-width: 34rem; overflow-wrap: break-word; }
tbody tr:nth-child(even) { background: #f6f8fa; }
img { max-width: 100%; height: auto; }
.reading { border-left: 4px solid #0b5cad; padding: 0.1rem 0 0.1rem 0.8rem; margin: 0.3rem 0 0.8rem; max-width: 54rem; }
pre { background: #f6f8fa; padding: 0.7rem 1rem; overflow-x: auto; font-size: 0.85rem; }
"""


def page(notebook: NotebookNode, title: str, notebook_name: str) -> str:
    """The page: what the cells show, without their code; `notebook_name` is linked for those who want that."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_output_prompt=True, exclude_input_prompt=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    links = "".join(f'<a href="#{anchor}">{html.escape(text)}</a>' for anchor, text in _headings(notebook))
    code = f'<a href="{quote(notebook_name)}">{html.escape(notebook_name)}</a>'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<nav>{links}</nav>\n<main>\n{body}</main>\n"
        f"<footer><p>The code behind every table and figure: {code}.</p></footer>\n</body>\n</html>\n"
    )


def _headings(notebook: NotebookNode) -> list[tuple[str, str]]:
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = [source.removeprefix("## ") for source in sources if source.startswith("## ")]
    return [(quote(title.replace(" ", "-")), title) for title in titles]
