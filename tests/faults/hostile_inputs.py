"""Inputs that nobody means well: damaged valid ones, odd values, and shapes that grow."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from hostile import HOSTILE

from .parser import Parser

HUGE = "@huge@"  # becomes a number of 5000 digits, which Python refuses to print
_HUGE = {"json": "9" * 5000, "yaml": "0x" + "f" * 5000}
ODD: list[Any] = [
    *HOSTILE,
    *(None, True, False, -1, 0, 1, 2, 2**31, 2**63, 2**64, 10**40, 1.5, -0.0, 1e308),
    *(
        float("inf"),
        float("nan"),
        "",
        " ",
        "x" * 3000,
        "-",
        "~",
        "~nobody/x",
        "/",
        "..",
    ),
    *(
        "\x00",
        "\ud800",
        "\udcff",
        "%s%n{0}",
        "<script>",
        "' OR 1=1",
        "$(id)",
        "!!int x",
    ),
    *(
        [],
        {},
        [[]],
        [{}],
        {"": ""},
        {"a": None},
        ["a", 1, None],
        {"id": 1, "name": "x"},
    ),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01\n00:00:00"),
    *("0001-01-01 00:00:00 UTC", "2026-01-01T00:00:00", "1e999", "99999999d", "0d"),
    *(
        "https://a:99999",
        "https://[::1",
        "http://a/\ud800",
        "http://u:p@a",
        "https://\x00",
    ),
    *("7F3C1F0E-0000-4000-8000-00000000CAFE", "{7f3c1f0e-0000-4000-8000-00000000cafe}"),
    HUGE,
]
# Pieces of the languages that are read here.
SCRAPS = [
    *(
        '"',
        "'",
        "\\",
        "\\u0000",
        "\\ud800",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\x1b[2J",
        "\ufeff",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "- ",
        "? ",
        "| ",
        "> ",
        "#",
        "---\n",
        "...\n",
    ),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object:os.system ",
        "!ruby/object:X ",
        "!!binary ",
    ),
    *(
        "!!set ",
        "!!omap ",
        "!!timestamp ",
        "!!float ",
        "!!int ",
        "%YAML 9.9\n",
        "1:59:59",
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "null",
        "true",
        "0x",
        "\u2028",
        "\u202e",
    ),
    *(
        " and ",
        " or ",
        " not ",
        "(",
        ")",
        "<",
        ">",
        "=",
        "!~",
        "^",
        "!^",
        " before ",
        "@",
    ),
]


def damaged(parser: Parser, draw: random.Random) -> bytes:
    """A valid input with something wrong in it, or something that never was valid."""
    sample = draw.choice(parser.samples)
    kind = draw.random()
    if parser.form in _HUGE and kind < 0.6:
        return _with_odd_values(parser, sample, draw)
    if kind < 0.7:
        return draw.randbytes(draw.randrange(200))
    if kind < 0.8:
        return str(draw.choice(ODD)).encode("utf-8", "surrogatepass")
    return _spliced(sample, draw)


def _spliced(sample: str, draw: random.Random) -> bytes:
    """Pieces are cut out, doubled, moved, and put in."""
    content = sample.encode("utf-8", "surrogatepass")
    for _ in range(draw.randrange(1, 5)):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.randrange(20))
        piece = draw.choice(
            (
                b"",
                content[start:end] * draw.randrange(2, 50),
                draw.choice(SCRAPS).encode("utf-8", "surrogatepass"),
                draw.choice(SCRAPS).encode("utf-8", "surrogatepass") * 40,
                draw.randbytes(3),
            )
        )
        content = content[:start] + piece + content[end:]
    return content


def _with_odd_values(parser: Parser, sample: str, draw: random.Random) -> bytes:
    value = loaded(parser, sample)
    for _ in range(draw.randrange(1, 4)):
        value = _changed(value, draw)
    return dumped(parser, value)


def loaded(parser: Parser, sample: str) -> Any:
    """The value of a sample, as its language reads it."""
    return json.loads(sample) if parser.form == "json" else yaml.safe_load(sample)


def dumped(parser: Parser, value: Any) -> bytes:
    """The value in the language of the parser."""
    if parser.form == "json":
        text = json.dumps(value).replace(f'"{HUGE}"', _HUGE["json"])
    else:
        text = yaml.safe_dump(value).replace(f"'{HUGE}'", _HUGE["yaml"])
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, draw: random.Random) -> Any:
    """The same value with another one somewhere inside, or a key more, fewer, or odd."""
    if draw.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return draw.choice(ODD)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw.choice(keys)
    copy = value.copy()
    action = draw.random()
    if action < 0.8:
        copy[key] = _changed(copy[key], draw)
    elif action < 0.9:
        del copy[key]
    elif isinstance(copy, list):
        copy.append(copy[key])
    else:
        odd = draw.choice([odd for odd in ODD if not isinstance(odd, (dict, list))])
        copy[odd] = copy[key]
    return copy


# Shapes that grow

Shape = Callable[[int], bytes]
CHARACTERS = " a09-_:/.,;\"'\\([{<&*!|>%@#~^=\n\t\x00\x1b\u00e4"
CYCLES = (
    "ab ",
    "a:b ",
    '"\\',
    "a,",
    "a=b,",
    "1:",
    ":1",
    "a.",
    "{[",
    "<< ",
    "] ",
    "\\u",
    "a-",
)
NESTED = ("[", "{", '[{"a":', '{"a":', "(", "- ", "a: [", "!!a ", "&a [", "? ")


def shapes(parser: Parser) -> Iterator[tuple[str, Shape]]:
    """(name, function from a length in bytes to an input): what may cost too much when it grows."""
    for unit in (*CHARACTERS, *CYCLES, *NESTED):
        yield f"many {unit!r}", lambda size, unit=unit: _times(unit, size)
        for end in ("x", "\x00", '"'):
            yield (
                f"many {unit!r}, then {end!r}",
                lambda size, unit=unit, end=end: _times(unit, size) + end.encode(),
            )
    for sample in parser.samples:
        if parser.form == "text":
            yield from _grown_texts(sample)
        else:
            yield from _grown_values(parser, sample)
    if parser.form == "yaml":
        yield "many keys", _many_keys
        yield "many equal keys", lambda size: _times("a: b\n", size)
        yield "keys that are lists", lambda size: _times("? [a]\n: b\n", size)
        yield (
            "aliases of aliases",
            lambda size: _bomb(size, "a{0}: &a{0} [{1}]\n", "*a{}, "),
        )
        yield (
            "merges of merges",
            lambda size: _bomb(size, "a{0}: &a{0} {{b{0}: 1, <<: [{1}]}}\n", "*a{}, "),
        )
        yield "a long number", lambda size: b"journal: 1" + b"0" * size
        yield (
            "a long number in base 60",
            lambda size: b"journal: 1" + b":59" * (size // 3),
        )
        yield "a long number in base 16", lambda size: b"journal: 0x" + b"f" * size


def _times(unit: str, size: int) -> bytes:
    piece = unit.encode()
    return piece * (size // len(piece))


def _many_keys(size: int) -> bytes:
    lines = (f"key{number}: {number}\n" for number in range(size // 14))
    return "".join(lines).encode()


def _bomb(size: int, line: str, alias: str) -> bytes:
    """Each line repeats the one before ten times."""
    lines = ["a0: &a0 {b: 1}\n"]
    numbers = range(1, max(2, size // 80))
    lines += [line.format(number, alias.format(number - 1) * 10) for number in numbers]
    return "".join(lines).encode()


def _grown_texts(sample: str) -> Iterator[tuple[str, Shape]]:
    for joint in (" ", " and ", " or ", ",", "", "\n"):
        unit = sample + joint
        yield f"many of {unit[:30]!r}", lambda size, unit=unit: _times(unit, size)
    middle = len(sample) // 2
    for filler in (" ", "0", '"', "\\", "a", "\t"):
        yield (
            f"{sample[:30]!r} with many {filler!r} inside",
            lambda size, filler=filler: (
                sample[:middle] + filler * size + sample[middle:]
            ).encode(),
        )


def _grown_values(parser: Parser, sample: str) -> Iterator[tuple[str, Shape]]:
    """Each part of the sample in turn: longer texts, longer lists, more keys."""
    value = loaded(parser, sample)
    for path in _paths(value):
        part = _at(value, path)
        for name, grow in _growths(part):
            yield (
                f"{name} at {'/'.join(map(str, path)) or 'the top'}",
                lambda size, path=path, grow=grow: dumped(
                    parser, _put(value, path, grow(size))
                ),
            )


def _growths(part: Any) -> Iterator[tuple[str, Callable[[int], Any]]]:
    if isinstance(part, str):
        yield "a long text", lambda size: part + "x" * size
        yield "many blanks", lambda size: f"a{' ' * size}b"
        yield "many words", lambda size: "a b " * (size // 4)
    if isinstance(part, list):
        yield "a long list", lambda size: (part or ["x"]) * max(1, size // 20)
        yield "a list of lists", lambda size: [[]] * (size // 4)
    if isinstance(part, dict):
        yield (
            "many more keys",
            lambda size: {**part, **{f"key{n}": n for n in range(size // 16)}},
        )
        yield "many copies", lambda size: [part] * max(1, size // 100)


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _paths(entry, (*above, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value[:2]):
            yield from _paths(entry, (*above, number))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _put(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    copy = value.copy()
    copy[path[0]] = _put(copy[path[0]], path[1:], part)
    return copy
