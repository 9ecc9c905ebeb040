"""Signatures that hold, around the wrong thing."""

from __future__ import annotations

import pytest

from accounts.sso.saml import ASSERTION, PROTOCOL
from accounts.sso.saml_response import Names, ResponseRejected, received, stated
from accounts.sso.xml_signature import digested
from tests.sso.saml.judging import expected, good, keys, read, refusal

# -- signature wrapping --------------------------------------------------------------------------------------------


def _parts(text: str) -> tuple[str, str, str, str, str]:
    """Up to the assertion, the assertion, the rest; its signature, and an evil twin without one."""
    begin, end = text.index("<saml:Assertion "), text.index("</saml:Assertion>") + len("</saml:Assertion>")
    assertion = text[begin:end]
    signature = assertion[
        assertion.index("<ds:Signature ") : assertion.index("</ds:Signature>") + len("</ds:Signature>")
    ]
    evil = assertion.replace(signature, "").replace("ada@", "eve@").replace('ID="_assertion"', 'ID="_evil"')
    return text[:begin], assertion, text[end:], signature, evil


def _inside(evil: str, what: str) -> str:
    return evil.replace("</saml:Issuer>", f"</saml:Issuer>{what}", 1)


def _response_wrapped(text: str, *, after: bool) -> str:
    """The signed response inside the signature's object or beside it, within another response."""
    signature = text[text.index("<ds:Signature ") : text.index("</ds:Signature>") + len("</ds:Signature>")]
    bare = text.replace(signature, "", 1)
    evil = bare.replace("ada@", "eve@").replace('ID="_response"', 'ID="_evil"').replace('"_assertion"', '"_evil2"')
    evil = evil.replace("#_assertion", "#_evil2")
    held = signature.replace("</ds:Signature>", f"<ds:Object>{bare}</ds:Object></ds:Signature>")
    placed = held if after else bare + signature
    return evil.replace("</saml:Issuer>", f"</saml:Issuer>{placed}", 1)


def wrapped(number: int) -> str:
    """The eight ways of "On Breaking SAML: Be Whoever You Want to Be" (Somorovsky and others, 2012)."""
    if number in (1, 2):
        return _response_wrapped(good(sign_response=True).xml(), after=number == 1)
    head, assertion, tail, signature, evil = _parts(good().xml())
    bare = assertion.replace(signature, "")
    if number == 3:
        return head + evil + assertion + tail
    if number == 4:
        return head + evil.replace("</saml:Assertion>", assertion + "</saml:Assertion>") + tail
    if number == 5:
        return head + _inside(evil, signature) + bare + tail
    if number == 6:
        return head + _inside(evil, signature.replace("</ds:Signature>", bare + "</ds:Signature>")) + tail
    if number == 7:
        return (
            head.replace("<samlp:Status>", f"<samlp:Extensions>{evil}</samlp:Extensions><samlp:Status>")
            + assertion
            + tail
        )
    held = signature.replace("</ds:Signature>", f"<ds:Object>{bare}</ds:Object></ds:Signature>")
    return head + _inside(evil, held) + tail


@pytest.mark.parametrize("number", range(1, 9))
def test_a_wrapped_signature_is_refused_by_the_shape_alone(number: int) -> None:
    assert refusal(wrapped(number)) == "saml-assertion-count"


@pytest.mark.parametrize("number", [3, 4, 5, 7])
def test_the_wrapped_samples_hold_a_signature_that_still_verifies(number: int) -> None:
    """Or they would show nothing. What comes back is the signed assertion, wherever it was put.

    The others put it inside the signature, which xmlsec1 takes out before it digests.
    """
    tag, document = f"{ASSERTION}:Assertion", wrapped(number)
    where = "_evil" if number == 5 else "_assertion"
    content = digested(document, tag, where, keys()).decode()
    assert "ada@" in content
    assert "eve@" not in content


def test_what_is_used_is_what_was_digested(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads the document as somebody else wrote it changes nothing: the bytes that were signed count."""
    response = received(good().encoded())
    for element in response.assertion.iter(f"{{{ASSERTION}}}NameID"):
        element.text = "eve@example.org"
    assert stated(response, expected(), Names()).email == "ada@example.org"


def test_a_refusal_quotes_nothing_of_the_response() -> None:
    marked = good(name="<script>alert(1)</script>", name_format="urn:x-canary").xml()
    with pytest.raises(ResponseRejected) as refused:
        read(marked)
    assert "script" not in str(refused.value)
    assert "canary" not in repr(refused.value)
    assert PROTOCOL not in str(refused.value)
