"""SAML 2.0: a provider's metadata as settings, our own metadata, and the request that a login begins with.

What comes back is read in accounts.sso.saml_response. It must not know rows, sessions, the wire or HTTP routes.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.clock import clock
from accounts.models import ProviderKind
from accounts.sso.kind import Config, Given, Kind, ProviderFailed, SettingInvalid
from accounts.sso.xml_document import DocumentRejected, children, parse, text_of, time_of
from accounts.sso.xml_signature import ProgramMissing, program

ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
FORMATS: Mapping[str, str] = {
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "emailAddress": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}

MAX_METADATA = 1 << 18
MAX_NAME = 1024  # of an entity (metadata §2.2.1)
MAX_CERTIFICATES = 8
MIN_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

for _prefix, _namespace in (("saml", ASSERTION), ("samlp", PROTOCOL), ("md", METADATA)):
    register_namespace(_prefix, _namespace)


# -- settings ------------------------------------------------------------------------------------------------------


def parse_settings(settings: Mapping[str, Any], _secrets: frozenset[str]) -> Config:
    """``metadata`` is the provider's, and kept as it came. Which attributes mean what is said beside it.

    What was read of the metadata may come back with it, unchanged: who reads settings and writes them means no harm.
    """
    metadata = settings.get("metadata")
    if not isinstance(metadata, str) or not metadata.strip():
        raise SettingInvalid("metadata is the identity provider's metadata, an XML text")
    described = _described(metadata)
    for name, value in described.items():
        if settings.get(name, value) != value:
            raise SettingInvalid(f"{name} is what the metadata says; leave it out")
    given = Given({name: value for name, value in settings.items() if name != "metadata" and name not in described})
    config: Config = {
        "metadata": metadata,
        **described,
        "email_attribute": given.text("email_attribute"),
        "groups_attribute": given.text("groups_attribute"),
        "first_name_attribute": given.text("first_name_attribute"),
        "last_name_attribute": given.text("last_name_attribute"),
        "name_id_format": given.choice("name_id_format", *FORMATS),
        "self_provision_role": given.self_provision_role(),
    }
    given.end()
    _need_program()
    return config


def probe(config: Config, _secrets: Mapping[str, bytes]) -> None:
    """Nothing to ask: browsers carry the messages. So whether a response could be verified now."""
    _need_program()
    if not keys_at(config, clock.now()):
        raise ProviderFailed("The metadata or all of its certificates have expired; give newer metadata")


def _need_program() -> None:
    try:
        program()
    except ProgramMissing as missing:
        raise SettingInvalid(str(missing)) from None


def _described(metadata: str) -> Config:
    """What the metadata says: who the provider is, where logins go, by which keys it signs, until when."""
    if len(metadata) > MAX_METADATA:
        raise SettingInvalid(
            f"metadata has at most {MAX_METADATA} characters; give the provider's own, not a federation's"
        )
    try:
        _, root = parse(metadata.encode())
        entity, role = _provider(root)
        ends = [
            time_of(element.attrib["validUntil"]) for element in (root, entity, role) if "validUntil" in element.attrib
        ]
    except DocumentRejected as rejected:
        raise SettingInvalid(f"metadata: {rejected}") from None
    except UnicodeEncodeError:
        raise SettingInvalid("metadata: The XML is not UTF-8") from None
    now = clock.now()
    if ends and min(ends) <= now:
        raise SettingInvalid("metadata: it has expired (validUntil)")
    certificates = list(dict.fromkeys(_certificates(role)))
    described: Config = {
        "entity_id": _entity_id(entity),
        "sso_url": _post_address(role),
        "certificates": [base64.b64encode(der).decode() for der in certificates],
        "valid_until": min(ends).isoformat() if ends else None,
    }
    # A provider without a key would be believed by nobody, or by a mistake by everybody (CVE-2026-28323).
    if not keys_at(described, now):
        raise SettingInvalid("metadata: it has no certificate for signing that is valid now")
    return described


def _provider(root: Element) -> tuple[Element, Element]:
    """The one entity that is an identity provider of SAML 2.0, and its description as such."""
    entities = list(root.iter(_md("EntityDescriptor")))
    roles = [
        (entity, role)
        for entity in entities
        for role in children(entity, _md("IDPSSODescriptor"))
        if PROTOCOL in role.get("protocolSupportEnumeration", "").split()
    ]
    if root.tag not in (_md("EntityDescriptor"), _md("EntitiesDescriptor")) or len(roles) != 1:
        raise SettingInvalid("metadata: it describes not exactly one identity provider of SAML 2.0 (IDPSSODescriptor)")
    return roles[0]


def _entity_id(entity: Element) -> str:
    name = entity.get("entityID", "")
    if not name or len(name) > MAX_NAME or name != name.strip():
        raise SettingInvalid(f"metadata: entityID has 1 to {MAX_NAME} characters")
    return name


def _post_address(role: Element) -> str:
    """Where the browser posts the request. Browsers go there and the server never does, so it may be private."""
    places = [place for place in children(role, _md("SingleSignOnService")) if place.get("Binding") == POST]
    if not places:
        raise SettingInvalid("metadata: it has no SingleSignOnService with the binding HTTP-POST")
    address = places[0].get("Location", "")
    if not _is_page(address):
        raise SettingInvalid("metadata: the Location of SingleSignOnService is not an https:// address")
    return address


def _is_page(address: str) -> bool:
    """HTTPS, or HTTP that stays on one machine: a provider's page asks for passwords."""
    if len(address) > 2048 or any(ord(c) <= 32 or ord(c) == 127 for c in address):
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    plain = parts.scheme == "http" and (host == "localhost" or _is_loopback(host))
    return bool(host) and parts.username is None and (parts.scheme == "https" or plain)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _certificates(role: Element) -> Iterator[bytes]:
    found = 0
    for descriptor in children(role, _md("KeyDescriptor")):
        if descriptor.get("use", "signing") != "signing":
            continue
        for element in descriptor.iter(f"{{{SIGNATURE}}}X509Certificate"):
            found += 1
            if found > MAX_CERTIFICATES:
                raise SettingInvalid(f"metadata: it has more than {MAX_CERTIFICATES} certificates for signing")
            yield _checked_certificate(element)


