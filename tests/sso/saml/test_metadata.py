"""What a provider's metadata may say, and what is saved of it; and ours."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from saml2 import md

from accounts.sso.kind import ProviderFailed, SettingInvalid
from accounts.sso.saml import (
    MAX_CERTIFICATES,
    MAX_METADATA,
    POST,
    authentication_request,
    keys_at,
    parse_settings,
    probe,
)
from kms.crypto.errors import ParameterInvalid
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.operations.saml import consumer_url, entity_id
from kms.secret import SecretBytes
from tests.kit.tenants import Tenant
from tests.sso.saml import forge
from tests.sso.saml.forge import change, change_all, key_of, metadata
from tests.sso.saml.keys import PrivateKey, new_key

HOUR = timedelta(hours=1)


def parsed(text: str, **settings: Any) -> dict[str, Any]:
    return parse_settings({"metadata": text, **settings}, frozenset())


def refused(text: Any, **settings: Any) -> str:
    with pytest.raises(SettingInvalid) as error:
        parse_settings({"metadata": text, **settings}, frozenset())
    return str(error.value)


def test_metadata_says_who_where_and_by_which_keys() -> None:
    config = parsed(metadata(key_of("rsa"), key_of("ec")), groups_attribute="groups", name_id_format="persistent")
    assert (config["entity_id"], config["sso_url"]) == (forge.ENTITY, forge.PAGE)
    assert [base64.b64decode(der) for der in config["certificates"]] == [
        base64.b64decode(key_of(name).certificate_text) for name in ("rsa", "ec")
    ]
    assert (config["groups_attribute"], config["name_id_format"], config["valid_until"]) == (
        "groups",
        "persistent",
        None,
    )
    assert config["metadata"] == metadata(key_of("rsa"), key_of("ec"))


def test_a_federation_of_one_provider_is_read_as_that_provider() -> None:
    inner = metadata(key_of("rsa"))
    assert parsed(f'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">{inner}</EntitiesDescriptor>')


def test_a_key_for_any_use_signs_and_one_for_encryption_does_not() -> None:
    assert parsed(change(' use="signing"', "")(metadata(key_of("rsa"))))
    assert "no certificate" in refused(change("signing", "encryption")(metadata(key_of("rsa"))))


_PLACE = f'<SingleSignOnService Binding="{POST}" Location="{forge.PAGE}"/>'
BROKEN: dict[str, Callable[[str], str]] = {
    "no certificate": change_all("<KeyDescriptor.*</KeyDescriptor>", ""),
    "certificate that is none": change_all("<ds:X509Certificate>....", "<ds:X509Certificate>AAAA"),
    "certificate that is no base64": change_all("<ds:X509Certificate>", "<ds:X509Certificate>!"),
    "too many certificates": change_all("(<KeyDescriptor.*</KeyDescriptor>)", r"\1" * (MAX_CERTIFICATES + 1)),
    "no place for logins": change(_PLACE, ""),
    "only another binding": change("bindings:HTTP-POST", "bindings:HTTP-Redirect"),
    "no name": change(f'entityID="{forge.ENTITY}"', ""),
    "empty name": change(f'entityID="{forge.ENTITY}"', 'entityID=""'),
    "long name": change(forge.ENTITY, "x" * 1025),
    "not SAML 2.0": change("SAML:2.0:protocol", "SAML:1.1:protocol"),
    "a service's": change_all("IDPSSODescriptor", "SPSSODescriptor"),
    "two providers": change_all("(<IDPSSODescriptor.*</IDPSSODescriptor>)", r"\1\1"),
    "expired": change("<EntityDescriptor ", '<EntityDescriptor validUntil="2020-01-01T00:00:00Z" '),
    "expired inside": change("<IDPSSODescriptor ", '<IDPSSODescriptor validUntil="2020-01-01T00:00:00Z" '),
    "an end that is no time": change("<EntityDescriptor ", '<EntityDescriptor validUntil="never" '),
    "document type": lambda text: '<!DOCTYPE x SYSTEM "file:///etc/passwd">' + text,
    "entity bomb": lambda text: '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + text,
    "too long": lambda text: text + " " * MAX_METADATA,
    "too many elements": change("<IDPSSODescriptor ", "<x/>" * 5000 + "<IDPSSODescriptor "),
    "cut off": lambda text: text[:-9],
    "lone surrogate": lambda text: text + "\ud800",
    "an address of it": lambda _text: "https://idp.example/metadata",
    "nothing": lambda _text: " ",
}


@pytest.mark.parametrize("name", BROKEN)
def test_metadata_that_cannot_be_believed_is_not_saved(name: str) -> None:
    message = refused(BROKEN[name](metadata(key_of("rsa"))))
    assert message.startswith("metadata")
    assert "idp.example" not in message


PAGES = [
    "javascript:alert(1)",
    "data:text/html,x",
    "http://idp.example/sso",
    "http://127.0.0.1.example/sso",
    "https://user@idp.example/sso",
    "https://",
    "//idp.example/sso",
    "https://idp.example/ sso",
    "ftp://idp.example/",
    "https://[::1/sso",
    "",
]


@pytest.mark.parametrize("page", PAGES)
def test_browsers_are_sent_to_https_only(page: str) -> None:
    assert "Location" in refused(metadata(key_of("rsa"), page=page))


@pytest.mark.parametrize(
    "page", ["https://10.0.0.1/sso", "http://127.0.0.1:8080/sso", "http://[::1]/", "http://localhost/"]
)
def test_browsers_may_go_where_the_server_may_not(page: str) -> None:
    assert parsed(metadata(key_of("rsa"), page=page))["sso_url"] == page


@pytest.mark.parametrize(
    "private",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - to be refused
        ec.generate_private_key(ec.SECP192R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_key_that_is_weak_or_of_another_kind_is_refused(private: PrivateKey) -> None:
    assert "neither RSA of 2048 bits nor on a NIST curve" in refused(metadata(new_key(private)))


def test_keys_count_while_their_certificate_and_the_metadata_are_valid() -> None:
    now = datetime.now(UTC)
    old = new_key(begins=now - 3 * HOUR, ends=now - HOUR)
    coming = new_key(begins=now + HOUR, ends=now + 3 * HOUR)
    until = forge.stamp(now + 2 * HOUR)
    config = parsed(metadata(old, key_of("rsa"), coming, attributes=f'validUntil="{until}"'))
    counted = [len(keys_at(config, now + hours * HOUR)) for hours in (-2, 0, 1.5, 2)]
    assert counted == [2, 1, 2, 0]
    assert "valid now" in refused(metadata(old, coming))


def test_trying_a_provider_out_says_when_its_metadata_has_expired() -> None:
    config = parsed(metadata(key_of("rsa")))
    probe(config, {})
    with pytest.raises(ProviderFailed, match="expired"):
        probe({**config, "valid_until": "2020-01-01T00:00:00+00:00"}, {})


@pytest.mark.parametrize(
    "setting",
    [
        {"name_id_format": "transient"},
        {"name_id_format": 1},
        {"email_attribute": ["mail"]},
        {"groups_attribute": "x" * 3000},
        {"self_provision_role": "administrator"},
        {"want_assertions_signed": False},
        {"entity_id": "https://x.example"},
        {"certificates": []},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_that_there_are_not_are_refused_by_name(setting: dict[str, Any]) -> None:
    assert next(iter(setting)) in refused(metadata(key_of("rsa")), **setting)


def test_settings_that_were_read_may_be_written() -> None:
    config = parsed(metadata(key_of("rsa")), email_attribute="mail", name_id_format="persistent")
    assert parse_settings(config, frozenset()) == config
    with pytest.raises(SettingInvalid, match="certificates is what the metadata says"):
        parse_settings({**config, "metadata": metadata(key_of("ec"))}, frozenset())


@pytest.mark.parametrize("value", [None, 7, ["<x/>"], b"<x/>"])
def test_metadata_is_a_text(value: Any) -> None:
    assert "metadata is" in refused(value)


def test_what_is_refused_reaches_the_administrator_as_such(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="no certificate"):
        execute(tenant.alice, CreateProvider("saml", "Directory", {"metadata": metadata()}))
    settings, needless = {"metadata": metadata(key_of("rsa"))}, {"client_secret": SecretBytes(b"x")}
    with pytest.raises(ParameterInvalid, match="no such secret"):
        execute(tenant.alice, CreateProvider("saml", "Directory", settings, needless))


# -- ours ----------------------------------------------------------------------------------------------------------


def test_our_metadata_is_public_and_says_what_we_want(client: httpx.Client) -> None:
    answer = client.get("/saml/metadata.xml")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/samlmetadata+xml")
    entity = md.entity_descriptor_from_string(answer.content)
    assert entity.entity_id == entity_id()
    (role,) = entity.spsso_descriptor
    assert (role.want_assertions_signed, role.authn_requests_signed) == ("true", "false")
    (consumer,) = role.assertion_consumer_service
    assert (consumer.binding, consumer.location) == (POST, consumer_url())
    assert role.key_descriptor == []


def test_a_request_says_which_format_is_wanted() -> None:
    now = datetime.now(UTC)
    for name, format_ in (("", ""), ("persistent", forge.FORMATS["persistent"])):
        config = parsed(metadata(key_of("rsa")), name_id_format=name)
        text = authentication_request(config, "_x", entity_id="e", consumer_url="c", now=now).decode()
        assert ('Format="' in text) == bool(name)
        assert format_ in text
        assert f'Destination="{forge.PAGE}"' in text
