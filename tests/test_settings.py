"""The configuration: every key, the source of each value, and an error for every odd file."""

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks import settings, times
from foreman_hooks.osp_checker import CloudScope, Manners
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite.check_job import CheckJob
from foreman_hooks.satellite.client import Login
from foreman_hooks.section import as_duration
from foreman_hooks.settings import Settings, SettingsError, load

URL, OTHER_URL = "https://satellite.example.com", "https://other.example.com"
SATELLITE = {"url": URL, "username": "osp-cleanup", "password": "ours"}


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration, no hammer and no Satellite on the machine that runs the tests."""
    monkeypatch.setattr(settings, "CONFIG", tmp_path / "etc" / "config.yml")
    folders = (tmp_path / "etc" / "hammer", Path("~/.hammer"))
    monkeypatch.setattr("foreman_hooks.satellite.hammer.HAMMER_FOLDERS", folders)
    monkeypatch.setattr(settings, "SATELLITE_CA", tmp_path / "katello-server-ca.crt")


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Settings]:
    """Load a configuration file with this content, and this environment."""

    def load_content(content: Any, **environ: str) -> Settings:
        path = tmp_path / "config.yml"
        path.write_text(
            content if isinstance(content, str) else yaml.safe_dump(content),
            encoding="utf-8",
        )
        return load(path, {"HOME": str(tmp_path / "home"), **environ})

    return load_content


@pytest.fixture
def hammer(tmp_path: Path) -> Callable[..., None]:
    """Write a file of hammer's for all users, or in the home of one, as the installer does."""

    def written(
        name: str = "foreman.yml", home: bool = True, **sections: Mapping[str, Any]
    ) -> None:
        folder = tmp_path / ("home/.hammer" if home else "etc/hammer")
        path = folder / (name if name == "cli_config.yml" else f"cli.modules.d/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml.safe_dump(
                {
                    f":{section}": {f":{key}": value for key, value in values.items()}
                    for section, values in sections.items()
                }
            )
        )

    return written


@pytest.fixture
def raw(tmp_path: Path) -> Callable[..., Path]:
    """Write a text to the file of a hammer module, and return its path."""

    def written(text: str, name: str) -> Path:
        path = tmp_path / "home/.hammer/cli.modules.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return written


def login(loaded: Settings) -> Login:
    assert loaded.login is not None
    return loaded.login


def refused(config: Callable[..., Settings], content: Any, **environ: str) -> str:
    """The message of the refusal, which must be a single line of bearable length."""
    with pytest.raises(SettingsError) as caught:
        config(content, **environ)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


# Every key


def test_nothing_has_to_be_configured(tmp_path: Path) -> None:
    assert load(None, {"HOME": str(tmp_path)}) == Settings(
        None,
        Manners(4, 1000, 0),
        "",
        (CloudScope(None),),
        None,
        Path("/var/lib/satellite-osp-cleanup/journal.sqlite3"),
        Policy(),
    )


@pytest.mark.parametrize(
    "text", ["", "---\n", "# nothing\n", "satellite:\nclouds:\npolicy:\n"]
)
def test_an_empty_file_counts_as_no_file(
    config: Callable[..., Settings], text: str
) -> None:
    loaded = config(text)
    assert (loaded.login, loaded.clouds, loaded.policy) == (
        None,
        (CloudScope(None),),
        Policy(),
    )


def test_every_key_sets_its_value(
    config: Callable[..., Settings], tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.crt"
    ca_file.touch()
    loaded = config(
        {
            "satellite": {
                **SATELLITE,
                "ca_file": str(ca_file),
                "search": "organization = web",
                "workers": 2,
                "page_size": 250,
                "pause": "1s",
            },
            "clouds": [
                {
                    "cloud": "prod",
                    "regions": ["RegionOne", "RegionTwo"],
                    "ignore_regions": ["Lab"],
                },
                {"cloud": "test", "lists_fail_on_down_cell": True},
            ],
            "checker": {
                "job_template": "OSP - Check instances",
                "search": "name = checker.example.com",
                "clouds_yaml": "/etc/osp.yaml",
                "deadline": "1h",
            },
            "journal": "/srv/journal",
            "deadline": "45m",
            "repeat_news": "1d",
            "policy": {
                "quiet": "1h30m",
                "all_clouds_listed": True,
                "max_absent": 2,
                "grace": "3d",
                "misses": 5,
                "silence": "90m",
                "max_deletions": 7,
                "max_fraction": 0.5,
                "max_shrink": 1,
                "protect_parameter": "hands_off",
                "openstack_names": ["Acme", " RDO "],
            },
        }
    )
    assert loaded == Settings(
        Login(URL, "osp-cleanup", "ours", str(ca_file)),
        Manners(2, 250, 1, readers=2),
        "organization = web",
        (
            CloudScope("prod", ("RegionOne", "RegionTwo"), ignore_regions=("Lab",)),
            CloudScope("test", (), True),
        ),
        CheckJob(
            "OSP - Check instances",
            "name = checker.example.com",
            "/etc/osp.yaml",
            timedelta(hours=1),
        ),
        Path("/srv/journal"),
        Policy(
            quiet=timedelta(minutes=90),
            all_clouds_listed=True,
            max_absent=2,
            grace=timedelta(days=3),
            misses=5,
            silence=timedelta(minutes=90),
            max_deletions=7,
            max_fraction=0.5,
            max_shrink=1.0,
            protect_parameter="hands_off",
            openstack_names=("Acme", "RDO"),
        ),
        timedelta(minutes=45),
        timedelta(days=1),
        file=tmp_path / "config.yml",
        secret_files=(tmp_path / "config.yml",),
    )


def test_manners_are_set_for_each_server_separately(
    config: Callable[..., Settings],
) -> None:
    loaded = config(
        {
            "satellite": {**SATELLITE, "workers": 1},
            "clouds": [
                {"cloud": "prod", "page_size": 100},
                {"cloud": "test", "pause": "2s", "workers": 3},
                {"cloud": "dev"},
            ],
        }
    )
    assert loaded.manners == Manners(1, 1000, 0, readers=1)
    assert [scope.manners for scope in loaded.clouds] == [
        Manners(8, 100, 0),
        Manners(3, 1000, 2, readers=3),
        Manners(8, 1000, 0),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 0}, "workers must be a whole number from 1 to 64, not 0"),
        ({"workers": 65}, "from 1 to 64, not 65"),
        ({"workers": True}, "not True"),
        ({"workers": "4"}, "not '4'"),
        ({"page_size": 0}, "from 1 to 10000, not 0"),
        ({"page_size": 10_001}, "from 1 to 10000"),
        ({"pause": 1}, "pause must be a duration such as 90s"),
        ({"pause": "-1s"}, "pause must be a duration"),
        ({"pauses": "1s"}, "did you mean"),
    ],
)
def test_impossible_manners_are_refused(
    config: Callable[..., Settings], given: Any, message: str
) -> None:
    assert f"satellite.{next(iter(given))}" in refused(
        config, {"satellite": {**SATELLITE, **given}}
    )
    assert message in refused(config, {"satellite": {**SATELLITE, **given}})
    assert message in refused(config, {"clouds": [{"cloud": "prod", **given}]})


