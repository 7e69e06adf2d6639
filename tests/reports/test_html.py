"""The HTML report: what it says, and that no host can put code into it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

import pytest
from pages import (
    ANSWERED,
    HOSTILE,
    MIXED,
    NOW,
    PAST,
    SILENT,
    URL,
    UUID,
    fleet,
    outcomes_of,
    plan,
    verdict,
)

from foreman_hooks.commands.main import main
from foreman_hooks.reports import html
from foreman_hooks.reports.overview import causes, headline
from foreman_hooks.rules.model import Decision, Outcome, Reason, Result
from foreman_hooks.rules.plan import Hold


class Outline(HTMLParser):
    """The tags of a page, and its text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Optional[str]]]] = []
        self.text, self._skip = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skip = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._skip = False

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.text += data


def outline(*args: Any) -> Outline:
    return Outline(html.render(*args))


def links(page: Outline) -> list[str]:
    """Where the links of a page go, apart from those within it."""
    addresses = [attributes.get("href") or "" for _, attributes in page.tags]
    return [address for address in addresses if address and address[0] != "#"]


DELETE, KEEP = Decision.DELETE, Decision.KEEP
UNKNOWN = verdict(5, KEEP, Reason.UNKNOWN, "prod/RegionOne: timeout")


# What it says


def test_the_numbers_come_first_then_the_lists_then_every_record() -> None:
    text = outline(MIXED).text
    assert (
        text.index("1 of 4 host records to delete")
        < text.index("The numbers")
        < text.index("What is to be deleted")
        < text.index("What needs attention")
        < text.index("What waits")
        < text.index("Every record")
    )
    assert "2025/03/01 12:30:05 UTC" in text
    assert all(text.count(verdict.name) >= 1 for verdict in MIXED.verdicts)
    assert ANSWERED.proof in text


def test_what_became_of_the_deletions_is_told() -> None:
    failed = Outcome(
        3, "host-00003.example.com", UUID, Result.FAILED, "Satellite said no"
    )
    text = outline(MIXED, [failed]).text
    assert "0 of 1 host records deleted, 1 failed" in text
    assert "failed" in text and "Satellite said no" in text


def test_a_deletion_that_was_not_reached_is_told() -> None:
    assert "not reached" in outline(MIXED, []).text


def test_a_refusal_and_a_region_without_answer_are_told() -> None:
    refused = plan(UNKNOWN, regions=(ANSWERED, SILENT), refusals=("too many",))
    text = outline(refused).text
    assert "Refused by a guard rail" in text and "too many" in text
    assert "prod/RegionTwo did not answer: prod/RegionTwo: a cell is down" in text
    assert "1 could not be known" in text and "prod/RegionOne: timeout (1)" in text


def test_a_cause_that_is_the_regions_is_said_once() -> None:
    detail = f"prod/RegionTwo: unknown ({SILENT.error})"
    unknown = verdict(1, KEEP, Reason.UNKNOWN, detail)
    assert causes(plan(unknown, regions=(SILENT,))) == []


def test_an_approval_is_offered_only_if_every_region_was_asked_and_answered() -> None:
    """Another would make it normal that a region is not asked; its hosts then look absent."""
    hold = Hold("too many without proof", (1,))
    refused = {"refusals": ("too many",), "holds": (hold,)}
    assert outline(plan(verdict(1), **refused)).text.count("--approve") == 2
    silent = plan(verdict(1), regions=(SILENT,), **refused)
    assert "--approve" not in outline(silent).text
    unasked = outline(plan(verdict(1), unasked=("prod/RegionTwo",), **refused)).text
    assert "--approve" not in unasked
    assert "is prod/RegionTwo misspelt or left out by mistake?" in unasked


def test_deletions_that_are_held_back_are_told() -> None:
    hold = Hold("too many without proof", (3,))
    text = outline(plan(*MIXED.verdicts, holds=(hold,))).text
    assert "1 held back" in text and "too many without proof (1)" in text
    assert "needs an approval: too many without proof" in text


