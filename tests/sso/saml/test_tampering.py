"""Responses that somebody changed after they were signed, or signed with another key."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from accounts.sso.saml_response import MAX_RESPONSE, ResponseRejected, received
from tests.sso.saml import forge
from tests.sso.saml.forge import change, change_all, key_of
from tests.sso.saml.judging import RECIPIENT, REQUEST, Edit, good, read, refusal

# -- what was changed after it was signed: somebody between provider and server ------------------------------------

_DOCTYPE = '<!DOCTYPE samlp:Response [<!ENTITY a "ada">]>'
AFTER: dict[str, tuple[Edit, str]] = {
    "another name": (change("ada@", "eve@"), "saml-signature"),
    "another letter of the digest": (change_all("<ds:DigestValue>.", "<ds:DigestValue>="), "saml-signature"),
    "no digest": (change_all("<ds:DigestValue>.*</ds:DigestValue>", "<ds:DigestValue/>"), "saml-signature"),
    "no signature's value": (
        change_all("<ds:SignatureValue>.*</ds:SignatureValue>", "<ds:SignatureValue/>"),
        "saml-signature",
    ),
    "no signature": (change_all("<ds:Signature .*</ds:Signature>", ""), "saml-assertion-unsigned"),
    "two signatures": (change_all("(<ds:Signature .*</ds:Signature>)", r"\1\1"), "saml-signature-count"),
    "signature elsewhere": (
        change_all("(<saml:Subject>)", r'\1<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'),
        "saml-signature-place",
    ),
    "signature by another algorithm": (change(forge.RSA_SHA256, forge.ECDSA_SHA256), "saml-signature"),
    "MAC": (change(forge.RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"), "saml-algorithm"),
    "algorithm none": (change(forge.RSA_SHA256, "none"), "saml-algorithm"),
    "no algorithm": (change(f' Algorithm="{forge.RSA_SHA256}"', ""), "saml-algorithm"),
    "MD5": (change(forge.RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"), "saml-algorithm"),
    "a length of the algorithm": (
        change(
            f'<ds:SignatureMethod Algorithm="{forge.RSA_SHA256}"/>',
            f'<ds:SignatureMethod Algorithm="{forge.RSA_SHA256}"><ds:HMACOutputLength>8</ds:HMACOutputLength>'
            "</ds:SignatureMethod>",
        ),
        "saml-algorithm",
    ),
    "reference to a file": (change('URI="#_assertion"', 'URI="file:///etc/passwd"'), "saml-signature-reference"),
    "reference to an address": (
        change('URI="#_assertion"', 'URI="https://x.example/#_assertion"'),
        "saml-signature-reference",
    ),
    "reference by XPointer": (
        change('URI="#_assertion"', "URI=\"#xpointer(id('_assertion'))\""),
        "saml-signature-reference",
    ),
    "two references": (change_all("(<ds:Reference .*</ds:Reference>)", r"\1\1"), "saml-signature-shape"),
    "an object in the signature": (change("</ds:Signature>", "<ds:Object/></ds:Signature>"), "saml-signature-shape"),
    "another destination": (
        change(f'Destination="{RECIPIENT}"', 'Destination="https://x.example/acs"'),
        "saml-destination",
    ),
    "no destination": (change(f'Destination="{RECIPIENT}"', ""), "saml-destination"),
    "another issuer around": (change(f"<saml:Issuer>{forge.ENTITY}", "<saml:Issuer>https://x.example"), "saml-issuer"),
    "another request around": (change(f'InResponseTo="{REQUEST}"', 'InResponseTo="_other"'), "saml-request"),
    "no request around": (change(f'InResponseTo="{REQUEST}"', ""), "saml-request"),
    "failure": (change("status:Success", "status:Responder"), "saml-status"),
    "no status": (change_all("<samlp:Status>.*</samlp:Status>", ""), "saml-malformed"),
    "version 1.1": (change('Version="2.0"', 'Version="1.1"'), "saml-malformed"),
    "another root": (change_all("samlp:Response", "samlp:ArtifactResponse"), "saml-malformed"),
    "another namespace": (change_all("SAML:2.0:protocol", "SAML:1.0:protocol"), "saml-malformed"),
    "no assertion": (change_all("<saml:Assertion .*</saml:Assertion>", ""), "saml-assertion-count"),
    "encrypted assertion": (change("</samlp:Status>", "</samlp:Status><saml:EncryptedAssertion/>"), "saml-encrypted"),
    "the same identifier twice": (change('ID="_response"', 'ID="_assertion"'), "saml-identifiers"),
    "the same identifier in another spelling": (
        change("<samlp:Status>", '<samlp:Status xml:id="_assertion">'),
        "saml-identifiers",
    ),
    "identifier that is an option": (change_all("_assertion", "--output"), "saml-identifiers"),
    "document type": (lambda text: _DOCTYPE + text, "saml-malformed"),
    "entity": (lambda text: _DOCTYPE + text.replace("ada@", "&a;@"), "saml-malformed"),
    "undeclared entity": (change("ada@", "&a;@"), "saml-malformed"),
    "instruction": (lambda text: "<?xml-stylesheet href='x'?>" + text, "saml-malformed"),
    "another encoding": (lambda text: '<?xml version="1.0" encoding="utf-7"?>' + text, "saml-malformed"),
    "cut off": (lambda text: text[:-20], "saml-malformed"),
    "two documents": (lambda text: text + text, "saml-malformed"),
    "nothing": (lambda _text: "", "saml-malformed"),
    "too deep": (change("</samlp:Status>", "<x>" * 60 + "</x>" * 60 + "</samlp:Status>"), "saml-malformed"),
    "too many": (change("</samlp:Status>", "<x/>" * 5000 + "</samlp:Status>"), "saml-malformed"),
}


@pytest.fixture(scope="module")
def text() -> str:
    return good().xml()


@pytest.mark.parametrize("name", AFTER)
def test_what_was_changed_on_the_way_is_refused(name: str, text: str) -> None:
    edit, code = AFTER[name]
    assert refusal(edit(text)) == code


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_only_utf_8_is_read(encoding: str, text: str) -> None:
    content = text.replace("ada@", "adä@").encode(encoding)
    with pytest.raises(ResponseRejected) as refused:
        received(base64.b64encode(content).decode())
    assert refused.value.code == "saml-malformed"


@pytest.mark.parametrize("field", ["", "é", "not base64!", "=" * 8, "PHg+" * (MAX_RESPONSE // 4 + 1), "eJwDAAAAAAE="])
def test_what_is_no_form_field_of_a_response_is_refused(field: str) -> None:
    with pytest.raises(ResponseRejected) as refused:
        received(field)
    assert refused.value.code in ("saml-malformed", "saml-too-large")


# -- keys ----------------------------------------------------------------------------------------------------------


def _key_info(name: str) -> str:
    return (
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>"
        f"{key_of(name).certificate_text}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    )


@pytest.mark.parametrize("key_info", ["", _key_info("stranger"), _key_info("rsa")], ids=["none", "its own", "ours"])
def test_a_strangers_key_signs_nothing_whatever_it_brings_along(key_info: str) -> None:
    assert refusal(good(key=key_of("stranger"), key_info=key_info).xml()) == "saml-signature"


def test_a_key_by_value_or_by_address_is_not_looked_at() -> None:
    public = key_of("stranger").private.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    modulus = base64.b64encode(public.public_numbers().n.to_bytes(256, "big")).decode()
    by_value = (
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>"
        "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
    )
    by_address = (
        '<ds:RetrievalMethod URI="https://x.example/key" Type="http://www.w3.org/2000/09/xmldsig#rawX509Certificate"/>'
    )
    for inside in (by_value, by_address):
        sample = good(
            key=key_of("stranger"),
            after=(change("</ds:Signature>", f"<ds:KeyInfo>{inside}</ds:KeyInfo></ds:Signature>"),),
        )
        assert refusal(sample.xml()) == "saml-signature"


def test_without_a_key_nothing_is_believed() -> None:
    assert refusal(good().xml(), trusted=[]) == "saml-no-key"


def test_a_signature_around_the_response_must_hold_too() -> None:
    text = good(sign_response=True).xml()
    assert refusal(change("<samlp:StatusCode ", '<samlp:StatusCode x="y" ')(text)) == "saml-signature"
    stripped = change_all("<ds:Signature .*?</ds:Signature>", "", count=1)(text)
    assert read(stripped).email == "ada@example.org"


def test_a_signed_response_around_an_unsigned_assertion_is_refused() -> None:
    text = change_all("<ds:Signature .*?</ds:Signature>", "")(good().xml())
    around = text.replace("</saml:Issuer>", "</saml:Issuer>" + good().signature("_response"), 1)
    assert refusal(forge.signed(around, "response", key_of("rsa"))) == "saml-assertion-unsigned"