def test_manners_of_a_cloud_are_refused_with_a_check_job(
    config: Callable[..., Settings],
) -> None:
    """They would not reach the job, and nobody would notice."""
    assert "not with checker.job_template" in refused(
        config, {"checker": JOB, "clouds": [{**CLOUDS[0], "workers": 2}]}
    )


JOB = {"job_template": "OSP - Check instances", "search": "name = checker.example.com"}
CLOUDS = [{"cloud": "prod", "regions": ["RegionOne"]}]


@pytest.mark.parametrize("value", ["local", None])
def test_the_clouds_are_asked_from_here_unless_a_job_is_named(
    config: Callable[..., Settings], value: Any
) -> None:
    assert config({"checker": value}).checker is None


def test_a_check_job_needs_only_its_template_and_its_search(
    config: Callable[..., Settings],
) -> None:
    loaded = config({"checker": JOB, "clouds": CLOUDS}).checker
    assert loaded == CheckJob(
        "OSP - Check instances", "name = checker.example.com", "", timedelta(minutes=15)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"checker": "job", "clouds": CLOUDS},
            "checker must be local, or hold job_template and search",
        ),
        (
            {"checker": {**JOB, "serach": "x"}, "clouds": CLOUDS},
            "unknown key checker.serach; did you mean search?",
        ),
        (
            {"checker": {"search": "x"}, "clouds": CLOUDS},
            "checker.job_template is missing",
        ),
        (
            {"checker": {**JOB, "search": " "}, "clouds": CLOUDS},
            "checker.search is empty",
        ),
        (
            {"checker": {**JOB, "clouds_yaml": 5}, "clouds": CLOUDS},
            "checker.clouds_yaml must be a text",
        ),
        (
            {"checker": {**JOB, "deadline": "soon"}, "clouds": CLOUDS},
            "checker.deadline must be a duration",
        ),
        (
            {"checker": {**JOB, "deadline": "0s"}, "clouds": CLOUDS},
            "checker.deadline must be at least 1s",
        ),
        ({"checker": JOB}, "clouds must name every cloud"),
        (
            {"checker": JOB, "clouds": [{"cloud": "a b"}]},
            "no name may hold white space",
        ),
        ({"checker": JOB, "clouds": [{"cloud": "a", "regions": ["x/y"]}]}, "a slash"),
        ({"checker": JOB, "clouds": [{"cloud": "a,b"}]}, "a comma"),
    ],
)
def test_a_check_job_that_cannot_work_is_an_error(
    config: Callable[..., Settings], content: Any, message: str
) -> None:
    """Nobody would miss a cloud without a name if it does not answer."""
    assert message in refused(config, content)


def test_the_file_of_the_system_is_read_if_no_other_is_named(tmp_path: Path) -> None:
    settings.CONFIG.parent.mkdir()
    settings.CONFIG.write_text("journal: /srv/journal\n")
    assert load(None, {"HOME": str(tmp_path)}).journal == Path("/srv/journal")


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere.yml: No such file"):
        load(tmp_path / "nowhere.yml", {})
    with pytest.raises(SettingsError, match="Is a directory"):
        load(tmp_path, {})


def test_a_tilde_is_the_home_of_the_current_user(
    config: Callable[..., Settings],
) -> None:
    assert config({"journal": "~/journal"}).journal == Path("~/journal").expanduser()


def test_the_cloud_of_the_environment_is_asked_if_none_is_configured(
    config: Callable[..., Settings],
) -> None:
    assert config("", OS_CLOUD="prod").clouds == (CloudScope("prod"),)
    assert config({"clouds": [{"cloud": "test"}]}, OS_CLOUD="prod").clouds == (
        CloudScope("test"),
    )


def test_a_login_never_shows_its_password() -> None:
    assert (
        "s3cret" not in f"{Login(URL, 'ann', 's3cret')} {Login(URL, 'ann', 's3cret')!r}"
    )


# Misspelt keys


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"polcy": {}}, "unknown key polcy; did you mean policy?"),
        ({"cloud": []}, "unknown key cloud; did you mean clouds?"),
        (
            {"policy": {"max_deletion": 0}},
            "unknown key policy.max_deletion; did you mean max_deletions?",
        ),
        (
            {"policy": {"max-fraction": 0}},
            "unknown key policy.max-fraction; did you mean max_fraction?",
        ),
        ({"policy": {"Grace": "9d"}}, "unknown key policy.Grace; did you mean grace?"),
        (
            {"satellite": {"user": "ann"}},
            "unknown key satellite.user; did you mean username?",
        ),
        (
            {"satellite": {"verify_ssl": False}},
            "unknown key satellite.verify_ssl; did you mean verify_tls?",
        ),
        (
            {"clouds": [{"cloud": "prod"}, {"cloud": "test", "region": "x"}]},
            "unknown key clouds[2].region; did you mean regions?",
        ),
        (
            {"policy": {"zzz": 1}},
            "unknown key policy.zzz; known are quiet, all_clouds_listed, grace, misses",
        ),
        (
            {1: 2},
            "unknown key 1; known are satellite, clouds, checker, journal, deadline, repeat_news",
        ),
        ({None: 2}, "unknown key None; known are"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_the_right_one(
    config: Callable[..., Settings], content: Any, message: str
) -> None:
    """A misspelt guard rail would be no guard rail."""
    assert message in refused(config, content)


@pytest.mark.parametrize(
    "text",
    [
        "policy: {max_deletions: 5}\npolicy: {grace: 9d}\n",
        "policy:\n  max_deletions: 5\n  max_deletions: 500\n",
    ],
)
def test_a_key_that_appears_twice_is_an_error(
    config: Callable[..., Settings], text: str
) -> None:
    """YAML would take the last one and silently drop the guard rail that the first one sets."""
    assert "twice" in refused(config, text) or "duplicate" in refused(config, text)


# Values of the policy


@pytest.mark.parametrize("key", [field.name for field in fields(Policy)])
def test_every_key_of_the_policy_is_read(
    config: Callable[..., Settings], key: str
) -> None:
    """A guard rail that the program accepts but does not read would be no guard rail."""
    assert f"policy.{key}" in refused(config, {"policy": {key: {}}})


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("72h", timedelta(days=3)),
        ("3d", timedelta(days=3)),
        ("4h30m", timedelta(hours=4.5)),
        ("1d12h", timedelta(hours=36)),
        ("0s", timedelta()),
        (" 1d ", timedelta(days=1)),
        ("007d", timedelta(days=7)),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, span: timedelta) -> None:
    assert as_duration("file: policy.grace", text) == span


