"""The commands that create the roles name real permissions, and options that hammer has."""

from pathlib import Path

import pytest
from sandbox.calls import PERMISSIONS
from satellites import MINIMUM

from docs.pages import ROOT, blocks_in, section
from docs.shell import Shell

ROLES = ROOT / "docs" / "roles.md"
# The options that a command takes, of those that its API documents.
OPTIONS = {
    "role create": {"--name"},
    "filter create": {"--role", "--permissions", "--search"},
    "user create": {
        "--login",
        "--mail",
        "--auth-source-id",
        "--password",
        "--organizations",
        "--locations",
        "--roles",
    },
    "user access-token create": {"--user", "--name"},
}
Words = list[str]


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> list[Words]:
    """The words of every command line of hammer on the page, as a shell reads them."""
    with Shell(tmp_path_factory.mktemp("roles")) as shell:
        for block in blocks_in(ROLES):
            if block.language == "sh":
                assert shell.run(f"set -e\n{block.text}").code == 0, block.place
        return [words[1:] for words in shell.noted() if words[0] == "hammer"]


def command_of(words: Words) -> str:
    first = next(number for number, word in enumerate(words) if word.startswith("--"))
    return " ".join(words[:first])


def value_of(words: Words, option: str) -> str:
    return words[words.index(option) + 1]


def permissions_of(words: Words) -> set[str]:
    return set(value_of(words, "--permissions").split(","))


def filters(noted: list[Words]) -> list[Words]:
    return [words for words in noted if command_of(words) == "filter create"]


def test_every_option_is_one_that_the_command_has(noted: list[Words]) -> None:
    assert noted
    for words in noted:
        options = {word for word in words if word.startswith("--")}
        assert options <= OPTIONS[command_of(words)], words


def test_every_permission_exists(noted: list[Words]) -> None:
    for words in filters(noted):
        assert permissions_of(words) <= PERMISSIONS.keys(), words


def test_a_filter_is_about_one_type_of_resource(noted: list[Words]) -> None:
    """Foreman refuses a filter whose permissions are of several."""
    for words in filters(noted):
        types = {PERMISSIONS[name] for name in permissions_of(words)}
        assert len(types) == 1, words


def test_no_filter_is_about_hosts_that_a_search_selects(noted: list[Words]) -> None:
    """A record that such a filter hides would look deleted."""
    for words in filters(noted):
        assert "view_hosts" not in permissions_of(words) or "--search" not in words


def test_the_first_block_grants_what_a_run_needs(noted: list[Words]) -> None:
    granted = set()
    for words in filters(noted):
        text = section(ROLES, "On Satellite").split("###")[0]
        if value_of(words, "--permissions") in text:
            granted |= permissions_of(words)
    assert granted == MINIMUM | {"view_params"}


def test_every_permission_of_the_tables_is_granted_by_a_command(
    noted: list[Words], request: pytest.FixtureRequest
) -> None:
    granted = {name for words in filters(noted) for name in permissions_of(words)}
    page = Path(ROLES).read_text(encoding="utf-8")
    named = {name for name in PERMISSIONS if f"`{name}`" in page}
    # The last two are for special cases that the page explains.
    assert named - granted == {"create_hosts", "execute_jobs_on_infrastructure_hosts"}
