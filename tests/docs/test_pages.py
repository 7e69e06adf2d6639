"""The pages are well formed, and every link leads somewhere; the network is not asked."""

import re
from pathlib import Path

import pytest

from docs.pages import PAGES, README, anchors, links, name_of, prose, read

MOST_LINES = 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)}: {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in links(page):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file not in reached:
                waiting.append(file)
    assert set(PAGES) <= reached


def test_the_readme_is_short() -> None:
    assert len(read(README).splitlines()) <= MOST_LINES


def test_no_page_repeats_a_paragraph_of_another() -> None:
    places: dict[str, str] = {}
    for page in PAGES:
        for paragraph in read(page).split("\n\n"):
            text = " ".join(paragraph.split())
            if len(text) < 120:
                continue
            assert text not in places, f"{name_of(page)} and {places[text]}: {text}"
            places[text] = name_of(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: Path) -> None:
    """A bar in code ends a cell, too."""
    cells = 0
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        count = len(re.split(r"(?<!\\)\|", line))
        assert count == (cells or count), f"{name_of(page)}: {line}"
        cells = count


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_begins_with_its_title(page: Path) -> None:
    assert read(page).startswith("# ")
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1
