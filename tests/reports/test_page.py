"""The HTML report in a browser: wide, narrow, dark, on paper, small and large, in all its kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from pages import HOSTILE, KINDS, MIXED, PLANS, page, plan, verdict

from foreman_hooks.reports import html
from foreman_hooks.rules.model import Decision, Reason

pytestmark = pytest.mark.live

WIDTHS = (390, 800, 1280, 1920)
SMALL, LARGE = 50, 5000
HIGHEST_ROW = 150  # pixels; on a telephone, a row is a card
HIGHEST_CARD = 300
READABLE = 4.5  # contrast of text, as WCAG asks for at level AA

# The texts that can be seen whose contrast with what is behind them is too low.
CONTRAST = """(least) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (color) => {
    const [r, g, b] = [...rgb(color)].map((c) => c / 255)
      .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (rgb(color)[3] === 255) return color;
    }
    return "white";
  };
  const bad = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!texts.length || !element.checkVisibility()) continue;
    if (element.closest("script, style, title, desc, option")) continue;
    const style = getComputedStyle(element);
    const front = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(front), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < least) bad.add(`${element.outerHTML} ${front}`);
  }
  return [...bad];
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    running = Browser(tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


def written(folder: Path, kind: str, count: int) -> Path:
    """The file of a page, written once."""
    path = folder / f"{kind}-{count}.html"
    if not path.exists():
        path.write_text(page(kind, count), encoding="utf-8")
    return path


every_page = pytest.mark.parametrize("count", [SMALL, LARGE])
every_kind = pytest.mark.parametrize("kind", KINDS)


# Layout


@every_page
@every_kind
def test_no_page_scrolls_sideways_and_no_row_is_high(
    browser: Browser, folder: Path, kind: str, count: int
) -> None:
    browser.open(written(folder, kind, count))
    some = ".list tr, #records tbody:nth-of-type(-n+3) tr"
    for width in WIDTHS:
        browser.look(width=width)
        assert browser.js("document.documentElement.scrollWidth") == width
        highest = browser.js(
            f"Math.max(...[...document.querySelectorAll('{some}')].filter((row) =>"
            " row.checkVisibility()).map((row) => row.getBoundingClientRect().height))"
        )
        assert highest <= (HIGHEST_ROW if width > 800 else HIGHEST_CARD)
    assert browser.complaints == []


def head_widths(browser: Browser, table: str) -> dict[str, float]:
    pairs = browser.js(
        f"[...document.querySelectorAll('{table} thead th')].map((head) =>"
        " [head.textContent, head.getBoundingClientRect().width])"
    )
    return dict(pairs)


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("kind", ["plan", "applied"])
def test_each_column_has_the_width_that_it_needs(
    browser: Browser, folder: Path, kind: str, width: int
) -> None:
    browser.open(written(folder, kind, SMALL), width=width)
    widths = head_widths(browser, ".of-delete .list")
    assert widths["Host"] >= 300 and widths["Why"] >= 400
    assert 270 <= widths["From check-in to deletion"] <= 360
    assert widths.get("Result", 128) == 128
    for table in (".of-attention .list", ".of-wait .list"):
        assert head_widths(browser, table).keys() == {
            "Host",
            "Why",
            "From check-in to deletion",
        }
    widths = head_widths(browser, "#records")
    assert widths["Name"] >= 280 and widths["Detail"] >= 350 and widths["Id"] >= 60
    assert widths["UUID"] == (296 if width > 1408 else 0)  # else below the name


@every_page
def test_a_host_is_a_card_on_a_telephone(
    browser: Browser, folder: Path, count: int
) -> None:
    browser.open(written(folder, "applied", count), width=390)
    cells = browser.js(
        "[...document.querySelector('.list tbody tr').cells].map((cell) => {"
        " const {left, width} = cell.getBoundingClientRect(); return [left, width]; })"
    )
    assert cells == [[16, 358]] * 4  # one below the other, each as wide as the card
    strip = browser.js("document.querySelector('.strip').getBoundingClientRect().width")
    assert strip > 340


@every_page
@pytest.mark.parametrize(
    ("table", "width"),
    [("#records", 1280), ("#records", 390), (".of-delete .list", 1280)],
)
def test_the_head_of_a_table_stays(
    browser: Browser, folder: Path, table: str, width: int, count: int
) -> None:
    browser.open(written(folder, "plan", count), width=width)
    browser.js(
        f"document.querySelectorAll('{table} tbody tr')[15].scrollIntoView({{block: 'center'}})"
    )
    assert browser.js(
        "(() => {"
        f" const table = document.querySelector('{table}');"
        " const there = document.elementFromPoint(innerWidth / 4, 12);"
        " return scrollY > 0 && table.tBodies[0].getBoundingClientRect().top < 0"
        "   && table.tHead.contains(there);"
        " })()"
    )


@every_kind
def test_every_text_can_be_read_in_the_light_and_in_the_dark(
    browser: Browser, folder: Path, kind: str
) -> None:
    browser.open(written(folder, kind, SMALL))
    for dark in (False, True):
        browser.look(dark=dark)
        assert browser.js(f"({CONTRAST})({READABLE})") == []


def test_the_contrast_check_notices_a_faint_text(
    browser: Browser, folder: Path
) -> None:
    browser.open(written(folder, "plan", SMALL))
    browser.js("document.documentElement.style.setProperty('--soft', '#aaa')")
    assert browser.js(f"({CONTRAST})({READABLE})") != []


# Lists

ROWS = (
    "[...document.querySelectorAll('.of-delete .list tbody tr')]"
    ".filter((row) => row.checkVisibility()).length"
)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_list_shows_20_rows_and_all_of_them_on_demand(
    browser: Browser, folder: Path, scripts: bool
) -> None:
    browser.open(written(folder, "refused", SMALL), scripts=scripts)
    assert browser.js(ROWS) == 20
    assert (
        browser.js("document.querySelector('.all').innerText.trim()") == "Show all 25"
    )
    browser.js("document.getElementById('all-delete').focus()")
    browser.press(" ", 32, " ")
    assert browser.js(ROWS) == 25
    browser.press(" ", 32, " ")
    assert browser.js(ROWS) == 20


def test_a_long_list_shows_20_rows_and_a_thousand_on_demand(
    browser: Browser, folder: Path
) -> None:
    browser.open(written(folder, "plan", LARGE))
    assert browser.js(ROWS) == 20
    browser.js("document.getElementById('all-delete').click()")
    assert browser.js(ROWS) == 1000
    browser.js("document.querySelector('.of-delete .more a').click()")
    shown = browser.js("document.getElementById('shown').textContent")
    assert shown == "2,500 of 5,000 records shown: to delete"


@every_kind
def test_paper_has_all_rows_of_the_lists_and_nothing_to_click(
    browser: Browser, folder: Path, kind: str
) -> None:
    browser.open(written(folder, kind, SMALL), dark=True, paper=True)
    hidden = browser.js(
        "[...document.querySelectorAll('tbody tr')].filter((row) =>"
        " !row.closest('details') && !row.checkVisibility()).length"
    )
    assert hidden == 0
    for control in (".all", "#controls", "summary"):
        assert browser.js(
            f"[...document.querySelectorAll('{control}')].every((part) => !part.checkVisibility())"
        )
    paper = browser.js("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert browser.js(f"({CONTRAST})({READABLE})") == []
    assert browser.printed().startswith(b"%PDF-")


# Pictures


@pytest.mark.parametrize("kind", PLANS)
def test_every_picture_has_a_name_for_screen_readers(
    browser: Browser, folder: Path, kind: str
) -> None:
    browser.open(written(folder, kind, SMALL))
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    names = [
        node["name"]["value"]
        for node in nodes
        if node["role"]["value"] in ("image", "img") and not node["ignored"]
    ]
    assert len(names) >= 3 and all(names)  # the bar, both pictures, and the strips
    assert browser.js(
        "[...document.querySelectorAll('svg')].every((picture) =>"
        " picture.closest('[role=img], [aria-hidden=true]'))"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_the_texts_of_a_picture_are_within_it(
    browser: Browser, folder: Path, width: int
) -> None:
    browser.open(written(folder, "plan", SMALL), width=width)
    outside = browser.js(
        "[...document.querySelectorAll('.picture, .strip')].flatMap((picture) => {"
        " const box = picture.getBoundingClientRect();"
        " return [...picture.querySelectorAll('text')].filter((text) => {"
        "  const {left, right, top, bottom} = text.getBoundingClientRect();"
        "  return left < box.left - 2 || right > box.right + 2"
        "    || top < box.top - 2 || bottom > box.bottom + 2;"
        " }).map((text) => text.textContent); })"
    )
    assert outside == []


def test_the_bars_are_as_high_as_their_numbers(browser: Browser, folder: Path) -> None:
    browser.open(written(folder, "plan", SMALL))
    heights = browser.js(
        "[...document.querySelectorAll('.picture rect.delete')].map((bar) =>"
        " bar.getBoundingClientRect().height)"
    )
    assert [round(height * 6 / max(heights)) for height in heights] == [
        number % 7 for number in range(43)
    ]


# The table of every record


def shown(browser: Browser) -> list[str]:
    """The names in the table of every record, as they stand."""
    return browser.js(
        "[...document.querySelectorAll('#records tbody th')].map((head) =>"
        " head.textContent.trim())"
    )


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    path = tmp_path / "report.html"
    path.write_text(html.render(MIXED), encoding="utf-8")
    browser.open(path)
    return browser


def test_the_table_sorts_by_keyboard_and_says_how(opened: Browser) -> None:
    opened.js("document.querySelectorAll('#records thead button')[1].focus()")
    opened.press("Enter", 13, "\r")
    assert [name[5:10] for name in shown(opened)] == [
        "00001",
        "00003",
        "00020",
        "00100",
    ]
    how = "document.querySelectorAll('#records th')[1].getAttribute('aria-sort')"
    assert opened.js(how) == "ascending"
    opened.press("Enter", 13, "\r")
    assert [name[5:10] for name in shown(opened)] == [
        "00100",
        "00020",
        "00003",
        "00001",
    ]
    assert opened.complaints == []


def test_the_table_filters_and_says_how_many_are_left(opened: Browser) -> None:
    opened.js(
        "(() => { const text = document.getElementById('text'); text.value = 'HOUR';"
        " text.dispatchEvent(new Event('input')); })()"
    )
    opened.until("document.querySelectorAll('#records tbody tr').length === 1")
    assert (
        opened.js("document.getElementById('shown').textContent")
        == "1 of 4 records shown, with \u201cHOUR\u201d"
    )
    opened.js(
        "(() => { document.getElementById('text').value = '';"
        " const verdict = document.getElementById('verdict');"
        " verdict.value = 'wait'; verdict.dispatchEvent(new Event('change')); })()"
    )
    assert shown(opened) == ["host-00020.example.com"]
    opened.js("document.querySelector('#controls [type=reset]').click()")
    opened.until("document.querySelectorAll('#records tbody tr').length === 4")


def test_the_legend_filters_the_table_by_keyboard(opened: Browser) -> None:
    opened.js("document.querySelector('.legend [data-show^=checked]').focus()")
    opened.press("Enter", 13, "\r")
    opened.until("document.querySelectorAll('#records tbody tr').length === 1")
    assert shown(opened) == ["host-00100.example.com"]
    assert (
        opened.js("document.getElementById('shown').textContent")
        == "1 of 4 records shown: checked in after its termination"
    )
    current = "document.querySelector('.legend [aria-current=true]').innerText"
    assert "checked in after its termination" in opened.js(current)
    assert opened.js("location.hash") == "#every"


def test_the_numbers_filter_the_table(opened: Browser) -> None:
    opened.js("document.querySelector('.tiles .delete a').click()")
    assert shown(opened) == ["host-00003.example.com"]
    opened.js("document.querySelector('.tiles .total a').click()")
    assert len(shown(opened)) == 4


def test_the_numbers_of_states_filter_the_table_and_it_sorts_by_state(
    browser: Browser, folder: Path
) -> None:
    browser.open(written(folder, "states", SMALL))
    browser.js("document.querySelector('.tiles .off a').click()")
    browser.until("document.querySelectorAll('#records tbody tr').length === 10")
    said = browser.js("document.getElementById('shown').textContent")
    assert said == "10 of 50 records shown: off"
    browser.js("document.querySelector('#controls [type=reset]').click()")
    browser.until("document.querySelectorAll('#records tbody tr').length === 50")
    browser.js("document.querySelectorAll('#records thead button')[3].click()")
    first = "document.querySelector('#records tbody td:nth-child(4)').textContent"
    assert browser.js(first).strip() == "off"
    browser.js("document.querySelectorAll('#records thead button')[3].click()")
    assert browser.js(first).strip() == "terminated"
    assert browser.complaints == []


def test_without_scripts_every_record_is_there(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(MIXED), encoding="utf-8")
    browser.open(path, scripts=False)
    assert len(shown(browser)) == 4
    assert browser.js("document.getElementById('controls').offsetParent === null")


def test_what_hosts_say_does_not_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    hostile = plan(verdict(1, Decision.DELETE, Reason.TERMINATED, HOSTILE, HOSTILE))
    path.write_text(html.render(hostile), encoding="utf-8")
    browser.open(path)
    assert browser.js("window.owned === undefined") and browser.complaints == []


def test_a_name_without_end_presses_nothing_aside(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    endless = plan(verdict(1, Decision.DELETE, Reason.TERMINATED, "x" * 900, "n" * 900))
    path.write_text(html.render(endless), encoding="utf-8")
    browser.open(path)
    for width in WIDTHS:
        browser.look(width=width)
        assert browser.js("document.documentElement.scrollWidth") == width
        if width >= 1280:
            assert head_widths(browser, ".list")["Why"] >= 400


def test_thousands_of_records_can_be_filtered_and_sorted(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(plan(*map(verdict, range(5_000)))), encoding="utf-8")
    browser.open(path)
    assert len(shown(browser)) == 5_000
    browser.js(
        "(() => { const text = document.getElementById('text'); text.value = '04999';"
        " text.dispatchEvent(new Event('input')); })()"
    )
    browser.until("document.querySelectorAll('#records tbody tr').length === 1")
    browser.js(
        "(() => { document.getElementById('text').value = 'host-000';"
        " document.querySelector('#records thead button').click();"
        " document.querySelector('#records thead button').click(); })()"
    )
    assert shown(browser) == [
        f"host-{number:05}.example.com" for number in reversed(range(100))
    ]
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    # Few enough rows for a screen reader to have all of them, as rows of a table.
    assert roles.count("row") > 100 and roles.count("rowheader") >= 100
    assert "columnheader" in roles and roles.count("table") >= 3
    assert browser.complaints == []
