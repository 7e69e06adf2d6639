"""What is said about a YAML file that is not valid has no word of the file."""

import pytest
import yaml

from foreman_hooks.osp_checker.yaml_problems import UNFIT, yaml_problem


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("*hush", "found undefined alias"),
        ("!hush x", "could not determine a constructor for the tag"),
        ("!hush!x y", "found undefined tag handle"),
        ("!!python/name:hush x", "could not determine a constructor for the tag"),
        ("!it's'hush x", "could not determine a constructor for the tag"),
    ],
)
def test_a_password_that_yaml_takes_for_something_else_is_not_repeated(
    value: str, problem: str
) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(f"password: {value}\n")
    quotes = "; a text that begins with *, & or ! needs quotes"
    assert yaml_problem(caught.value) == problem + quotes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: @b", "found character '@' that cannot start any token"),
        ("a: [b", "expected ',' or ']', but got '<stream end>'"),
        ("\0", "special characters are not allowed"),
    ],
)
def test_any_other_problem_is_in_the_words_of_the_parser(
    text: str, problem: str
) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(text)
    assert yaml_problem(caught.value) == problem


@pytest.mark.parametrize("tag", ["int", "float", "timestamp", "bool"])
def test_a_value_that_does_not_fit_its_tag_raises_an_error_that_is_known(
    tag: str,
) -> None:
    with pytest.raises(UNFIT):
        yaml.safe_load(f"!!{tag} five")