@pytest.mark.parametrize(
    "value",
    [
        "",
        "72",
        72,
        1.5,
        "1.5h",
        "-1d",
        "+1d",
        "3 d",
        "3D",
        "3w",
        "30m4h",
        "4h 30m",
        "1h1h",
        "999999999d24h",
        "d",
        "1e3s",
        True,
        None,
        [],
        {},
        ["3d"],
        "\u0663d",
        "1234567890s",
        "3d\n4",
        "P3D",
    ],
)
def test_anything_but_a_duration_is_refused_with_an_example(
    config: Callable[..., Settings], value: Any
) -> None:
    for key in ("quiet", "grace", "silence"):
        assert (
            f"policy.{key} must be a duration such as 90s, 30m, 72h, 3d or 4h30m"
            in refused(config, {"policy": {key: value}})
        )
    assert "deadline must be a duration" in refused(config, {"deadline": value})


@pytest.mark.parametrize("value", [0, 0.0, 1, 1.0, 0.29])
def test_a_fraction_lies_between_0_and_1(
    config: Callable[..., Settings], value: float
) -> None:
    for key in ("max_fraction", "max_shrink"):
        assert getattr(config({"policy": {key: value}}).policy, key) == value


@pytest.mark.parametrize(
    "value", [-0.01, 1.01, 10, "0.1", "10%", True, None, [], float("nan"), float("inf")]
)
def test_anything_but_a_fraction_is_refused(
    config: Callable[..., Settings], value: Any
) -> None:
    """10 instead of 10 % would be no cap at all."""
    for key in ("max_fraction", "max_shrink"):
        assert f"policy.{key} must be a number from 0 to 1" in refused(
            config, {"policy": {key: value}}
        )


@pytest.mark.parametrize(
    ("key", "least"), [("max_deletions", 0), ("max_absent", 0), ("misses", 1)]
)
def test_a_count_is_a_whole_number_and_a_cap_may_be_zero(
    config: Callable[..., Settings], key: str, least: int
) -> None:
    assert getattr(config({"policy": {key: least}}).policy, key) == least
    for value in (least - 1, 1.5, 2.0, "5", True, None, [], float("nan")):
        assert f"policy.{key} must be a whole number, {least} or more" in refused(
            config, {"policy": {key: value}}
        )


@pytest.mark.parametrize(
    "value", [[], "OpenStack", [""], [" "], ["OpenStack", ""], [None], [1], {}, None]
)
def test_the_names_of_openstack_are_texts_that_are_not_empty(
    config: Callable[..., Settings], value: Any
) -> None:
    """An empty text is part of every maker's name."""
    assert "policy.openstack_names must be a list of names" in refused(
        config, {"policy": {"openstack_names": value}}
    )


@pytest.mark.parametrize(
    "value", [" ", "a b", "x = true or name ~ y", 'a"b', None, 1, []]
)
def test_the_protecting_parameter_is_a_name_that_fits_into_a_search(
    config: Callable[..., Settings], value: Any
) -> None:
    assert "policy.protect_parameter" in refused(
        config, {"policy": {"protect_parameter": value}}
    )


def test_an_empty_protecting_parameter_protects_no_host(
    config: Callable[..., Settings],
) -> None:
    assert config({"policy": {"protect_parameter": ""}}).policy.protect_parameter == ""


@pytest.mark.parametrize("value", ["true", "yes", 1, 0, None, [], {}])
def test_all_clouds_listed_is_true_or_false_and_nothing_like_it(
    config: Callable[..., Settings], value: Any
) -> None:
    assert "policy.all_clouds_listed must be true or false" in refused(
        config, {"policy": {"all_clouds_listed": value}}
    )


def test_the_quiet_time_can_be_switched_off(config: Callable[..., Settings]) -> None:
    assert config({"policy": {"quiet": "0s"}}).policy.quiet == timedelta()


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=999_999)))
def test_a_duration_is_shown_as_it_is_written(span: timedelta) -> None:
    whole = span - span % timedelta(milliseconds=1)
    assert times.parse(times.spell(whole)) == whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4h30m", "4h30m"),
        ("2h", "2h"),
        ("120m", "2h"),
        ("3d", "72h"),
        ("90s", "1m30s"),
        ("0s", "0s"),
        ("1500ms", "1s500ms"),
    ],
)
def test_a_duration_is_shown_in_the_largest_units_up_to_hours(
    text: str, shown: str
) -> None:
    assert times.spell(as_duration("file: quiet", text)) == shown


def test_a_run_ends_after_two_hours_by_default(
    config: Callable[..., Settings],
) -> None:
    assert config("").deadline == timedelta(hours=2)
    assert config("deadline: 1h30m\n").deadline == timedelta(minutes=90)
    assert "deadline must be at least 1s" in refused(config, "deadline: 0s\n")


def test_a_region_is_either_asked_or_ignored(config: Callable[..., Settings]) -> None:
    message = refused(
        config,
        {
            "clouds": [
                {"cloud": "prod", "regions": ["A", "B"], "ignore_regions": ["B", "C"]}
            ]
        },
    )
    assert "clouds[1]: B is in regions and in ignore_regions" in message


def test_regions_can_be_ignored_with_a_check_job(
    config: Callable[..., Settings],
) -> None:
    loaded = config(
        {"checker": JOB, "clouds": [{**CLOUDS[0], "ignore_regions": ["Lab"]}]}
    )
    assert loaded.clouds[0].ignore_regions == ("Lab",)


@pytest.mark.parametrize("value", ["Lab", [1], [""], None, {}])
def test_ignored_regions_are_a_list_of_names(
    config: Callable[..., Settings], value: Any
) -> None:
    assert "clouds[1].ignore_regions" in refused(
        config, {"clouds": [{"cloud": "prod", "ignore_regions": value}]}
    )


@pytest.mark.parametrize(
    "search",
    ['last_checkin < "garbage"', "(name = web", "name = web and created_at > soon"],
)
def test_a_search_that_satellite_would_misread_is_refused(
    config: Callable[..., Settings], search: str
) -> None:
    assert "satellite.search: " in refused(
        config, {"satellite": {**SATELLITE, "search": search}}
    )
    assert "checker.search: " in refused(
        config, {"checker": {**JOB, "search": search}, "clouds": CLOUDS}
    )


# Values of the other keys


@pytest.mark.parametrize(
    "url",
    [
        "satellite.example.com",
        "ftp://satellite.example.com",
        "https://",
        "https:///api",
        "https://a b",
        "x",
        "https://ann:s3cret@satellite.example.com",
        5,
        ["https://a"],
        {"a": 1},
        True,
    ],
)
def test_anything_but_a_url_is_refused(
    config: Callable[..., Settings], url: Any
) -> None:
    assert "satellite.url must" in refused(
        config, {"satellite": {**SATELLITE, "url": url}}
    )


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:3000", "https://satellite.example.com/", "https://a/foreman"],
)
def test_a_port_and_a_path_may_be_part_of_the_url(
    config: Callable[..., Settings], url: str
) -> None:
    assert login(config({"satellite": {**SATELLITE, "url": url}})).url == url.rstrip(
        "/"
    )


