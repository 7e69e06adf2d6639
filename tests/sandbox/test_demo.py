"""The demo shows, on a simulated Satellite and OpenStack, what is true of a real one."""

import re

from .demo import show


def shown() -> tuple[int, str]:
    lines: list[str] = []
    return show(lines.append), "\n".join(lines)


def test_exactly_what_should_remain_remains_after_the_demo() -> None:
    code, text = shown()
    assert code == 0
    assert "4 records are gone" in text


def test_the_demo_shows_every_decision_and_how_a_backlog_is_cleared() -> None:
    _, text = shown()
    assert set(re.findall(r"\| (delete|wait|keep) ", text)) == {"delete", "wait", "keep"}
    assert "policy.all_clouds_listed: true lets such records go" in text
    assert re.search(r"just-ended.*\| wait .*can go after", text)
    assert re.search(r"renamed-old.*\| delete ", text) and re.search(
        r"renamed-new.*\| delete ", text
    )
    assert re.search(r"cloned.*\| keep .*clone.example.com, which names the same instance", text)
