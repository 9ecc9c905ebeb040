"""Responses as a provider signs them: what is good, and what is wrong although it was signed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.sso.saml import FORMATS
from accounts.sso.saml_response import Names
from tests.sso.saml import forge
from tests.sso.saml.forge import Sample, change, change_all, change_last, key_of
from tests.sso.saml.judging import AUDIENCE, NAMES, NOW, RECIPIENT, REQUEST, Edit, good, keys, read, refusal

# -- what is good --------------------------------------------------------------------------------------------------

GOOD: dict[str, Sample] = {
    "as it is": good(),
    "signed twice": good(sign_response=True),
    "with the provider's certificate beside the signature": good(
        key_info="<ds:KeyInfo><ds:X509Data><ds:X509Certificate>"
        f"{key_of('rsa').certificate_text}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    ),
    "signed on a curve": good(key=key_of("ec"), method=forge.ECDSA_SHA256),
    "SHA-384": good(
        method="http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
        digest_method="http://www.w3.org/2001/04/xmldsig-more#sha384",
    ),
    "SHA-512": good(
        method="http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        digest_method="http://www.w3.org/2001/04/xmlenc#sha512",
    ),
    "another audience beside ours": good(
        before=(change("<saml:Audience>", "<saml:Audience>https://x.example</saml:Audience><saml:Audience>"),)
    ),
    "for one use": good(before=(change("</saml:Conditions>", "<saml:OneTimeUse/></saml:Conditions>"),)),
    "response without issuer": good(after=(change(f"<saml:Issuer>{forge.ENTITY}</saml:Issuer>", ""),)),
    "with a declaration": good(after=(lambda text: f'<?xml version="1.0" encoding="UTF-8"?>\n{text}',)),
    "no conditions' times": good(before=(change_all('<saml:Conditions NotBefore="[^>]*>', "<saml:Conditions>"),)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_response_says_who_it_is(name: str) -> None:
    found = read(GOOD[name].xml(), trusted=keys("rsa", "ec"))
    assert (found.subject, found.email) == (f"{FORMATS['emailAddress']} ada@example.org", "ada@example.org")
    assert (found.assertion, found.groups, found.ends_at) == ("_assertion", frozenset(), None)


def test_attributes_say_address_groups_and_names() -> None:
    sample = good(
        name="0815",
        name_format=FORMATS["persistent"],
        attributes={"mail": ["ada@example.org"], "groups": ["ops", "dev"], "given": ["Ada"], "family": ["Lovelace"]},
    )
    found = read(sample.xml(), NAMES)
    assert found.subject == f"{FORMATS['persistent']} 0815"
    assert (found.email, found.groups) == ("ada@example.org", frozenset({"ops", "dev"}))
    assert (found.first_name, found.last_name) == ("Ada", "Lovelace")


def test_an_address_is_taken_from_the_configured_attribute_or_not_at_all() -> None:
    assert read(good(name="ada@example.org").xml(), Names(email="mail")).email == ""
    assert read(good(name_format=FORMATS["unspecified"]).xml()).email == ""


def test_the_providers_end_of_the_session_is_handed_on() -> None:
    assert read(good(session_ends=NOW + timedelta(hours=1)).xml()).ends_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize("place", ["ada@example.org.evil.example", "evil-ada@example.org"])
def test_a_comment_inside_a_name_cuts_nothing_off(place: str) -> None:
    """CVE-2018-0489: the text up to the comment was taken for the name, and the signature holds without comments."""
    text = good(name=place).xml()
    at = text.index(place) + len("ada@example.org" if place.startswith("ada") else "evil-")
    assert read(text[:at] + "<!-- here -->" + text[at:]).email == place


def test_times_have_a_minute_of_grace_and_no_more() -> None:
    text = good().xml()
    end = NOW + timedelta(minutes=5)
    assert read(text, now=end + timedelta(seconds=59))
    assert refusal(text, now=end + timedelta(seconds=60)) == "saml-expired"
    assert read(text, now=NOW - timedelta(seconds=60))
    assert refusal(text, now=NOW - timedelta(seconds=61)) == "saml-not-yet"


# -- what was changed before it was signed: a provider that is wrong, or somebody with another's response ----------

_LATE, _EARLY = forge.stamp(NOW + timedelta(hours=1)), forge.stamp(NOW - timedelta(hours=1))
_NOW, _END = forge.stamp(NOW), forge.stamp(NOW + timedelta(minutes=5))

SIGNED: dict[str, tuple[Edit, str]] = {
    "another issuer": (change_last(f"<saml:Issuer>{forge.ENTITY}", "<saml:Issuer>https://x.example"), "saml-issuer"),
    "issuer that begins alike": (change_last(f"{forge.ENTITY}</", f"{forge.ENTITY}/x</"), "saml-issuer"),
    "issuer in capitals": (change_last(forge.ENTITY, forge.ENTITY.upper()), "saml-issuer"),
    "another audience": (change(AUDIENCE, "https://other.example"), "saml-audience"),
    "audience that begins alike": (change(AUDIENCE, AUDIENCE + "/x"), "saml-audience"),
    "audience in capitals": (change(AUDIENCE, AUDIENCE.upper()), "saml-audience"),
    "two audiences that must both hold": (
        change(
            "<saml:AudienceRestriction>",
            "<saml:AudienceRestriction><saml:Audience>https://x.example</saml:Audience></saml:AudienceRestriction>"
            "<saml:AudienceRestriction>",
        ),
        "saml-audience",
    ),
    "empty audience": (change(AUDIENCE, ""), "saml-audience"),
    "no audience": (change_all("<saml:AudienceRestriction>.*</saml:AudienceRestriction>", ""), "saml-audience"),
    "no conditions": (change_all("<saml:Conditions.*</saml:Conditions>", ""), "saml-malformed"),
    "conditions over": (change_last(f'NotOnOrAfter="{_END}"', f'NotOnOrAfter="{_EARLY}"'), "saml-expired"),
    "conditions not begun": (change(f'NotBefore="{_NOW}"', f'NotBefore="{_LATE}"'), "saml-not-yet"),
    "unknown condition": (change("</saml:Conditions>", "<saml:Condition/></saml:Conditions>"), "saml-condition"),
    "issued later than now": (change_last(f'IssueInstant="{_NOW}"', f'IssueInstant="{_LATE}"'), "saml-not-yet"),
    "confirmation over": (change(f'NotOnOrAfter="{_END}"', f'NotOnOrAfter="{_EARLY}"'), "saml-expired"),
    "confirmation without end": (change(f'NotOnOrAfter="{_END}"', ""), "saml-confirmation"),
    "confirmation with a beginning": (
        change(' NotOnOrAfter="', f' NotBefore="{_NOW}" NotOnOrAfter="'),
        "saml-confirmation",
    ),
    "holder of a key": (change("cm:bearer", "cm:holder-of-key"), "saml-confirmation"),
    "sender vouches": (change("cm:bearer", "cm:sender-vouches"), "saml-confirmation"),
    "no confirmation": (change_all("<saml:SubjectConfirmation .*</saml:SubjectConfirmation>", ""), "saml-malformed"),
    "no data of the confirmation": (change_all("<saml:SubjectConfirmationData[^>]*/>", ""), "saml-malformed"),
    "two confirmations": (
        change(
            "<saml:SubjectConfirmation ",
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/><saml:SubjectConfirmation ',
        ),
        "saml-malformed",
    ),
    "another recipient": (change(f'Recipient="{RECIPIENT}"', 'Recipient="https://x.example/acs"'), "saml-recipient"),
    "no recipient": (change(f'Recipient="{RECIPIENT}"', ""), "saml-recipient"),
    "another request": (change_last(f'InResponseTo="{REQUEST}"', 'InResponseTo="_other"'), "saml-request"),
    "no request": (change_last(f'InResponseTo="{REQUEST}"', ""), "saml-request"),
    "no subject": (change_all("<saml:Subject>.*</saml:Subject>", ""), "saml-malformed"),
    "no name": (change_all("<saml:NameID.*</saml:NameID>", ""), "saml-malformed"),
    "empty name": (change("ada@example.org", ""), "saml-value"),
    "two names": (change("<saml:NameID ", "<saml:NameID>eve</saml:NameID><saml:NameID "), "saml-malformed"),
    "an element inside the name": (change("ada@", "ada@<saml:x/>"), "saml-malformed"),
    "a control character in the name": (change("ada@", "ada&#10;@"), "saml-value"),
    "transient name": (
        change("SAML:1.1:nameid-format:emailAddress", "SAML:2.0:nameid-format:transient"),
        "saml-name-format",
    ),
    "unknown format of the name": (change(FORMATS["emailAddress"], "urn:x"), "saml-name-format"),
    "no login": (change_all("<saml:AuthnStatement.*</saml:AuthnStatement>", ""), "saml-no-login"),
    "session over": (
        change("<saml:AuthnStatement ", f'<saml:AuthnStatement SessionNotOnOrAfter="{_EARLY}" '),
        "saml-session-over",
    ),
    "time without zone": (change_last(f'NotOnOrAfter="{_END}"', f'NotOnOrAfter="{_END[:-1]}"'), "saml-malformed"),
    "time in another zone": (
        change_last(f'NotOnOrAfter="{_END}"', f'NotOnOrAfter="{_END[:-1]}+14:00"'),
        "saml-malformed",
    ),
    "time that is none": (
        change_last(f'NotOnOrAfter="{_END}"', 'NotOnOrAfter="9999-99-99T99:99:99Z"'),
        "saml-malformed",
    ),
    "assertion of SAML 1.1": (change_last('Version="2.0"', 'Version="1.1"'), "saml-malformed"),
    "no statement of algorithms' transforms": (
        change(f'<ds:Transform Algorithm="{forge.EXCLUSIVE}"/>', ""),
        "saml-transforms",
    ),
    "XPath as transform": (
        change(
            f'<ds:Transform Algorithm="{forge.EXCLUSIVE}"/>',
            '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
            f'<ds:XPath>true()</ds:XPath></ds:Transform><ds:Transform Algorithm="{forge.EXCLUSIVE}"/>',
        ),
        "saml-transforms",
    ),
    "inclusive canonical form": (
        change(
            f'CanonicalizationMethod Algorithm="{forge.EXCLUSIVE}"',
            'CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
        ),
        "saml-transforms",
    ),
    "canonical form with comments": (
        change(f'Transform Algorithm="{forge.EXCLUSIVE}"', f'Transform Algorithm="{forge.EXCLUSIVE}WithComments"'),
        "saml-transforms",
    ),
    "SHA-1": (change(forge.RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1"), "saml-algorithm"),
    "digest by SHA-1": (change(forge.SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"), "saml-algorithm"),
    "digest by SHA-224": (change(forge.SHA256, "http://www.w3.org/2001/04/xmldsig-more#sha224"), "saml-algorithm"),
    "the whole document as reference": (change('URI="#_assertion"', 'URI=""'), "saml-signature-reference"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_was_signed_and_is_wrong_is_refused(name: str) -> None:
    edit, code = SIGNED[name]
    assert refusal(good(before=(edit,)).xml()) == code


def test_attributes_that_say_two_things_are_refused() -> None:
    twice = good(attributes={"mail": ["ada@example.org", "eve@example.org"]}).xml()
    assert refusal(twice, Names(email="mail")) == "saml-ambiguous"
    apart = good(attributes={"mail": ["ada@example.org"]}, before=(
        change("</saml:AttributeStatement>", '<saml:Attribute Name="mail"><saml:AttributeValue>eve@example.org'
               "</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>"),
    )).xml()  # fmt: skip
    assert refusal(apart, Names(email="mail")) == "saml-ambiguous"


def test_a_format_that_was_asked_for_is_insisted_on() -> None:
    assert refusal(good().xml(), Names(name_id_format="persistent")) == "saml-name-format"
    assert read(good().xml(), Names(name_id_format="emailAddress"))


def test_more_groups_than_a_login_carries_are_refused() -> None:
    assert refusal(good(attributes={"groups": [f"g{n}" for n in range(1001)]}).xml(), NAMES) == "saml-too-large"