GONE = verdict(1, DELETE, Reason.TERMINATED)


@pytest.mark.parametrize(
    ("planned", "outcomes", "line"),
    [
        (plan(), None, "Nothing to delete"),
        (plan(GONE, verdict(2)), None, "1 of 2 host records to delete"),
        (
            plan(GONE, UNKNOWN),
            None,
            "1 of 2 host records to delete; 1 could not be known",
        ),
        (
            plan(GONE, holds=(Hold("why", (1,)),)),
            None,
            "1 of 1 host records to delete, 1 of them held back",
        ),
        (
            plan(GONE, refusals=("why",)),
            None,
            "Refused by a guard rail: nothing is deleted",
        ),
        (plan(verdict(2), UNKNOWN), None, "Nothing to delete; 1 could not be known"),
        (
            plan(verdict(2), regions=(ANSWERED, SILENT)),
            None,
            "Nothing to delete; 1 of 2 regions did not answer",
        ),
        (
            plan(UNKNOWN),
            None,
            "Nothing could be decided: nothing could be learned about any record",
        ),
        (
            plan(verdict(2, KEEP, Reason.NOT_OPENSTACK), UNKNOWN, regions=(SILENT,)),
            None,
            "Nothing could be decided: OpenStack did not answer",
        ),
        (
            plan(GONE, UNKNOWN),
            [Outcome(1, "a", UUID, Result.DELETED)],
            "1 of 1 host records deleted; 1 could not be known",
        ),
        (
            plan(GONE),
            [Outcome(1, "a", UUID, Result.UNFINISHED)],
            "0 of 1 host records deleted, 1 unfinished",
        ),
    ],
)
def test_the_headline_is_honest(planned: Any, outcomes: Any, line: str) -> None:
    assert headline(planned, outcomes) == line


def test_a_plan_of_nothing_is_a_page_too() -> None:
    assert "Nothing to delete" in outline(plan(regions=())).text


def test_the_numbers_together_are_all_records() -> None:
    text = html.render(fleet(1000))
    tiles = re.findall(r'data-show="(\w*)">[^<]+</a><dd>([\d,]+)</div>', text)
    numbers = {name: int(count.replace(",", "")) for name, count in tiles}
    assert numbers.pop("") == sum(numbers.values()) == 1000
    assert (numbers["delete"], numbers["wait"], numbers["attention"]) == (500, 100, 100)


def test_a_list_ends_after_a_thousand_rows_and_says_where_the_others_are() -> None:
    text = outline(fleet(2400)).text
    assert "Show the first 1,000" in text and "Show all 240" in text
    assert "… and 200 more, in the table of every record" in text


# Links


def test_each_host_links_to_its_page_in_satellite() -> None:
    page = outline(MIXED)
    names = [verdict.name for verdict in MIXED.verdicts]
    assert set(links(page)) == {f"{URL}/new/hosts/{name}" for name in names}


def test_a_name_in_a_link_is_encoded() -> None:
    addresses = links(outline(plan(verdict(1, name='../a?b#c"d\ud800é'))))
    assert addresses == [f"{URL}/new/hosts/..%2Fa%3Fb%23c%22d%3F%C3%A9"]


@pytest.mark.parametrize("satellite", ["javascript:alert(1)//", "ftp://x", ""])
def test_only_a_web_address_is_linked(satellite: str) -> None:
    assert links(outline(plan(verdict(1), satellite=satellite))) == []


def test_a_deleted_host_has_no_page_to_link_to() -> None:
    deleted = Outcome(3, "host-00003.example.com", UUID, Result.DELETED, at=NOW)
    addresses = links(outline(MIXED, [deleted]))
    assert len(addresses) == 5 and not any("00003" in link for link in addresses)


# Pictures