@pytest.mark.parametrize(
    "content",
    [
        {"satellite": {**SATELLITE, "username": 5}},
        {"satellite": {**SATELLITE, "password": 12345}},
        {"satellite": {**SATELLITE, "password": ["a"]}},
        {"satellite": {**SATELLITE, "password_file": 5}},
        {"satellite": {**SATELLITE, "search": 5}},
        {"satellite": {**SATELLITE, "verify_tls": "no"}},
        {"satellite": {**SATELLITE, "verify_tls": 0}},
        {"satellite": {**SATELLITE, "verify_tls": None}},
        {"satellite": "https://satellite.example.com"},
        {"satellite": [SATELLITE]},
        {"policy": []},
        {"policy": "strict"},
        {"clouds": "prod"},
        {"clouds": {"cloud": "prod"}},
        {"clouds": []},
        {"clouds": ["prod"]},
        {"clouds": [None]},
        {"clouds": [{}]},
        {"clouds": [{"cloud": None}]},
        {"clouds": [{"cloud": 5}]},
        {"clouds": [{"cloud": "prod", "regions": "RegionOne"}]},
        {"clouds": [{"cloud": "prod", "regions": [1]}]},
        {"clouds": [{"cloud": "prod", "regions": None}]},
        {"clouds": [{"cloud": "prod", "lists_fail_on_down_cell": "yes"}]},
        {"journal": 5},
        {"journal": None},
        {"journal": ["a"]},
        [],
        "just a text",
        5,
        ["satellite"],
    ],
    ids=repr,
)
def test_a_value_of_the_wrong_kind_is_refused(
    config: Callable[..., Settings], content: Any
) -> None:
    refused(config, content if isinstance(content, dict) else yaml.safe_dump(content))


def test_the_same_cloud_twice_is_refused(config: Callable[..., Settings]) -> None:
    message = refused(
        config,
        {
            "clouds": [
                {"cloud": "prod", "regions": ["A"]},
                {"cloud": "prod", "regions": ["B"]},
            ]
        },
    )
    assert "names the same cloud twice" in message


@pytest.mark.parametrize(
    "entry",
    [
        {"cloud": ""},
        {"cloud": "prod", "regions": [""]},
        {"cloud": "prod", "regions": ["A", " "]},
    ],
    ids=repr,
)
def test_an_empty_name_of_a_cloud_or_region_is_refused(
    config: Callable[..., Settings], entry: Any
) -> None:
    """keystoneauth takes "" for any region, and another region knows none of our instances."""
    refused(config, {"clouds": [entry]})


# Where URL, user and password come from


def test_hammers_files_are_enough(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(home=False, foreman={"host": URL, "use_sessions": False})
    hammer(foreman={"username": "admin", "password": "changeme"})
    assert login(config("")) == Login(URL, "admin", "changeme", True)


def test_hammers_keys_may_be_symbols_or_not(
    config: Callable[..., Settings], raw: Callable[..., Path]
) -> None:
    raw(
        ":foreman:\n  host: 'https://a'\n:ssl:\n  :verify_ssl: false\n:ui:\n  :per_page: 5\n",
        "a.yml",
    )
    raw("foreman:\n  :username: 'ann'\n  ':password': hers\n", "b.yml")
    assert login(config("")) == Login("https://a", "ann", "hers", False)


def test_hammers_later_files_win_and_empty_values_do_not_count(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(
        "cli_config.yml",
        home=False,
        foreman={"host": "https://a", "username": "a", "password": "a"},
    )
    hammer("b.yml", home=False, foreman={"host": "https://b", "username": "b"})
    hammer("cli_config.yml", foreman={"host": "https://c"})
    hammer("a.yml", foreman={"username": "d", "password": "d"})
    hammer("z.yml.bak", foreman={"host": "https://bak"})
    assert login(config("")) == Login("https://c", "d", "d", True)


def test_our_file_comes_before_hammers(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(foreman={"host": OTHER_URL, "username": "admin", "password": "changeme"})
    assert login(config({"satellite": SATELLITE})) == Login(
        URL, "osp-cleanup", "ours", True
    )


@pytest.mark.parametrize(
    "name", ["FOREMAN_SERVER_URL", "FOREMAN_SERVER", "FOREMAN_URL"]
)
def test_the_environment_comes_before_both_for_the_url(
    config: Callable[..., Settings], hammer: Callable[..., None], name: str
) -> None:
    hammer(foreman={"host": "https://a", "username": "admin", "password": "changeme"})
    assert login(config({"satellite": SATELLITE}, **{name: OTHER_URL})).url == OTHER_URL


@pytest.mark.parametrize("name", ["FOREMAN_USERNAME", "FOREMAN_USER"])
def test_the_environment_comes_before_both_for_user_and_password(
    config: Callable[..., Settings], hammer: Callable[..., None], name: str
) -> None:
    hammer(foreman={"host": "https://a", "username": "admin", "password": "changeme"})
    loaded = login(
        config({"satellite": SATELLITE}, **{name: "ann", "FOREMAN_PASSWORD": "hers"})
    )
    assert (loaded.username, loaded.password) == ("ann", "hers")


def test_an_empty_variable_counts_as_unset(config: Callable[..., Settings]) -> None:
    empty = {"FOREMAN_SERVER_URL": "", "FOREMAN_USERNAME": "", "FOREMAN_PASSWORD": ""}
    assert login(config({"satellite": SATELLITE}, **empty)) == Login(
        URL, "osp-cleanup", "ours", True
    )


def test_the_password_alone_may_come_from_the_environment(
    config: Callable[..., Settings],
) -> None:
    assert (
        login(config({"satellite": SATELLITE}, FOREMAN_PASSWORD="new")).password
        == "new"
    )


def test_a_password_is_never_used_with_another_user(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    """Thirty refused logins lock out everybody at this address, and a password is private."""
    hammer(foreman={"host": URL, "username": "admin", "password": "changeme"})
    for content, environ in (
        ({"satellite": SATELLITE}, {"FOREMAN_USERNAME": "ann"}),
        ({"satellite": {"username": "ann"}}, {}),
        ("", {"FOREMAN_USERNAME": "ann"}),
    ):
        assert (
            "no password for ann; set satellite.password_file or FOREMAN_PASSWORD"
            in refused(config, content, **environ)
        )


def test_hammers_password_is_used_for_the_same_user_in_our_file(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(foreman={"host": URL, "username": "admin", "password": "changeme"})
    assert login(config({"satellite": {"username": "admin"}})).password == "changeme"


def test_a_url_without_a_user_is_refused(config: Callable[..., Settings]) -> None:
    assert f"no user for {URL}; set satellite.username or FOREMAN_USERNAME" in refused(
        config, {"satellite": {"url": URL}}
    )


def test_a_user_without_a_url_is_no_login(config: Callable[..., Settings]) -> None:
    """`check` works without a Satellite."""
    assert config({"satellite": {"username": "ann", "password": "hers"}}).login is None


@pytest.mark.parametrize("home", [{}, {"HOME": ""}])
def test_without_a_home_no_file_in_the_working_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: dict[str, str]
) -> None:
    """A systemd unit has no HOME; others may write to its folder, and choose the Satellite."""
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / ".hammer", tmp_path / "~" / ".hammer"):
        folder.mkdir(parents=True)
        (folder / "cli_config.yml").write_text(
            ":foreman: {':host': 'https://evil', ':username': a, ':password': b}"
        )
    assert load(None, home).login is None


# hammer's files, read as hammer reads them


def warned(loaded: Settings) -> str:
    """The only warning, which must be a single line."""
    assert len(loaded.warnings) == 1, loaded.warnings
    assert "\n" not in loaded.warnings[0]
    return loaded.warnings[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (":katello:\n\t:enable_module: true\n", "not valid YAML"),
        ("[1, 2", "not valid YAML"),
        (":foreman: {:host: [}", "not valid YAML"),
        ("\0", "not valid YAML"),
        (":a: !!int five\n", "not valid YAML"),
        ("- a list", "no 'key: value' lines"),
        ("just a text", "no 'key: value' lines"),
        ("!ruby/sym foreman", "no 'key: value' lines"),
        (":foreman: [1]", ":foreman: has no 'key: value' lines"),
        (":foreman: text", ":foreman: has no 'key: value' lines"),
        (":ssl: 5", ":ssl: has no 'key: value' lines"),
    ],
)
def test_a_broken_file_is_a_warning_and_the_others_count(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    raw: Callable[..., Path],
    text: str,
    reason: str,
) -> None:
    hammer(foreman={"host": URL, "username": "admin", "password": "changeme"})
    path = raw(text, "katello.yml")
    loaded = config("")
    assert login(loaded) == Login(URL, "admin", "changeme", True)
    assert warned(loaded).startswith(f"{path}: ")
    assert reason in warned(loaded)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"# M\xfcller\n:foreman: {}\n"])
