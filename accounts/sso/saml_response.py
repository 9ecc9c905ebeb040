"""A SAML response, judged: the profile for web browsers (SAML 2.0 profiles §4.1.4), and stricter where it leaves room.

First the shape of the whole document (one assertion, signatures where they belong, algorithms that hold), then the
signatures, then what was signed. Every fact that is handed out comes from the signed bytes. It must not know rows,
sessions, the wire or HTTP; what is refused has a code for the record and quotes nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from accounts.sso.saml import ASSERTION, FORMATS, PROTOCOL, SIGNATURE
from accounts.sso.xml_document import DocumentRejected, children, only, parse, text_of, time_of
from accounts.sso.xml_signature import SignatureRejected, digested

MAX_RESPONSE = 1 << 18
SKEW = timedelta(seconds=60)
MAX_SUBJECT, MAX_EMAIL, MAX_GROUPS, MAX_GROUP = 400, 254, 1000, 512

_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_UNSPECIFIED = FORMATS["unspecified"]
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_TRANSFORMS = (f"{SIGNATURE}enveloped-signature", _EXCLUSIVE)
# RFC 9231. Neither SHA-1 nor MD5, and no MAC: its key would be the certificate, which everybody has.
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_SIGNATURES = frozenset(f"{_MORE}{kind}-sha{size}" for kind in ("rsa", "ecdsa") for size in (256, 384, 512))
_ENC = "http://www.w3.org/2001/04/xmlenc#"
_DIGESTS = frozenset({f"{_ENC}sha256", f"{_MORE}sha384", f"{_ENC}sha512"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")


class ResponseRejected(Exception):
    """``code`` says why, for the record. Whoever sent the response is told nothing."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Expected:
    """What the response to one request must say. ``keys`` are those that the provider signs with now (PEM)."""

    request: str
    issuer: str
    audience: str
    recipient: str
    keys: Sequence[bytes]
    now: datetime


@dataclass(frozen=True, slots=True)
class Names:
    """Which attributes mean what; an empty name means none."""

    email: str = ""
    groups: str = ""
    first_name: str = ""
    last_name: str = ""
    name_id_format: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What the provider says. ``subject`` is the name with its format: names of two formats are two people's."""

    assertion: str
    subject: str
    email: str
    groups: frozenset[str]
    ends_at: datetime | None
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class Received:
    """A response of the right shape that nobody has verified. ``request`` only finds what it claims to answer."""

    text: str
    response: Element
    assertion: Element
    request: str


def received(encoded: str) -> Received:
    """The form field of the POST binding: base64, not deflated (bindings §3.5.4)."""
    if len(encoded) > MAX_RESPONSE:
        raise ResponseRejected("saml-too-large")
    try:
        content = base64.b64decode("".join(encoded.split()), validate=True)
        text, response = parse(content)
        assertion = _shape(response)
        return Received(text, response, assertion, _confirmation(assertion).get("InResponseTo", ""))
    except (ValueError, binascii.Error, DocumentRejected):
        raise ResponseRejected("saml-malformed") from None


def stated(response: Received, expected: Expected, names: Names) -> Statement:
    """Verify and judge. Raises ResponseRejected, and xml_signature's errors when the program cannot be run."""
    if not expected.keys:
        raise ResponseRejected("saml-no-key")
    try:
        _judge_response(response.response, expected)
        assertion = _signed(response, expected.keys)
        _judge_assertion(assertion, expected)
        return _facts(assertion, names, expected.now)
    except SignatureRejected:
        raise ResponseRejected("saml-signature") from None
    except DocumentRejected:
        raise ResponseRejected("saml-malformed") from None


# -- the shape of the document -------------------------------------------------------------------------------------


def _shape(response: Element) -> Element:
    """One response around one assertion, with identifiers that are used once and signatures of known places only.

    That leaves nothing to wrap: whatever a signature refers to is the element that it sits in, and that is used.
    """
    if response.tag != _p("Response") or response.get("Version") != "2.0":
        raise ResponseRejected("saml-malformed")
    if any(element.tag in _ENCRYPTED for element in response.iter()):
        raise ResponseRejected("saml-encrypted")
    assertions = [element for element in response.iter() if element.tag == _s("Assertion")]
    if len(assertions) != 1 or assertions[0] not in list(response):
        raise ResponseRejected("saml-assertion-count")
    _check_identifiers(response)
    _check_signatures(response, assertions[0])
    return assertions[0]


