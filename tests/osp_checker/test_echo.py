"""What a server repeats of our request is shown without the secrets in it."""

import json

import pytest
import requests

from foreman_hooks.osp_checker.echo import without_secrets

LOGIN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": "checker", "password": 'hush"hush'}},
            "application_credential": {"id": "app", "secret": "hush-app"},
            "token": {"id": "hush-token"},
        }
    }
}


def sent(**how: object) -> requests.PreparedRequest:
    request = requests.Request("POST", "https://a.example.com/", **how)  # type: ignore[arg-type]
    return request.prepare()


@pytest.mark.parametrize(
    ("request_sent", "secrets"),
    [
        (sent(auth=("admin", "changeme")), ["YWRtaW46Y2hhbmdlbWU=", "changeme"]),
        (sent(headers={"X-Auth-Token": "gAAAAhush"}), ["gAAAAhush"]),
        (sent(headers={"Cookie": "_session_id=5e55; a=b"}), ["5e55"]),
        (sent(json=LOGIN), ['hush"hush', 'hush\\"hush', "hush-app", "hush-token"]),
    ],
)
def test_a_secret_that_was_sent_is_not_shown(
    request_sent: requests.PreparedRequest, secrets: list[str]
) -> None:
    for secret in secrets:
        text = f"you sent {secret}!"
        assert without_secrets(text, request_sent) == "you sent ***!"


@pytest.mark.parametrize(
    "request_sent",
    [None, sent(), sent(data=b"\xff"), sent(headers={"Authorization": "Basic ?"})],
)
def test_any_other_text_stays(request_sent: requests.PreparedRequest) -> None:
    text = json.dumps(LOGIN)
    assert without_secrets(text, request_sent) == text


def test_a_short_password_does_not_spoil_every_word() -> None:
    assert without_secrets("abc", sent(auth=("admin", "a"))) == "abc"
