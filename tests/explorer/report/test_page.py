"""The page as people meet it: on a phone, a laptop and paper, light and dark, with scripts and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.report.page import page
from explorer.report.section import report_sections
from explorer.runs.data import open_run
from tests.explorer.report.browser import Browser, View, chromium
from tests.explorer.report.screenshots import VIEWS
from tests.explorer.run_shapes import SHAPES
from tests.probes import AXE

LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
PHONE, LAPTOP, LAPTOP_DARK = (
    next(view for view in VIEWS if view.name == name) for name in ("phone", "laptop", "laptop-dark")
)
MOST_BYTES = 3_000_000
HOSTILE = (
    '</title></svg><script>document.title = "owned"</script><img src=x onerror=alert(1)> a very long name'
)

pytestmark = pytest.mark.needs("browser", "report extra")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(virtual_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a run with a front, and of one with a hostile name, as files."""
    made = {}
    for name in ("front", "hostile"):
        directory = tmp_path_factory.mktemp(name)
        for file in SHAPES["front"]:
            (directory / file).write_bytes((virtual_run / file).read_bytes())
        if name == "hostile":
            _rename(directory)
        made[name] = directory / "report.html"
        made[name].write_text(page(open_run(directory), report_sections(), "report.ipynb"), encoding="utf-8")
    return made


def _rename(directory: Path) -> None:
    plan, summary = (json.loads((directory / name).read_text()) for name in ("plan.json", "summary.json"))
    index = next(i for i, step in enumerate(plan["steps"]) if not step["name"].startswith("relayout:"))
    plan["model_name"] = plan["steps"][index]["name"] = summary["steps"][index]["name"] = HOSTILE
    (directory / "plan.json").write_text(json.dumps(plan))
    (directory / "summary.json").write_text(json.dumps(summary))


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_no_text_is_cut_or_covered(
    browser: Browser, pages: dict[str, Path], view: View, scripts: bool
) -> None:
    browser.open(pages["front"], view, scripts)
    assert browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true;") is None
    assert browser.evaluate(LOOKS) == []


def test_the_check_sees_what_is_cut_and_what_is_covered(browser: Browser, tmp_path: Path) -> None:
    text = (
        "<!DOCTYPE html><main><p style='height:2px;margin:0'>one</p><p style='margin:0'>two</p>"
        "<div style='width:9000px'>wide</div><h2 style='width:20px;overflow:hidden'>cut_off_heading</h2>"
        "<div class=figure><svg aria-label=f width=50 height=20><text x=0 y=15>a</text><text x=2 y=15>b</text>"
        "<text x=40 y=15>leaves</text></svg></div></main>"
    )
    (tmp_path / "bad.html").write_text(text)
    browser.open(tmp_path / "bad.html", LAPTOP)
    wrong = "\n".join(browser.evaluate(LOOKS))
    for finding in (
        "overlap: p",
        "the page is 9",
        'cut: h2. "cut',
        "overlap: text",
        "leaves its figure: text",
    ):
        assert finding in wrong, wrong


@pytest.mark.needs("axe-core")
@pytest.mark.parametrize("view", [PHONE, LAPTOP_DARK], ids=lambda view: view.name)
def test_axe_finds_nothing_serious(browser: Browser, pages: dict[str, Path], view: View) -> None:
    browser.open(pages["front"], view)
    browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true;")
    browser.evaluate(AXE.read_text(encoding="utf-8"))
    found = browser.evaluate("return (await axe.run()).violations")
    serious = [
        f"{one['id']} ({one['impact']}): {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert serious == []


def test_with_scripts_off_every_figure_and_table_is_there(browser: Browser, pages: dict[str, Path]) -> None:
    count = (
        "const rows = [...document.querySelectorAll('main tbody tr')].length;"
        "return [rows, document.querySelectorAll('.panel svg text').length, document.querySelectorAll('#tools').length]"
    )
    browser.open(pages["front"], LAPTOP, scripts=False)
    rows, texts, tools = browser.evaluate(count)
    assert tools == 0 and rows > 30 and texts > 50
    browser.open(pages["front"], LAPTOP, scripts=True)
    assert browser.evaluate(count) == [rows, texts, 1]
    assert browser.log() == []


def test_nothing_is_loaded_but_the_page_itself(browser: Browser, pages: dict[str, Path]) -> None:
    assert pages["front"].stat().st_size < MOST_BYTES
    browser.open(pages["front"], LAPTOP)
    asked = [address for address in browser.requests() if not address.startswith("data:")]
    assert asked == [pages["front"].resolve().as_uri()]


def test_names_from_a_model_stay_names(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["hostile"], PHONE)
    title, images, scripts = browser.evaluate(
        "return [document.title, document.images.length, document.scripts.length]"
    )
    assert title == f"{HOSTILE} on pi-zero" and images == 0 and scripts == 1
    assert browser.evaluate(LOOKS) == []
    assert browser.log() == []


def test_columns_are_sorted_by_their_values(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["front"], LAPTOP)
    values = browser.evaluate("""
        const table = document.querySelector("#layers table");
        const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.startsWith("time"));
        const read = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.value));
        const button = table.tHead.rows[0].cells[column].querySelector("button");
        button.click();
        const down = read();
        button.click();
        return [down, read()];
    """)
    down, up = values
    assert down == sorted(down, reverse=True) and up == sorted(up) and len(set(up)) > 1


def test_a_layer_is_followed_through_all_figures(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["front"], LAPTOP)
    picked = browser.evaluate("""
        const chooser = document.querySelector("#chooser");
        chooser.value = "2";
        chooser.dispatchEvent(new Event("change"));
        const found = [...document.querySelectorAll(".picked")];
        return [found.every((one) => one.dataset.layer === "2"), document.querySelector("#layer-2").open,
                new Set(found.map((one) => one.closest("section").id)).size];
    """)
    assert picked[:2] == [True, True] and picked[2] >= 4


def test_candidates_are_compared_beside_each_other(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["front"], LAPTOP)
    text = browser.evaluate("""
        const table = [...document.querySelectorAll("table.candidates")].find((one) => one.tBodies[0].rows.length > 1);
        for (const box of [...table.querySelectorAll("input")].slice(0, 2)) box.click();
        const panel = document.querySelector("#comparison");
        return panel.hidden ? "" : panel.textContent;
    """)
    assert "times the first" in text and "alone, ms" in text