def _check_identifiers(response: Element) -> None:
    """Unique whatever their spelling: XML-Signature says ``Id``, SAML ``ID``, and some parsers take ``xml:id``."""
    found = [
        value
        for element in response.iter()
        for name, value in element.attrib.items()
        if name.rpartition("}")[2].lower() == "id"
    ]
    if len(found) != len(set(found)) or not all(_NAME.fullmatch(value) for value in found):
        raise ResponseRejected("saml-identifiers")


def _check_signatures(response: Element, assertion: Element) -> None:
    places = [parent for parent in (response, assertion) for _ in children(parent, _d("Signature"))]
    if assertion not in places:
        raise ResponseRejected("saml-assertion-unsigned")
    if len(places) != len({id(place) for place in places}):
        raise ResponseRejected("saml-signature-count")
    if len(list(response.iter(_d("Signature")))) != len(places):
        raise ResponseRejected("saml-signature-place")
    for place in places:
        _check_signature(only(place, _d("Signature")), place.get("ID", ""))


def _check_signature(signature: Element, identifier: str) -> None:
    """Core §5.4, and algorithms of today. What is signed is the element around, whole but for the signature itself."""
    if not {child.tag for child in signature} <= {_d("SignedInfo"), _d("SignatureValue"), _d("KeyInfo")}:
        raise ResponseRejected("saml-signature-shape")
    info = only(signature, _d("SignedInfo"))
    if [child.tag for child in info] != [_d("CanonicalizationMethod"), _d("SignatureMethod"), _d("Reference")]:
        raise ResponseRejected("saml-signature-shape")
    reference = only(info, _d("Reference"))
    if not identifier or reference.get("URI") != f"#{identifier}":
        raise ResponseRejected("saml-signature-reference")
    transforms = [child.get("Algorithm") for child in only(reference, _d("Transforms"))]
    canonical = only(info, _d("CanonicalizationMethod")).get("Algorithm")
    if tuple(transforms) != _TRANSFORMS or canonical != _EXCLUSIVE:
        raise ResponseRejected("saml-transforms")
    method, hashed = only(info, _d("SignatureMethod")), only(reference, _d("DigestMethod"))
    # A child would be a parameter: the length of a truncated MAC, for instance (CVE-2009-0217).
    if len(method) or len(hashed):
        raise ResponseRejected("saml-algorithm")
    if method.get("Algorithm") not in _SIGNATURES or hashed.get("Algorithm") not in _DIGESTS:
        raise ResponseRejected("saml-algorithm")


# -- signatures ----------------------------------------------------------------------------------------------------


def _signed(response: Received, keys: Sequence[bytes]) -> Element:
    """The assertion as it was signed. A signature around the response must hold too, if there is one."""
    if next(children(response.response, _d("Signature")), None) is not None:
        digested(response.text, f"{PROTOCOL}:Response", response.response.attrib["ID"], keys)
    identifier = response.assertion.attrib["ID"]
    _, assertion = parse(digested(response.text, f"{ASSERTION}:Assertion", identifier, keys))
    if assertion.tag != _s("Assertion") or assertion.get("ID") != identifier:
        raise ResponseRejected("saml-signature")
    return assertion


# -- what must hold ------------------------------------------------------------------------------------------------


def _judge_response(response: Element, expected: Expected) -> None:
    _equal(response.get("Destination"), expected.recipient, "saml-destination")
    _equal(response.get("InResponseTo"), expected.request, "saml-request")
    for issuer in children(response, _s("Issuer")):
        _equal(text_of(issuer), expected.issuer, "saml-issuer")
    _equal(only(only(response, _p("Status")), _p("StatusCode")).get("Value"), _SUCCESS, "saml-status")


def _judge_assertion(assertion: Element, expected: Expected) -> None:
    _equal(assertion.get("Version"), "2.0", "saml-malformed")
    _equal(text_of(only(assertion, _s("Issuer"))), expected.issuer, "saml-issuer")
    _within(assertion.get("IssueInstant"), None, expected.now)
    data = _confirmation(assertion)
    _equal(data.get("Recipient"), expected.recipient, "saml-recipient")
    _equal(data.get("InResponseTo"), expected.request, "saml-request")
    # Profiles §4.1.4.2: an end is needed, and there is no beginning.
    if data.get("NotOnOrAfter") is None or data.get("NotBefore") is not None:
        raise ResponseRejected("saml-confirmation")
    _within(None, data.get("NotOnOrAfter"), expected.now)
    _judge_conditions(only(assertion, _s("Conditions")), expected)


def _confirmation(assertion: Element) -> Element:
    confirmation = only(only(assertion, _s("Subject")), _s("SubjectConfirmation"))
    _equal(confirmation.get("Method"), _BEARER, "saml-confirmation")
    return only(confirmation, _s("SubjectConfirmationData"))


