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
# The least contrast of any text that axe-core could judge, and how many texts that were.
CONTRASTS = """
const found = await axe.run({ runOnly: ["color-contrast"] });
const ratios = [...found.passes, ...found.violations].flatMap((rule) => rule.nodes)
  .flatMap((node) => node.any).map((check) => check.data.contrastRatio).filter(Number.isFinite);
return [Math.min(...ratios), ratios.length];
"""
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
    browser.evaluate(AXE.read_text(encoding="utf-8"))
    violations = browser.evaluate("return (await axe.run()).violations")
    impacts = Counter(one["impact"] for one in violations)
    found = ", ".join(f"{count} {impact}" for impact, count in sorted(impacts.items())) or "none"
    contrast, judged = browser.evaluate(CONTRASTS)
    size = f"{page.stat().st_size:,}"
    counts = (str(len(requests)), str(len(wrong)), f"{contrast:.2f}", str(judged), found)
    return (page.parent.name, view.name, "on" if scripts else "off", size, *counts)


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