def test_a_hammer_file_that_is_not_utf_8_is_ignored_with_a_warning(
    config: Callable[..., Settings], raw: Callable[..., Path], content: bytes
) -> None:
    path = raw("", "foreman.yml")
    path.write_bytes(content)
    loaded = config("")
    assert loaded.login is None
    assert warned(loaded) == f"{path}: not UTF-8; this hammer file is ignored"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_hammer_file_is_ignored_with_a_warning(
    config: Callable[..., Settings], raw: Callable[..., Path]
) -> None:
    path = raw(":foreman: {}\n", "foreman.yml")
    path.chmod(0)
    assert warned(config("")).startswith(f"{path}: Permission denied")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "---\n",
        "# nothing\n",
        ":foreman:\n:ssl:\n",
        "5: {6: 7}",
        ":katello: {':enable_module': !ruby/object:Foo {}}",
        ":a: !!python/object:os.x {}",
    ],
)
def test_foreign_but_harmless_content_is_ignored_silently(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    raw: Callable[..., Path],
    text: str,
) -> None:
    hammer(foreman={"host": URL, "username": "admin", "password": "changeme"})
    raw(text, "other.yml")
    loaded = config("")
    assert (login(loaded).username, loaded.warnings) == ("admin", ())


def test_anything_but_a_regular_visible_file_is_ignored(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    raw: Callable[..., Path],
    tmp_path: Path,
) -> None:
    hammer(foreman={"host": URL, "username": "admin", "password": "changeme"})
    folder = tmp_path / "home/.hammer/cli.modules.d"
    (folder / "folder.yml").mkdir()
    os.mkfifo(folder / "pipe.yml")
    (folder / "dangling.yml").symlink_to(folder / "nowhere")
    raw(":foreman: {':host': 'https://hidden'}", ".z.yml")
    loaded = config("")
    assert (login(loaded).url, loaded.warnings) == (URL, ())


@pytest.mark.parametrize(
    "text",
    [
        ":foreman:\n  :host: 'URL'\n  :username: 'admin'\n"
        "  :password: 'old'\n  :password: 'changeme'\n",
        "\ufeff:foreman:\n  :host: 'URL'\n  :username: 'admin'\n  :password: 'changeme'\n",
        ":foreman:\r\n  :host: 'URL'\r\n  :username: 'admin'\r\n  :password: 'changeme'\r\n",
        ":foreman:\n  :host: URL\n  :username: :admin\n  :password: !ruby/sym changeme\n",
        "!ruby/sym foreman:\n  !ruby/symbol host: 'URL'\n  !ruby/sym username: admin\n"
        "  :password: !ruby/symbol :changeme\n",
        ":foreman: !ruby/hash:Hash\n  :host: 'URL/'\n  :username: admin\n  :password: changeme\n",
        ":foreman:\n  :host: 'URL'\n  :username: 'admin'\n  :password: 'changeme'\n---\n[ broken\n",
        ":foreman:\n  :host: https://old\n  :username: old\n"
        ":foreman:\n  :host: URL\n  :username: admin\n  :password: changeme\n",
    ],
)
def test_everything_that_ruby_reads_is_read(
    config: Callable[..., Settings], raw: Callable[..., Path], text: str
) -> None:
    """A repeated key (the last one counts), a byte order mark, symbols, tags, several documents."""
    raw(text.replace("URL", URL), "foreman.yml")
    loaded = config("")
    assert (login(loaded), loaded.warnings) == (
        Login(URL, "admin", "changeme", True),
        (),
    )


def test_numbers_and_booleans_of_hammer_are_read_as_texts(
    config: Callable[..., Settings], raw: Callable[..., Path]
) -> None:
    raw(
        f":foreman:\n  :host: {URL}\n  :username: 100123\n  :password: true\n",
        "foreman.yml",
    )
    assert login(config("")) == Login(URL, "100123", "true", True)


def test_an_empty_value_in_a_later_file_takes_back_the_earlier_one(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    """Otherwise one user's name would be sent with another's password."""
    hammer(
        home=False, foreman={"host": URL, "username": "admin", "password": "changeme"}
    )
    hammer(foreman={"username": "ann", "password": None})
    assert "no password for ann" in refused(config, "")


def test_sections_of_other_plugins_are_not_a_login(
    config: Callable[..., Settings], raw: Callable[..., Path]
) -> None:
    raw(
        ":katello:\n  :host: 'https://a'\n  :username: a\n  :password: b\n"
        ":ssl:\n  :host: https://b\n",
        "katello.yml",
    )
    assert config("").login is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "host",
            "satellite.example.com",
            ":foreman: :host: must look like https://satellite.example.com, not 'satellite",
        ),
        ("host", ["https://a"], ":foreman: :host: must look like"),
        ("host", "https://ann:s3cret@a", ":foreman: :host: must look like"),
        ("username", ["ann"], "no user for"),
        ("password", {"a": 1}, "no password for admin"),
    ],
)
def test_an_unusable_value_of_hammer_is_named_with_its_file_and_key(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    key: str,
    value: Any,
    message: str,
) -> None:
    values = {"host": URL, "username": "admin", "password": "changeme", key: value}
    hammer(foreman=values)
    text = refused(config, "")
    assert message in text
    assert "s3cret" not in text or key == "host"
    assert "config.yml: satellite.url" not in text


