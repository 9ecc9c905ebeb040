"""Rules on whom a certificate is for: a directory name, a DNS name or an address. Pure; it trusts nobody.

Rules are compared with what the DER says once it is decoded, attribute by attribute: never as one text, in which a
comma or an equals sign in a value could pass for two attributes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

# RFC 4514 §3 and the names that OpenSSL prints, in lower case. Anything else is given as a dotted number.
_TYPES = {
    "cn": NameOID.COMMON_NAME,
    "commonname": NameOID.COMMON_NAME,
    "sn": NameOID.SURNAME,
    "surname": NameOID.SURNAME,
    "gn": NameOID.GIVEN_NAME,
    "givenname": NameOID.GIVEN_NAME,
    "c": NameOID.COUNTRY_NAME,
    "countryname": NameOID.COUNTRY_NAME,
    "l": NameOID.LOCALITY_NAME,
    "localityname": NameOID.LOCALITY_NAME,
    "st": NameOID.STATE_OR_PROVINCE_NAME,
    "stateorprovincename": NameOID.STATE_OR_PROVINCE_NAME,
    "street": NameOID.STREET_ADDRESS,
    "o": NameOID.ORGANIZATION_NAME,
    "organizationname": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "organizationalunitname": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "title": NameOID.TITLE,
    "serialnumber": NameOID.SERIAL_NUMBER,
    "dc": NameOID.DOMAIN_COMPONENT,
    "domaincomponent": NameOID.DOMAIN_COMPONENT,
    "uid": NameOID.USER_ID,
    "userid": NameOID.USER_ID,
    "emailaddress": NameOID.EMAIL_ADDRESS,
    "postalcode": NameOID.POSTAL_CODE,
}

Attribute = tuple[str, str]


def attribute_type(name: str) -> x509.ObjectIdentifier:
    """Raises ValueError for a name that is none."""
    known = _TYPES.get(name.lower())
    return known if known is not None else x509.ObjectIdentifier(name)


def check(rule: Mapping[str, Any]) -> None:
    """Refuse a rule that could never match, with what is wrong with it (ValueError)."""
    if len(rule) != 1 or not rule.keys() <= {"directory_name", "dns_name", "ip_address"}:
        raise ValueError("a subject is one of directory_name, dns_name and ip_address")
    if "directory_name" in rule and not rule["directory_name"]:
        raise ValueError("directory_name must name at least one attribute")
    for name, _ in rule.get("directory_name", ()):
        try:
            attribute_type(name)
        except ValueError:
            raise ValueError("an attribute of directory_name is neither a known name nor a dotted number") from None
    if "ip_address" in rule:
        ipaddress.ip_address(rule["ip_address"])
    if "dns_name" in rule and (not rule["dns_name"] or "*" in rule["dns_name"]):
        raise ValueError("dns_name must be a whole name")


def match(leaf: x509.Certificate, rules: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of the rules is met. No rules: nobody is meant."""
    names = _names(leaf)
    return any(_met(leaf, names, rule) for rule in rules)


def _met(leaf: x509.Certificate, names: Sequence[x509.GeneralName], rule: Mapping[str, Any]) -> bool:
    if rule.keys() == {"directory_name"}:
        wanted = _wanted(rule["directory_name"])
        directories = [leaf.subject, *(name.value for name in names if isinstance(name, x509.DirectoryName))]
        return bool(wanted) and any(_attributes(directory) == wanted for directory in directories)
    if rule.keys() == {"dns_name"}:
        # DNS is blind to case (RFC 4343). A wildcard stands for hosts, which a client is not one of.
        found = {name.value.lower() for name in names if isinstance(name, x509.DNSName)}
        return "*" not in rule["dns_name"] and rule["dns_name"].lower() in found
    if rule.keys() == {"ip_address"}:
        return any(isinstance(name, x509.IPAddress) and _same(name.value, rule["ip_address"]) for name in names)
    return False


def _wanted(attributes: Iterable[Sequence[str]]) -> list[Attribute]:
    try:
        return sorted((attribute_type(name).dotted_string, value) for name, value in attributes)
    except ValueError:
        return []


def _attributes(name: x509.Name) -> list[Attribute] | None:
    """All attributes, whatever string type each was encoded as. None for one with several in one RDN: no rule can
    say that, and it must not pass for several RDNs."""
    if any(len(rdn) != 1 for rdn in name.rdns) or not all(isinstance(each.value, str) for each in name):
        return None
    return sorted((each.oid.dotted_string, str(each.value)) for each in name)


def _names(leaf: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _same(address: Any, wanted: str) -> bool:
    try:
        return bool(address == ipaddress.ip_address(wanted))
    except ValueError:
        return False
