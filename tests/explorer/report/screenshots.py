"""Screenshots of a report: python -m tests.explorer.report.screenshots PAGE --out DIRECTORY"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.explorer.report.browser import View, chromium

VIEWS = (
    View("phone", 390, 844),
    View("phone-dark", 390, 844, dark=True),
    View("laptop", 1280, 800),
    View("laptop-dark", 1280, 800, dark=True),
    View("print", 720, 1000, media="print"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for view in VIEWS:
            browser.open(arguments.page, view)
            browser.screenshot(arguments.out / f"{view.name}.png")
        browser.pdf(arguments.out / "print.pdf")


if __name__ == "__main__":
    main()