def test_an_unusable_variable_is_named(config: Callable[..., Settings]) -> None:
    assert refused(
        config, {"satellite": SATELLITE}, FOREMAN_SERVER_URL="satellite"
    ).startswith("FOREMAN_SERVER_URL must look like")


def test_without_a_password_the_message_says_where_to_put_it(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(foreman={"host": URL, "username": "admin"})
    text = refused(config, "")
    assert (
        "foreman.yml: :foreman: :username: is admin, and hammer asks for the password"
        in text
    )
    assert "set satellite.password_file or FOREMAN_PASSWORD" in text


@pytest.mark.parametrize(
    ("foreman", "ssl", "message"),
    [
        ({"use_sessions": True}, {}, "a session ("),
        ({"username": "admin", "use_sessions": True}, {}, "a session ("),
        (
            {"default_auth_type": "Negotiate_Auth", "use_sessions": True},
            {},
            "Kerberos (Negotiate_Auth)",
        ),
        (
            {"default_auth_type": "Oauth_Authentication_Code_Grant"},
            {},
            "OpenID Connect (Oauth_Authentication_Code_Grant)",
        ),
        (
            {"default_auth_type": "Oauth_Password_Grant"},
            {},
            "OpenID Connect (Oauth_Password_Grant)",
        ),
        (
            {"default_auth_type": "Basic_Auth_External"},
            {},
            "an external login (Basic_Auth_External)",
        ),
        (
            {
                "default_auth_type": "Negotiate_Auth",
                "username": "admin",
                "password": "left-over",
            },
            {},
            "Kerberos",
        ),
        (
            {},
            {"ssl_client_cert": "/c.pem", "ssl_client_key": "/k.pem"},
            "a client certificate (",
        ),
        (
            {"username": "a", "password": "b"},
            {"ssl_client_cert": "/c", "ssl_client_key": "/k"},
            "a client certificate (",
        ),
    ],
)
def test_an_unsupported_way_to_log_in_is_named_with_what_to_do_instead(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    foreman: Mapping[str, Any],
    ssl: Mapping[str, Any],
    message: str,
) -> None:
    hammer(foreman={"host": URL, **foreman}, ssl=ssl)
    text = refused(config, "")
    assert f"hammer logs in by {message}" in text
    assert "foreman.yml: :" in text
    assert (
        "a user and a personal access token: set satellite.username and satellite.password_file"
        in text
    )


@pytest.mark.parametrize(
    ("foreman", "ssl"),
    [
        ({"use_sessions": True}, {}),
        ({"default_auth_type": "Basic_Auth"}, {}),
        ({}, {"ssl_client_cert": "/c.pem"}),
        (
            {},
            {
                "ssl_client_cert": "/c.pem",
                "ssl_client_key": "/k.pem",
                "ssl_with_basic_auth": True,
            },
        ),
    ],
)
def test_hammers_user_and_password_are_used_if_hammer_would_use_them(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    foreman: Mapping[str, Any],
    ssl: Mapping[str, Any],
) -> None:
    hammer(
        foreman={"host": URL, "username": "admin", "password": "changeme", **foreman},
        ssl=ssl,
    )
    assert login(config("")) == Login(URL, "admin", "changeme", True)


def test_our_own_user_logs_in_however_hammer_does(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(foreman={"host": URL, "default_auth_type": "Negotiate_Auth"})
    assert login(
        config({"satellite": {"username": "ann", "password": "hers"}})
    ) == Login(URL, "ann", "hers", True)
    assert (
        login(config("", FOREMAN_USERNAME="ann", FOREMAN_PASSWORD="hers")).password
        == "hers"
    )


# The file with the password


def with_password(
    config: Callable[..., Settings], path: Path, content: Optional[bytes]
) -> Settings:
    if content is not None:
        path.write_bytes(content)
    return config(
        {
            "satellite": {
                "url": URL,
                "username": "ann",
                "password_file": str(path),
                "password": "older",
            }
        }
    )


@pytest.mark.parametrize("content", [b"t0ken", b"t0ken\n", b"  t0ken \r\n\n"])
def test_the_password_may_be_in_a_separate_file(
    config: Callable[..., Settings], tmp_path: Path, content: bytes
) -> None:
    assert login(with_password(config, tmp_path / "token", content)).password == "t0ken"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold the password alone, in one line"),
        (b" \n", "must hold the password alone"),
        (b"ann\nt0ken\n", "must hold the password alone"),
        (b"\xff\xfet0ken", "not UTF-8"),
        (None, "No such file"),
    ],
)
def test_an_unusable_password_file_is_refused_without_showing_its_content(
    config: Callable[..., Settings],
    tmp_path: Path,
    content: Optional[bytes],
    message: str,
) -> None:
    """No other password is tried instead."""
    with pytest.raises(SettingsError, match="satellite.password_file") as caught:
        with_password(config, tmp_path / "token", content)
    assert message in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a_folder_as_password_file_is_refused(
    config: Callable[..., Settings], tmp_path: Path
) -> None:
    assert "Is a directory" in refused(
        config, {"satellite": {**SATELLITE, "password_file": str(tmp_path)}}
    )


# TLS


def test_the_certificates_of_the_system_are_used_by_default(
    config: Callable[..., Settings],
) -> None:
    assert login(config({"satellite": SATELLITE})).verify is True


def test_on_a_satellite_its_own_ca_is_used(config: Callable[..., Settings]) -> None:
    settings.SATELLITE_CA.touch()
    assert login(config({"satellite": SATELLITE})).verify == str(settings.SATELLITE_CA)


