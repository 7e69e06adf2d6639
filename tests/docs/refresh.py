"""`make manual`: write the output that commands have now into the console blocks of the manual.

A block stays as it is if only times and the like differ.
"""

import tempfile
from pathlib import Path

from docs.pages import FENCE, PAGES, Block, blocks_in, name_of, read
from docs.shell import Shell, replayed, settled


def refreshed(page: Path, folder: Path) -> str:
    """The page with the present output of its commands."""
    text = read(page)
    with Shell(folder) as shell:
        for block in blocks_in(page):
            if block.note:
                continue
            if block.language == "sh":
                shell.run(f"set -e\n{block.text}")
            elif block.language == "console":
                text = _with_output(text, block, replayed(shell, block.text))
    return text


def _with_output(text: str, block: Block, output: str) -> str:
    if settled(output) == settled(block.text):
        return text
    begin = f"{FENCE}console\n"
    return text.replace(begin + block.text, begin + output, 1)


def main() -> None:
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            text = refreshed(page, Path(folder))
        if text != read(page):
            page.write_text(text, encoding="utf-8")
            print(f"{name_of(page)}: output written")


if __name__ == "__main__":
    main()