def test_without_a_past_there_are_no_pictures_of_it() -> None:
    assert "<figure>" not in html.render(MIXED)
    assert html.render(MIXED, None, PAST).count("<figure>") == 2


def test_the_pictures_say_in_words_what_they_show() -> None:
    text = outline(MIXED, None, PAST).text
    assert "400 on 2024/09/01, 38 on 2025/03/01; most: 400 on 2024/09/01" in text
    assert "week from 2024/05/13: 1 deleted, 1 terminated" in text
    assert "Week by week" in text and "Day by day" in text


def test_only_records_in_the_lists_have_a_strip() -> None:
    planned = fleet(40)
    assert html.render(planned).count('class="strip"') == 28  # the others are alive
    text = outline(planned, outcomes_of(planned)).text
    assert "terminated 2025/03/01 07:30:05 UTC, deleted 2025/03/01 12:30:05 UTC" in text


# What may not happen


def test_nothing_of_a_host_becomes_markup() -> None:
    hostile = plan(
        verdict(1, DELETE, Reason.TERMINATED, HOSTILE, HOSTILE),
        refusals=(HOSTILE,),
        satellite=f"https://{HOSTILE}",
    )
    page = outline(hostile)
    assert [name for name, _ in page.tags].count("script") == 1
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "\x1b" not in page.text and "\u202e" not in page.text


def test_a_text_without_end_is_cut() -> None:
    assert "(10,000 characters)" in html.render(plan(verdict(1, detail="x" * 10_000)))


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = html.render(MIXED, None, PAST)
    page = Outline(text)
    for name, attributes in page.tags:
        assert "src" not in attributes and "style" not in attributes
        if name != "a":
            assert not (attributes.get("href") or "#").strip("#") or name == "use"
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_screen_readers_find_their_way() -> None:
    tags = outline(MIXED, None, PAST).tags
    names = [name for name, _ in tags]
    assert names.count("h1") == names.count("main") == 1
    assert names.count("caption") == names.count("table")
    assert all(attributes.get("scope") for name, attributes in tags if name == "th")
    assert any(attributes.get("role") == "status" for _, attributes in tags)
    assert ("html", {"lang": "en"}) in tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attribute in ("aria-labelledby", "for"):
        for _, attributes in tags:
            assert set((attributes.get(attribute) or "").split()) <= set(ids)


# From the command line


def test_the_report_is_written_before_anything_is_deleted_and_again_after(
    stage: Any, tmp_path: Path
) -> None:
    stage.terminated("old")
    path = tmp_path / "report.html"
    assert main(["--config", str(stage.config()), "plan", "--report", str(path)]) == 0
    assert "1 of 2 host records to delete" in path.read_text()
    assert path.stat().st_mode & 0o7777 == 0o640
    assert (
        main(["--config", str(stage.config()), "run", "--apply", "--report", str(path)])
        == 0
    )
    text = path.read_text()
    assert "1 of 1 host records deleted" in text
    assert "1 record deleted since" in text and "terminated in these weeks" in text


def test_a_damaged_journal_costs_the_pictures_not_the_report(
    stage: Any, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    plan_again = ["--config", str(stage.config()), "plan", "--report", str(path)]
    stage.terminated("old")
    stage.run()
    assert main(plan_again) == 0 and "<figure>" in path.read_text()
    with stage.journal() as journal, journal.writing() as database:
        database.execute("UPDATE runs SET began = began || 'x'")
    assert main(plan_again) == 0 and "<figure>" not in path.read_text()
    assert "Nothing to delete" in path.read_text()


def test_where_it_cannot_be_written_nothing_is_deleted(
    stage: Any, tmp_path: Path, capfd: Any
) -> None:
    stage.terminated("old")
    path = tmp_path / "nowhere" / "report.html"
    assert (
        main(["--config", str(stage.config()), "run", "--apply", "--report", str(path)])
        == 65
    )
    assert capfd.readouterr().err.count("\n") == 1 and "old" in stage.left