def _checked_certificate(element: Element) -> bytes:
    try:
        der = base64.b64decode("".join(text_of(element).split()), validate=True)
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, binascii.Error, DocumentRejected):
        raise SettingInvalid("metadata: a certificate cannot be read") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return der
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES):
        return der
    raise SettingInvalid(f"metadata: a certificate's key is neither RSA of {MIN_RSA_BITS} bits nor on a NIST curve")


def keys_at(config: Config, now: datetime) -> list[bytes]:
    """The public keys (PEM) that count at this time. No word of a provider counts when its metadata has expired."""
    if config["valid_until"] is not None and datetime.fromisoformat(config["valid_until"]) <= now:
        return []
    loaded = (x509.load_der_x509_certificate(base64.b64decode(der)) for der in config["certificates"])
    return [
        certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for certificate in loaded
        if certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    ]


# -- what we say ---------------------------------------------------------------------------------------------------


def authentication_request(
    config: Config, identifier: str, *, entity_id: str, consumer_url: str, now: datetime
) -> bytes:
    """An AuthnRequest (core §3.4.1). Unsigned: the answer goes to a registered address, whoever asks."""
    request = Element(
        f"{{{PROTOCOL}}}AuthnRequest",
        {
            "ID": identifier,
            "Version": "2.0",
            "IssueInstant": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Destination": config["sso_url"],
            "ProtocolBinding": POST,
            "AssertionConsumerServiceURL": consumer_url,
        },
    )
    SubElement(request, f"{{{ASSERTION}}}Issuer").text = entity_id
    policy = SubElement(request, f"{{{PROTOCOL}}}NameIDPolicy", {"AllowCreate": "true"})
    if config["name_id_format"]:
        policy.set("Format", FORMATS[config["name_id_format"]])
    return tostring(request, encoding="utf-8", xml_declaration=False)


def service_metadata(*, entity_id: str, consumer_url: str) -> bytes:
    """What a provider has to know of us (metadata §2.4.4)."""
    entity = Element(_md("EntityDescriptor"), {"entityID": entity_id})
    role = SubElement(
        entity,
        _md("SPSSODescriptor"),
        {"AuthnRequestsSigned": "false", "WantAssertionsSigned": "true", "protocolSupportEnumeration": PROTOCOL},
    )
    for name in FORMATS.values():
        SubElement(role, _md("NameIDFormat")).text = name
    consumer = {"Binding": POST, "Location": consumer_url, "index": "0", "isDefault": "true"}
    SubElement(role, _md("AssertionConsumerService"), consumer)
    return tostring(entity, encoding="utf-8", xml_declaration=True)


def _md(name: str) -> str:
    return f"{{{METADATA}}}{name}"


_DERIVED = frozenset({"entity_id", "sso_url", "certificates", "valid_until"})
KIND = Kind(ProviderKind.SAML, parse_settings, probe, derived=_DERIVED)
