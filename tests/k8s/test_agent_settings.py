"""Rubbish deliveries end in one sentence; good ones are taken as the webhook writes them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k8s.agent.settings import Settings, SettingsInvalid, settings_of
from k8s.delivery import (
    DELIVERY_VARIABLE,
    Content,
    Credential,
    Delivery,
    File,
    Format,
    Server,
    Source,
    Variable,
    encode,
)

ID = "00000000-0000-4000-8000-00000000000a"
GOOD: dict[str, Any] = {
    "server": {"addresses": ["https://keystead.example"]},
    "credential": {"cluster": ID},
    "secrets": {"db": {"name": "payments/db", "refresh_seconds": 60}},
    "files": [{"key": "db", "volume": 0, "name": "db", "content": {"secret": "db"}}],
    "variables": [{"key": "db", "container": "app", "name": "PGPASSWORD", "content": {"secret": "db"}}],
}


def taken(delivery: Any, **environment: str) -> Settings:
    return settings_of({DELIVERY_VARIABLE: json.dumps(delivery), **environment})


def test_a_good_one_is_taken_with_its_credential() -> None:
    good = taken(GOOD)
    assert (good.credential.cluster, good.credential.token_file) == (ID, "/keystead/token/token")
    assert good.patience == 120
    assert taken(GOOD | {"credential": {}}).credential.api_key_file == "/keystead/api-key/api-key"


NO_FILES = ("", ".", "..", "..data", "a/b", "/a", "a\0", "x" * 256)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"server": {"addresses": []}}, "at least one server"),
    ({"server": {"addresses": ["http://keystead.example"]}}, "is not https://"),
    ({"server": {"addresses": ["https://keystead.example"], "pins": ["x"]}}, "pins: "),
    ({"credential": {"cluster": "x"}}, "UUID"),
    ({"credential": {"token": "x"}}, "unknown field `token`"),
    ({"log_level": "LOUD"}, "log_level"),
    ({"secrets": {"db": {}}}, "give either name or kid"),
    ({"secrets": {"db": {"name": "a", "kid": ID}}}, "give either name or kid"),
    ({"secrets": {"db": {"kid": ID, "version": 1}}}, "version counts"),
    ({"secrets": {"db": {"name": "a", "version": -1}}}, "version counts"),
    ({"secrets": {"db": {"name": "a", "refresh_seconds": -1}}}, "refresh_seconds"),
    ({"secrets": {}}, "there is no secret 'db'"),
]
BAD += [
    ({"files": [GOOD["files"][0] | change]}, words)
    for change, words in [
        ({"volume": -1}, "volume"),
        ({"mode": 0o4755}, "mode"),
        ({"mode": -1}, "mode"),
        ({"content": {}}, "exactly one of"),
        ({"content": {"secret": "db", "template": "x"}}, "exactly one of"),
        ({"content": {"bundle": ["db", "none"]}}, "there is no secret 'none'"),
        ({"content": {"secret": "db", "format": "xml"}}, "Invalid enum value"),
        *(({"name": name}, "is not a file's name") for name in NO_FILES),
    ]
]  # fmt: skip
BAD += [
    ({"variables": [GOOD["variables"][0] | change]}, words)
    for change, words in [
        *(({"container": name}, "is not a container's name") for name in ("", "..", "a/b", "../../x", "A", "x" * 64)),
        *(({"name": name}, "is not a variable's name") for name in ("", "A=B", "A\0")),
    ]
]
BAD += [
    ({"files": GOOD["files"] * 2}, "two files 'db'"),
    ({"variables": GOOD["variables"] * 2}, "two variables 'PGPASSWORD'"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_what_makes_no_sense_is_said_in_one_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words) as caught:
        taken(GOOD | change)
    assert str(caught.value).startswith(f"{DELIVERY_VARIABLE}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("patience", ["-1", "1.5", "soon", "1e9", "123456"])
def test_a_patience_that_is_none_is_refused(patience: str) -> None:
    with pytest.raises(SettingsInvalid, match="KEYSTEAD_AGENT_PATIENCE"):
        taken(GOOD, KEYSTEAD_AGENT_PATIENCE=patience)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
PLACES = [
    ("server",), ("credential",), ("secrets",), ("secrets", "db"), ("secrets", "db", "name"), ("files",),
    ("files", 0), ("files", 0, "content"), ("files", 0, "name"), ("files", 0, "mode"), ("variables", 0),
    ("variables", 0, "container"),
]  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_is_a_delivery_or_refused(text: str) -> None:
    said = ""
    try:
        settings_of({DELIVERY_VARIABLE: text})
    except SettingsInvalid as error:
        said = str(error)
    assert said.startswith(DELIVERY_VARIABLE)


@settings(deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_anything_anywhere_in_a_delivery_is_taken_or_refused(place: tuple[Any, ...], rubbish: Any) -> None:
    delivery = json.loads(json.dumps(GOOD))
    within = delivery
    for step in place[:-1]:
        within = within[step]
    within[place[-1]] = rubbish
    said = DELIVERY_VARIABLE
    try:
        good = taken(delivery)
    except SettingsInvalid as error:
        said = str(error)
    else:
        assert all("/" not in file.name for file in good.delivery.files)
    assert said.startswith(DELIVERY_VARIABLE)


def test_what_the_webhook_encodes_is_what_the_agent_reads() -> None:
    delivery = Delivery(
        server=Server(addresses=("https://keystead.example",)),
        credential=Credential(cluster=UUID(ID), app=UUID(ID)),
        secrets={"a": Source(name="a", version=2, property="p", required=False), "b": Source(kid=UUID(ID))},
        files=(File(key="a", volume=3, name="a", content=Content(bundle=("a", "b")), mode=0o400),),
        variables=(Variable(key="b", container="c", name="B", content=Content(secret="b", format=Format.HEX)),),
        launcher=True,
    )
    assert settings_of({DELIVERY_VARIABLE: encode(delivery)}).delivery == delivery
