"""Whom a certificate is for: rules and names that only look alike."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import subjects
from tests.kit.certificates import authority, common_name, leaf, name

ROOT = authority()
CN, O, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME  # noqa: E741 - X.520's
PAIR = {"directory_name": [["CN", "a"], ["O", "b"]]}

SUBJECTS: dict[str, tuple[x509.Name, list[x509.GeneralName], dict[str, Any], bool]] = {
    "all attributes": (name((CN, "a"), (O, "b")), [], PAIR, True),
    "in another order": (name((O, "b"), (CN, "a")), [], PAIR, True),
    "by dotted numbers": (
        name((CN, "a"), (O, "b")),
        [],
        {"directory_name": [["2.5.4.3", "a"], ["2.5.4.10", "b"]]},
        True,
    ),
    "one more attribute": (name((CN, "a"), (O, "b"), (OU, "c")), [], PAIR, False),
    "one attribute less": (name((CN, "a")), [], PAIR, False),
    "twice the same": (name((CN, "a"), (CN, "a"), (O, "b")), [], PAIR, False),
    "two in one text": (name((CN, "a,O=b")), [], PAIR, False),
    "two in one text, escaped": (name((CN, "a\\,O=b")), [], PAIR, False),
    "a rule with two in one text": (name((CN, "a"), (O, "b")), [], {"directory_name": [["CN", "a,O=b"]]}, False),
    "two in one RDN": (
        x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(CN, "a"), x509.NameAttribute(O, "b")])]),
        [],
        PAIR,
        False,
    ),
    "values swapped": (name((CN, "b"), (O, "a")), [], PAIR, False),
    "NUL behind it": (name((CN, "a\0"), (O, "b")), [], PAIR, False),
    "NUL and more behind it": (name((CN, "a\0.example.org"), (O, "b")), [], PAIR, False),
    "another case": (name((CN, "A"), (O, "b")), [], PAIR, False),
    "a blank behind it": (name((CN, "a "), (O, "b")), [], PAIR, False),
    "a look-alike": (name((CN, "\u0430"), (O, "b")), [], PAIR, False),
    "no attributes at all": (x509.Name([]), [], {"directory_name": []}, False),
    "an unknown attribute": (name((CN, "a")), [], {"directory_name": [["nonsense", "a"]]}, False),
    "an empty rule": (name((CN, "a")), [], {}, False),
    "an unknown rule": (name((CN, "a")), [], {"email": "a"}, False),
    "two rules in one": (name((CN, "a")), [], {**common_name("a"), "dns_name": "x"}, False),
    "as an alternative name": (name((OU, "x")), [x509.DirectoryName(name((CN, "a"), (O, "b")))], PAIR, True),
    "DNS name": (name("x"), [x509.DNSName("A.example.org")], {"dns_name": "a.example.ORG"}, True),
    "DNS name in the common name": (name("a.example.org"), [], {"dns_name": "a.example.org"}, False),
    "DNS name as another kind": (
        name("x"),
        [x509.UniformResourceIdentifier("a.example.org")],
        {"dns_name": "a.example.org"},
        False,
    ),
    "DNS name with more behind": (
        name("x"),
        [x509.DNSName("a.example.org.evil.org")],
        {"dns_name": "a.example.org"},
        False,
    ),
    "DNS wildcard in the certificate": (
        name("x"),
        [x509.DNSName("*.example.org")],
        {"dns_name": "a.example.org"},
        False,
    ),
    "DNS wildcard in both": (name("x"), [x509.DNSName("*.example.org")], {"dns_name": "*.example.org"}, False),
    "address": (name("x"), [x509.IPAddress(ipaddress.ip_address("192.0.2.7"))], {"ip_address": "192.0.2.7"}, True),
    "address of version 6": (
        name("x"),
        [x509.IPAddress(ipaddress.ip_address("2001:db8::1"))],
        {"ip_address": "2001:DB8:0::1"},
        True,
    ),
    "another address": (
        name("x"),
        [x509.IPAddress(ipaddress.ip_address("192.0.2.8"))],
        {"ip_address": "192.0.2.7"},
        False,
    ),
    "address as a DNS name": (name("x"), [x509.DNSName("192.0.2.7")], {"ip_address": "192.0.2.7"}, False),
    "address that is none": (name("x"), [x509.DNSName("x")], {"ip_address": "x"}, False),
}


@pytest.mark.parametrize("case", SUBJECTS)
def test_a_rule_means_exactly_whom_it_names(case: str) -> None:
    subject, names, rule, matches = SUBJECTS[case]
    assert subjects.match(leaf(subject, ROOT, names=names).certificate, [rule]) is matches


@pytest.mark.parametrize(
    "kind",
    [
        x509.name._ASN1Type.PrintableString,
        x509.name._ASN1Type.UTF8String,
        x509.name._ASN1Type.BMPString,
        x509.name._ASN1Type.T61String,
    ],
)
def test_how_a_text_was_encoded_makes_no_difference(kind: Any) -> None:
    subject = x509.Name([x509.NameAttribute(CN, "worker", _type=kind)])
    assert subjects.match(leaf(subject, ROOT).certificate, [common_name("worker")])


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=4))
def test_a_rule_meets_its_own_subject_and_no_other(texts: list[str]) -> None:
    """Whatever characters: the rule for the parts never meets the name of the parts joined."""
    rule = {"directory_name": [["OU", text] for text in texts]}
    own = leaf(name(*((OU, text) for text in texts)), ROOT).certificate
    assert subjects.match(own, [rule])
    joined = ",OU=".join(texts)
    if len(texts) > 1 and len(joined) <= 64:
        assert not subjects.match(leaf(name((OU, joined)), ROOT).certificate, [rule])


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"email": "a"},
        {"directory_name": []},
        {"directory_name": [["nonsense", "a"]]},
        {"ip_address": "x"},
        {"dns_name": ""},
        {"dns_name": "*.example.org"},
        {"dns_name": "a", "ip_address": "192.0.2.1"},
    ],
    ids=str,
)
def test_a_rule_that_meets_nobody_is_not_to_be_saved(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        subjects.check(rule)


@pytest.mark.parametrize("case", [case for case, row in SUBJECTS.items() if row[3]])
def test_a_rule_that_meets_somebody_may_be_saved(case: str) -> None:
    subjects.check(SUBJECTS[case][2])