def test_our_ca_file_comes_before_hammers(
    config: Callable[..., Settings], hammer: Callable[..., None], tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.crt", tmp_path / "theirs.crt"
    ours.touch()
    theirs.touch()
    hammer(home=False, ssl={"ssl_ca_file": str(theirs)})
    assert login(config({"satellite": SATELLITE})).verify == str(theirs)
    assert login(
        config({"satellite": {**SATELLITE, "ca_file": str(ours)}})
    ).verify == str(ours)


@pytest.mark.parametrize("name", ["/nonexistent/ca.crt", "/etc"])
def test_an_unreadable_ca_file_is_an_error_and_the_check_is_never_skipped(
    config: Callable[..., Settings], hammer: Callable[..., None], name: str
) -> None:
    assert f"CA file {name}" in refused(
        config, {"satellite": {**SATELLITE, "ca_file": name}}
    )
    hammer(ssl={"ssl_ca_file": name})
    assert f"foreman.yml: :ssl: :ssl_ca_file:: CA file {name}" in refused(
        config, {"satellite": SATELLITE}
    )


@pytest.mark.parametrize("name", [["a"], 5, {"a": 1}, True])
def test_a_ca_file_that_is_not_a_text_is_an_error_in_either_file(
    config: Callable[..., Settings], hammer: Callable[..., None], name: Any
) -> None:
    assert "ca_file" in refused(config, {"satellite": {**SATELLITE, "ca_file": name}})
    hammer(ssl={"ssl_ca_file": name})
    assert "ca_file" in refused(config, {"satellite": SATELLITE})


@pytest.mark.parametrize(
    "name", ["/etc/" + "c" * 300, "/etc/ca\0.crt", "~no-such-user-here/ca.crt"]
)
def test_an_impossible_path_of_a_ca_file_is_an_error(
    config: Callable[..., Settings], name: str
) -> None:
    refused(config, {"satellite": {**SATELLITE, "ca_file": name}})


def test_the_check_is_off_only_if_the_configuration_says_so(
    config: Callable[..., Settings], hammer: Callable[..., None], tmp_path: Path
) -> None:
    assert (
        login(config({"satellite": {**SATELLITE, "verify_tls": False}})).verify is False
    )
    assert (
        login(
            config(
                {
                    "satellite": {
                        **SATELLITE,
                        "verify_tls": False,
                        "ca_file": "/nonexistent",
                    }
                }
            )
        ).verify
        is False
    )
    hammer(ssl={"verify_ssl": False})
    assert login(config({"satellite": SATELLITE})).verify is False
    assert (
        login(config({"satellite": {**SATELLITE, "verify_tls": True}})).verify is True
    )


def test_a_folder_of_cas_that_hammer_trusts_is_used(
    config: Callable[..., Settings], hammer: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "cas"
    folder.mkdir()
    hammer(
        foreman={"host": URL, "username": "admin", "password": "changeme"},
        ssl={"ssl_ca_path": str(folder)},
    )
    assert login(config("")).verify == str(folder)
    folder.rmdir()
    assert (
        f"foreman.yml: :ssl: :ssl_ca_path:: CA folder {folder}: No such file"
        in refused(config, "")
    )


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "satellite.example.com_443.pem"),
        (f"{URL}:8443", "satellite.example.com_8443.pem"),
        (URL, "satellite.example.com.pem"),
    ],
)
def test_the_ca_that_hammer_fetched_is_used(
    config: Callable[..., Settings],
    hammer: Callable[..., None],
    tmp_path: Path,
    url: str,
    name: str,
) -> None:
    hammer(foreman={"host": url, "username": "admin", "password": "changeme"})
    stored = tmp_path / "home/.hammer/certs" / name
    stored.parent.mkdir(parents=True)
    stored.touch()
    settings.SATELLITE_CA.touch()
    assert login(config("")).verify == str(stored)
    other = {**SATELLITE, "url": OTHER_URL}
    assert login(config({"satellite": other})).verify == str(settings.SATELLITE_CA)


@pytest.mark.parametrize("value", ["false", "no", 0, 1, "x"])
def test_tls_is_checked_unless_verify_ssl_is_false_for_ruby(
    config: Callable[..., Settings], hammer: Callable[..., None], value: Any
) -> None:
    """In Ruby everything but false and nil is true."""
    hammer(
        foreman={"host": URL, "username": "admin", "password": "changeme"},
        ssl={"verify_ssl": value},
    )
    loaded = config("")
    assert login(loaded).verify is True
    assert f":ssl: :verify_ssl: is {value!r}, which Ruby takes for true" in warned(
        loaded
    )


# Who can read the secrets


def test_all_files_that_hold_a_password_are_listed(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        files = {
            kind: folder / kind
            for kind in ("config.yml", "token", "home/.hammer/cli_config.yml")
        }
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        files["config.yml"].write_text(
            yaml.safe_dump(
                {"satellite": {**SATELLITE, "password_file": str(files["token"])}}
            )
        )
        files["token"].write_text("t0ken")
        files["home/.hammer/cli_config.yml"].write_text(
            ":foreman: {':password': changeme}\n"
        )
        loaded = load(files["config.yml"], {"HOME": str(folder / "home")})
        for path in files.values():
            path.chmod(0o644)
        assert list(loaded.secret_files) == list(files.values())


def test_a_file_without_a_password_may_be_read_by_everybody(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(home=False, foreman={"host": URL})
    assert (
        config({"satellite": {"username": "ann"}}, FOREMAN_PASSWORD="hers").secret_files
        == ()
    )


# Odd files


def bomb(levels: int) -> str:
    """A list of 9 lists of 9 lists ...: small in the file and in memory, but endless in print."""
    lists = [
        f"&a{level} [{', '.join([f'*a{level - 1}' if level else 'lol'] * 9)}]"
        for level in range(levels)
    ]
    return f"policy: {{grace: [{', '.join(lists)}]}}"


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{",
        "a: b: c",
        "\t",
        "\0",
        "%",
        "a: *b",
        "? [a]\n: b",
        "a: !!python/object/apply:os.system [id]",
        "--- a\n--- b",
        "'\"",
        "&a [*a]",
        "!!set {a}",
        "!!omap [a: 1]",
        "<<: 5",
        "policy: &p {grace: *p}",
        "\ufeff\ufeff",
        "journal: [",
        "policy: {misses: 1e400}",
        "policy: {misses: .nan}",
        "policy: {misses: 9e9}",
        "journal: !!binary '*'",
        "journal: 2025-01-01",
        "satellite: {url: https://x\n}",
        "? |\n  two\n  lines\n: 1",
        '"\\e[2J": 1',
        "policy: {? |\n  two\n  lines\n: 1}",
        "satellite: {password_file: \"a\\nb\", url: 'https://a', username: a}",
        "satellite: {ca_file: \"a\\nb\", url: 'https://a', username: a, password: b}",
        pytest.param("[" * 1000, id="deep list"),
        pytest.param("{a: " * 1000, id="deep mapping"),
        pytest.param("policy: {grace: " + "[" * 200 + "]" * 200 + "}", id="deep value"),
        pytest.param("policy: {misses: " + "9" * 5000 + "x}", id="long"),
        pytest.param(bomb(5), id="bomb"),
    ],
)
def test_odd_yaml_is_an_error_in_one_line(
    config: Callable[..., Settings], text: str
) -> None:
    refused(config, text)


@pytest.mark.parametrize(
    "text",
    [
        "journal: 2025-13-45",
        "journal: 2025-01-01 25:61:61",
        "policy: {misses: !!int five}",
        "journal: !!int ''",
        "policy: {max_fraction: !!float much}",
        "satellite: {verify_tls: !!bool perhaps}",
        "journal: !!timestamp now",
        "journal: ~no-such-user-here/journal",
        'journal: "/srv/a\\0b"',
        pytest.param(
            "policy: {misses: " + "9" * 5000 + "}", id="a number of 5000 digits"
        ),
        "satellite: {url: 'https://a', username: a, password_file: ~no-such-user-here/token}",
        'satellite: {url: "https://a", username: a, password_file: "/srv/a\\0b"}',
        'satellite: {url: "https://a", username: a, password_file: "/srv/\\ud800"}',
    ],
)
def test_a_value_that_does_not_fit_its_tag_is_an_error_in_one_line(
    config: Callable[..., Settings], text: str
) -> None:
    """PyYAML does not catch what int, float and datetime raise; pathlib raises other errors."""
    refused(config, text)


MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{number}: &a{number} {{<<: [{', '.join([f'*a{number - 1}'] * 9)}]}}\n"
    for number in range(1, 12)
)