def _judge_conditions(conditions: Element, expected: Expected) -> None:
    """A condition that is not understood does not hold (core §2.5.1.1)."""
    _within(conditions.get("NotBefore"), conditions.get("NotOnOrAfter"), expected.now)
    known = {_s("AudienceRestriction"), _s("OneTimeUse"), _s("ProxyRestriction")}
    if not {child.tag for child in conditions} <= known:
        raise ResponseRejected("saml-condition")
    restrictions = list(children(conditions, _s("AudienceRestriction")))
    for restriction in restrictions:
        if expected.audience not in [text_of(audience) for audience in children(restriction, _s("Audience"))]:
            raise ResponseRejected("saml-audience")
    if not restrictions:
        raise ResponseRejected("saml-audience")


def _within(begins: str | None, ends: str | None, now: datetime) -> None:
    if begins is not None and time_of(begins) > now + SKEW:
        raise ResponseRejected("saml-not-yet")
    if ends is not None and time_of(ends) <= now - SKEW:
        raise ResponseRejected("saml-expired")


def _equal(found: str | None, wanted: str, code: str) -> None:
    if found != wanted:
        raise ResponseRejected(code)


# -- what it says --------------------------------------------------------------------------------------------------


def _facts(assertion: Element, names: Names, now: datetime) -> Statement:
    name_id = only(only(assertion, _s("Subject")), _s("NameID"))
    form, value = name_id.get("Format", _UNSPECIFIED), _clean(text_of(name_id), MAX_SUBJECT)
    # A transient name is another one at every login, and other formats are not for people.
    if form not in FORMATS.values() or (names.name_id_format and form != FORMATS[names.name_id_format]):
        raise ResponseRejected("saml-name-format")
    attributes = _attributes(assertion)
    email = _one(attributes, names.email, MAX_EMAIL) if names.email else ""
    if not names.email and form == FORMATS["emailAddress"]:
        email = _clean(value, MAX_EMAIL)
    return Statement(
        assertion=assertion.attrib["ID"],
        subject=f"{form} {value}",
        email=email,
        groups=_groups(attributes.get(names.groups, []) if names.groups else []),
        ends_at=_session_end(assertion, now),
        first_name=_one(attributes, names.first_name, MAX_SUBJECT),
        last_name=_one(attributes, names.last_name, MAX_SUBJECT),
    )


def _session_end(assertion: Element, now: datetime) -> datetime | None:
    """There is a statement of a login (profiles §4.1.4.2); the first end that one gives is the session's."""
    statements = list(children(assertion, _s("AuthnStatement")))
    if not statements:
        raise ResponseRejected("saml-no-login")
    ends = [time_of(value) for value in (one.get("SessionNotOnOrAfter") for one in statements) if value is not None]
    if ends and min(ends) <= now:
        raise ResponseRejected("saml-session-over")
    return min(ends, default=None)


def _attributes(assertion: Element) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for statement in children(assertion, _s("AttributeStatement")):
        for attribute in children(statement, _s("Attribute")):
            found.setdefault(attribute.get("Name", ""), []).extend(_values(attribute))
    return found


def _values(attribute: Element) -> Iterator[str]:
    """Values that are texts; a provider may say other things, which mean nothing here."""
    return (text_of(value) for value in children(attribute, _s("AttributeValue")) if not len(value))


def _one(attributes: Mapping[str, list[str]], name: str, longest: int) -> str:
    """The one value, or none. Two would leave it to us which person is meant."""
    values = sorted(set(attributes.get(name, []) if name else []))
    if len(values) > 1:
        raise ResponseRejected("saml-ambiguous")
    return _clean(values[0], longest) if values and values[0] else ""


def _groups(values: Sequence[str]) -> frozenset[str]:
    """None said means none: what a login gives is what the provider says at that login."""
    if len(values) > MAX_GROUPS:
        raise ResponseRejected("saml-too-large")
    return frozenset(_clean(value, MAX_GROUP) for value in values if value)


def _clean(value: Any, longest: int) -> str:
    text = str(value)
    if not text or len(text) > longest or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ResponseRejected("saml-value")
    return text


def _s(name: str) -> str:
    return f"{{{ASSERTION}}}{name}"


def _p(name: str) -> str:
    return f"{{{PROTOCOL}}}{name}"


def _d(name: str) -> str:
    return f"{{{SIGNATURE}}}{name}"


_ENCRYPTED = frozenset({_s("EncryptedAssertion"), _s("EncryptedID"), _s("EncryptedAttribute")})
