"""The commands that the manual shows work, and print what it shows."""

from pathlib import Path

import pytest

from docs.pages import PAGES, Block, blocks, blocks_in, name_of
from docs.shell import Shell, replayed, settled

LANGUAGES = {"sh", "console", "python", "yaml", "text", "json", "ini"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_work_one_after_the_other(
    page: Path, tmp_path: Path
) -> None:
    with Shell(tmp_path) as shell:
        for block in blocks_in(page):
            if block.language in ("sh", "console") and not block.note:
                check(shell, block)


def check(shell: Shell, block: Block) -> None:
    if block.language == "console":
        output = replayed(shell, block.text)
        assert settled(output) == settled(block.text), f"{block.place}: make manual"
        return
    result = shell.run(f"set -e\n{block.text}")
    assert result.code == 0, f"{block.place}: {result.output}"


def test_every_block_says_what_it_is() -> None:
    for block in blocks(""):
        raise AssertionError(f"{block.place} has no language")
    for page in PAGES:
        for block in blocks_in(page):
            assert block.language in LANGUAGES, block.place


def test_a_block_that_is_not_run_says_why() -> None:
    skipped = [block for block in blocks("sh", "console") if block.note]
    for block in skipped:
        assert len(block.note.split()) > 1, block.place
    run = [block for block in blocks("sh", "console") if not block.note]
    assert len(run) > 10