@pytest.mark.parametrize("text", [bomb(12), MERGES], ids=["aliases", "merges"])
def test_a_bomb_does_not_go_off(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource, sys\nfrom pathlib import Path\n"
            "from foreman_hooks.settings import SettingsError, load\n"
            "resource.setrlimit(resource.RLIMIT_AS, (2 ** 29, 2 ** 29))\n"
            "resource.setrlimit(resource.RLIMIT_CPU, (5, 5))\n"
            "try:\n    load(Path(sys.argv[1]), {'HOME': '/nonexistent'})\n"
            "except SettingsError as error:\n    print(error)",
            path,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stderr[-500:]
    assert "its aliases and merges make more than 100,000 values" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy: &a {grace: *a}", "a value contains itself, line 1"),
        ("policy: " + "{" * 51, "brackets are nested more than 50 deep"),
        ("policy:\n  misses: 0x" + "f" * 5000, "a number of 5002 characters, line 2"),
        ("journal: 1" + ":59" * 50, "a number of 151 characters, line 1"),
        ('clouds: [{cloud: "a\\ud800"}]', "cannot be sent: it is not UTF-8"),
        ('clouds: [{cloud: a, regions: ["\\ud800"]}]', "must be a list of names"),
        ('satellite: {search: "a\\tb"}', "a character that cannot be printed"),
    ],
)
def test_what_yaml_can_hold_and_nothing_else_can_is_refused(
    config: Callable[..., Settings], text: str, message: str
) -> None:
    assert message in refused(config, text)


@pytest.mark.parametrize("url", ["https://a:99999", "https://[::1", "https://\udcff"])
def test_a_url_that_no_library_takes_is_refused(
    config: Callable[..., Settings], url: str
) -> None:
    assert "must look like https://" in refused(config, "", FOREMAN_URL=url)


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("12345678", "must be a text, not a number"),
        ("1.5", "must be a text, not a number"),
        ("2026-11-28", "must be a text, not a date"),
        ("yes", "must be a text, not true or false"),
        ("[hush]", "must be a text, not a list"),
        ("{hush}", "must be a text, not a mapping"),
        ('"hush\\ud800"', "cannot be sent: it is not UTF-8"),
        (
            "*hush",
            "found undefined alias; a text that begins with *, & or ! needs quotes",
        ),
        ("!!int hush", "a value is not the number or date that it looks like"),
        ("%hush", "found character '%' that cannot start any token"),
    ],
)
def test_a_wrong_password_is_not_repeated(
    config: Callable[..., Settings], password: str, problem: str
) -> None:
    text = f"satellite: {{url: 'https://a', username: b, password: {password}}}\n"
    with pytest.raises(SettingsError) as caught:
        config(text)
    assert problem in str(caught.value)
    shown = "".join(traceback.format_exception(None, caught.value, None))
    assert "hush" not in shown
    assert "1234" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:hush@a",
        "ann:hush@satellite",
        "https://ann:hu/hush@a",
        "https://a/?token=hush",
        "https://a#hush",
        ["https://ann:hush@a"],
    ],
)
def test_a_login_in_a_url_is_not_repeated(
    config: Callable[..., Settings], url: Any
) -> None:
    message = refused(config, {"satellite": {**SATELLITE, "url": url}})
    assert message.endswith(", not one with a login or a query")
    assert "hush" not in message


def test_a_login_that_cannot_be_sent_is_refused(
    config: Callable[..., Settings],
) -> None:
    login = {"FOREMAN_USERNAME": "admin", "FOREMAN_PASSWORD": "\udcff"}
    message = refused(config, "", FOREMAN_URL="https://a", **login)
    assert message == "the user or the password for https://a is not UTF-8"


def test_a_ca_folder_of_hammer_with_an_unknown_user_has_no_ca(
    config: Callable[..., Settings], hammer: Callable[..., None]
) -> None:
    hammer(ssl={"local_ca_store_path": "~nobody-here/certs"})
    assert login(config({"satellite": SATELLITE})).verify is True


def test_a_number_without_an_end_in_a_file_of_hammer_is_a_warning(
    config: Callable[..., Settings], raw: Callable[..., Path]
) -> None:
    path = raw(":foreman:\n  ? 0x" + "f" * 5000 + "\n  : 1\n", "foreman.yml")
    (warning,) = config("").warnings
    assert warning == (
        f"{path}: a number of 5002 characters, line 2; this hammer file is ignored"
    )


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes(b"journal: \xff\n")
    with pytest.raises(SettingsError, match="config.yml: not UTF-8"):
        load(path, {})


def test_the_message_names_the_line_of_a_mistake(
    config: Callable[..., Settings],
) -> None:
    assert refused(config, "journal: /srv\npolicy: {\n").endswith("line 3")


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.sampled_from(["3d", "72h", "prod", URL, "~", "~/x", "/etc/hostname", "", ":x"]),
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=3,
)


def section(*keys: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(keys), junk, max_size=4)


contents = st.fixed_dictionaries(
    {},
    optional={
        "satellite": section(
            "url", "username", "password", "ca_file", "verify_tls", "search"
        ).map(lambda loaded: {**SATELLITE, **loaded})
        | junk,
        "clouds": st.lists(
            section("cloud", "regions", "lists_fail_on_down_cell"), max_size=2
        )
        | junk,
        "checker": section("job_template", "search", "clouds_yaml", "deadline") | junk,
        "journal": junk,
        "policy": section(*vars(Policy())) | junk,
    },
)
texts = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="{}[]:,-&*!|>%@`'\"# \n?ab<0.", max_size=40),
    contents.map(lambda content: yaml.safe_dump(content, allow_unicode=True)),
)


@given(texts)
@hypothesis.settings(deadline=None, max_examples=60)
def test_any_file_gives_settings_of_the_right_types_or_an_error_in_one_line(
    text: str,
) -> None:
    """Never another exception, and never a value that would fail only when it is used."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            loaded = load(Path(file.name), {"HOME": "/nonexistent"})
        except SettingsError as error:
            assert "\n" not in str(error)
            assert file.name in str(error)
            return
    policy, job = loaded.policy, loaded.checker
    assert isinstance(loaded.search, str)
    assert job is None or (
        job.template
        and job.search
        and isinstance(job.clouds_yaml, str)
        and job.deadline >= timedelta(seconds=1)
        and all(scope.cloud for scope in loaded.clouds)
    )
    assert loaded.clouds and all(
        isinstance(name, str) for scope in loaded.clouds for name in scope.regions
    )
    assert all(
        isinstance(span, timedelta) and span >= timedelta()
        for span in (policy.grace, policy.silence)
    )
    assert policy.misses >= 1 and policy.max_deletions >= 0
    assert 0 <= policy.max_fraction <= 1 and 0 <= policy.max_shrink <= 1
    assert policy.openstack_names and all(policy.openstack_names)
