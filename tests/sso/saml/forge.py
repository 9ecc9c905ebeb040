"""An identity provider's pen: responses with any part changed, before they are signed or after.

Signed by xmlsec1 with a key of ours, so that what a test changes is the only thing that is wrong.
"""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.asymmetric import ec

from accounts.sso.saml import ASSERTION, FORMATS, POST, PROTOCOL
from tests.sso.saml.keys import SigningKey, new_key

ENTITY = "https://idp.example/metadata"
PAGE = "https://idp.example/sso"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"


@cache
def key_of(name: str) -> SigningKey:
    """The run's keys: ``rsa``, ``ec`` and ``stranger`` (RSA)."""
    return new_key(ec.generate_private_key(ec.SECP256R1()) if name == "ec" else None)


def metadata(*keys: SigningKey, entity: str = ENTITY, page: str = PAGE, attributes: str = "", role: str = "") -> str:
    descriptors = "".join(
        '<KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{key.certificate_text}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>"
        for key in keys
    )
    return (
        f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{escape(entity)}" {attributes}>'
        f'<IDPSSODescriptor protocolSupportEnumeration="{PROTOCOL}" {role}>{descriptors}'
        f'<SingleSignOnService Binding="{POST}" Location="{escape(page)}"/></IDPSSODescriptor></EntityDescriptor>'
    )


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Sample:
    """A response's parts; what is not changed is right. ``before`` edits what is signed, ``after`` what was signed."""

    request: str
    audience: str
    recipient: str
    now: datetime
    name: str = "ada@example.org"
    name_format: str = FORMATS["emailAddress"]
    attributes: dict[str, list[str]] = field(default_factory=dict)
    session_ends: datetime | None = None
    identifier: str = "_assertion"
    key: SigningKey = field(default_factory=lambda: key_of("rsa"))
    method: str = RSA_SHA256
    digest_method: str = SHA256
    sign_response: bool = False
    key_info: str = ""
    before: tuple[Callable[[str], str], ...] = ()
    after: tuple[Callable[[str], str], ...] = ()

    def with_(self, **parts: object) -> Sample:
        return replace(self, **parts)  # type: ignore[arg-type]  # names are checked by replace itself

    def xml(self) -> str:
        text = self._response()
        for edit in self.before:
            text = edit(text)
        text = signed(text, "assertion", self.key)
        if self.sign_response:
            text = signed(text, "response", self.key)
        for edit in self.after:
            text = edit(text)
        return text

    def encoded(self) -> str:
        return encoded(self.xml())

    def _response(self) -> str:
        now, end = stamp(self.now), stamp(self.now + timedelta(minutes=5))
        around = self.signature("_response") if self.sign_response else ""
        return (
            f'<samlp:Response xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}" ID="_response" Version="2.0" '
            f'IssueInstant="{now}" Destination="{self.recipient}" InResponseTo="{self.request}">'
            f"<saml:Issuer>{ENTITY}</saml:Issuer>{around}"
            '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
            f'<saml:Assertion xmlns:saml="{ASSERTION}" ID="{self.identifier}" Version="2.0" IssueInstant="{now}">'
            f"<saml:Issuer>{ENTITY}</saml:Issuer>{self.signature(self.identifier)}"
            f'<saml:Subject><saml:NameID Format="{self.name_format}">{escape(self.name)}</saml:NameID>'
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f'<saml:SubjectConfirmationData Recipient="{self.recipient}" NotOnOrAfter="{end}" '
            f'InResponseTo="{self.request}"/></saml:SubjectConfirmation></saml:Subject>'
            f'<saml:Conditions NotBefore="{now}" NotOnOrAfter="{end}"><saml:AudienceRestriction>'
            f"<saml:Audience>{self.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{now}"{self._session_end()}><saml:AuthnContext>'
            "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>"
            f"</saml:AuthnContext></saml:AuthnStatement>{self._attributes()}</saml:Assertion></samlp:Response>"
        )

    def _session_end(self) -> str:
        return "" if self.session_ends is None else f' SessionNotOnOrAfter="{stamp(self.session_ends)}"'

    def _attributes(self) -> str:
        if not self.attributes:
            return ""
        each = "".join(
            f'<saml:Attribute Name="{escape(name)}">'
            + "".join(f"<saml:AttributeValue>{escape(value)}</saml:AttributeValue>" for value in values)
            + "</saml:Attribute>"
            for name, values in self.attributes.items()
        )
        return f"<saml:AttributeStatement>{each}</saml:AttributeStatement>"

    def signature(self, identifier: str) -> str:
        return (
            '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>'
            f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/><ds:SignatureMethod Algorithm="{self.method}"/>'
            f'<ds:Reference URI="#{identifier}"><ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"/>'
            f'<ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
            f'<ds:DigestMethod Algorithm="{self.digest_method}"/><ds:DigestValue/></ds:Reference></ds:SignedInfo>'
            f"<ds:SignatureValue/>{self.key_info}</ds:Signature>"
        )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def signed(text: str, what: str, key: SigningKey, *, options: tuple[str, ...] = ()) -> str:
    """The document with the empty signature of its assertion, or of the response around it, filled in."""
    tag, parent = (
        (f"{ASSERTION}:Assertion", "Assertion") if what == "assertion" else (f"{PROTOCOL}:Response", "Response")
    )
    with tempfile.NamedTemporaryFile(suffix=".pem") as key_file:
        key_file.write(key.pem)
        key_file.flush()
        command = [
            *("xmlsec1", "--sign", "--privkey-pem", key_file.name, "--id-attr:ID", tag),
            *("--id-attr:ID", f"{ASSERTION}:Assertion"),
            *("--node-xpath", f"//*[local-name()='{parent}']/*[local-name()='Signature']", *options, "-"),
        ]
        ended = subprocess.run(command, input=text.encode(), capture_output=True, timeout=20, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().split("?>", 1)[-1].strip()


# -- edits ---------------------------------------------------------------------------------------------------------


def change(old: str, new: str, *, every: bool = False) -> Callable[[str], str]:
    """An edit that must find what it changes, or the sample would be the good one."""

    def edit(text: str) -> str:
        assert old in text, f"{old} is not there"
        return text.replace(old, new) if every else text.replace(old, new, 1)

    return edit


def change_last(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        head, found, tail = text.rpartition(old)
        assert found, f"{old} is not there"
        return head + new + tail

    return edit


def change_all(pattern: str, new: str, *, count: int = 0) -> Callable[[str], str]:
    def edit(text: str) -> str:
        changed, found = re.subn(pattern, new, text, count=count, flags=re.DOTALL)
        assert found, f"{pattern} is not there"
        return changed

    return edit
