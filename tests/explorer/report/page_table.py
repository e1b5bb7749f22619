"""What pages of reports weigh, load and lack, as a table:

python -m tests.explorer.report.page_table PAGE... --out results/report-pages.md
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from tests.explorer.report.browser import Browser, View, chromium
from tests.explorer.report.screenshots import VIEWS
from tests.probes import AXE

LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
OPEN_ALL = "for (const card of document.querySelectorAll('details')) card.open = true;"
# The violations by their impact, the least contrast of all texts that axe-core could judge, and how many those were.
JUDGE = """
const found = await axe.run();
const contrast = [...found.passes, ...found.violations].filter((rule) => rule.id === "color-contrast");
const ratios = contrast.flatMap((rule) => rule.nodes).flatMap((node) => node.any)
  .map((check) => check.data.contrastRatio).filter(Number.isFinite);
return [found.violations.map((rule) => rule.impact), Math.min(...ratios), ratios.length];
"""
JUDGED = (
    "phone",
    "laptop-dark",
)  # each rule is asked in either scheme; it takes long on a page of hundreds of rows
TEXT = """# Pages of reports

Reports of runs, looked at in a headless Chromium by `python -m tests.explorer.report.page_table`: a phone is 390 pixels
across, a laptop 1280, print is the style for paper. All cards are open. Texts that are cut, covered or out of their
figure are found in the page's own layout (`tests/explorer/report/looks.js`). Contrast and findings are axe-core's: the
least contrast of any text it could judge (4.5 to 1 is asked for small ones). Requests are those of the browser for the
page.

"""
HEADINGS = (
    "page", "view", "scripts", "bytes", "other requests", "cut or covered texts", "least contrast", "texts judged",
    "findings of axe-core",
)  # fmt: skip


def rows(browser: Browser, page: Path) -> list[tuple[str, ...]]:
    """A row for each way to look at a page."""
    return [_row(browser, page, view, scripts) for view in VIEWS for scripts in (True, False)]


def _row(browser: Browser, page: Path, view: View, scripts: bool) -> tuple[str, ...]:
    browser.open(page, view, scripts)
    requests = [a for a in browser.requests() if a != page.resolve().as_uri() and not a.startswith("data:")]
    browser.evaluate(OPEN_ALL)
    wrong = browser.evaluate(LOOKS)
    judged = ("-", "-", "-")
    if scripts and view.name in JUDGED:
        browser.evaluate(AXE.read_text(encoding="utf-8"))
        impacts, contrast, texts = browser.evaluate(JUDGE)
        counts = sorted(Counter(impacts).items())
        found = ", ".join(f"{count} {impact}" for impact, count in counts) or "none"
        judged = (f"{contrast:.2f}", str(texts), found)
    size = f"{page.stat().st_size:,}"
    own = (page.parent.name, view.name, "on" if scripts else "off", size)
    return (*own, str(len(requests)), str(len(wrong)), *judged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with chromium() as browser:
        table = [row for page in arguments.pages for row in rows(browser, page)]
    lines = [HEADINGS, ("---",) * len(HEADINGS), *table]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    arguments.out.write_text(TEXT + text, encoding="utf-8")


if __name__ == "__main__":
    main()
