"""Grants are made in one place, secrets leave their wrapper in few: both found by reading the tree."""

from __future__ import annotations

import ast

from tests.architecture.source import ROOT, called_name, calls_by_function, modules

# Every place where a secret leaves its wrapper, with the reason. A new one is a decision, not an accident.
REVEALS = {
    ("kms/api/wire/app_credentials.py", "_wire"): "the wire lets an administrator read an app's API key again",
    ("kms/api/wire/custody.py", "_wire_component"): "the components of an exportable key are what was asked for",
    (
        "kms/api/wire/second_factors.py",
        "_new_totp",
    ): "an authenticator app's new key is shown once, as text and QR code",
    ("kms/operations/factor_enrolment.py", "unlock_factors"): "the password hasher takes text",
    ("kms/operations/row_key.py", "row_key"): "seals on rows are made in this process: HMACs by the thousand",
    ("kms/operations/webhooks.py", "headers_of"): "HMAC under a key that the webhook's receiver has too",
    ("kms/operations/vote_proofs.py", "_demand_password"): "the password hasher takes text",
    ("kms/operations/second_factors.py", "take_code"): "RFC 6238's HMAC under a key that lives outside the token",
    ("kms/api/replay.py", "Replay.command"): "a call that was approved is read as it came in",
    ("kms/api/wire/approvals.py", "_body"): "whoever asked reads what they sent, others read it redacted",
    ("kms/api/wire/approvals.py", "_result"): "what an approved call is answered is what was asked for",
    ("kms/operations/approving.py", "digest_of"): "approvals are given to a digest of the whole call",
    ("kms/api/wire/sobject.py", "wire_material"): "export of an exportable object, in clear, is what was asked for",
    ("kms/crypto/key_formats.py", "_certificate"): "certificates are public; rewritten on export",
    ("kms/crypto/key_formats.py", "_symmetric"): "export as JWK of an exportable key is what was asked for",
    ("kms/crypto/key_formats.py", "as_kept"): "imported bytes are recognised by how they begin",
    ("kms/crypto/algorithms/aes.py", "Aes.cipher"): "components that a caller brought: their check value is compared",
    ("kms/crypto/algorithms/aes.py", "Aes.decrypt"): "what KW and KWP unwrap as data is the answer that was asked for",
    ("kms/crypto/algorithms/des.py", "Des.cipher"): "no token of ours takes a DES key: it is lent for the call",
    ("kms/crypto/algorithms/des3.py", "Des3.cipher"): "where the token offers no TDEA, the key is lent for the call",
    ("kms/crypto/algorithms/des3.py", "Des3.describe"): "the parts of an imported key are compared",
    ("kms/crypto/algorithms/hmac.py", "Hmac.mac"): "hashes that the token lacks: the key is lent for the call",
    ("kms/crypto/algorithms/seed.py", "Seed.cipher"): "no token of ours takes a SEED key: it is lent for the call",
    ("kms/crypto/algorithms/certificate.py", "Certificate.describe"): "certificates are public; parsed on import",
    ("kms/crypto/asymmetric.py", "load_either"): "what is not a private key may be a public one",
    ("kms/crypto/asymmetric.py", "load_private"): "imported private keys are parsed and checked",
    ("kms/crypto/hierarchical.py", "PrivateNode._tweaked"): "a child's scalar is its parent's and a tweak",
    ("kms/crypto/hierarchical.py", "PrivateNode.child"): "hardened children are hashed of the private key",
    ("kms/crypto/hierarchical.py", "PrivateNode.ec_key"): "no token of ours takes a key of a tree: it is lent",
    ("kms/crypto/hierarchical.py", "PrivateNode.ed25519_key"): "no token of ours takes a key of a tree: it is lent",
    ("kms/crypto/hierarchical.py", "PrivateNode.encoded"): "an extended private key is written",
    ("kms/crypto/hierarchical.py", "master"): "the root of a tree is a hash of its seed",
    ("kms/crypto/hierarchical.py", "read_node"): "an extended key is parsed and checked",
    ("kms/crypto/kdf.py", "from_password"): "PBKDF2 of a password, which no token computes",
    ("kms/operations/app_credentials.py", "_made"): "an app's new API key is kept as a digest too",
    ("kms/operations/app_trust.py", "checked_secret"): "an API key that a caller brought is looked at first",
    ("kms/operations/derivation.py", "_prf"): "HMAC under a secret, which is no key in the token",
    ("kms/crypto/kdf.py", "expand"): "HKDF expands what was extracted",
    ("kms/crypto/kdf.py", "extract"): "HKDF extracts from a key that is not in the token",
    ("kms/crypto/kdf.py", "leftmost"): "a key that is shorter than what it is derived from",
    ("kms/crypto/kdf.py", "rightmost"): "a key that is shorter than the secret that was agreed on",
    ("kms/crypto/kdf.py", "with_odd_parity"): "derived DES keys get their parity",
    ("kms/crypto/secret_sharing.py", "_xor"): "components are split and combined here, for that moment",
    ("kms/hsm/new_keys.py", "_ec_public"): "x of a public point, which ECDH with the base point gives",
    ("kms/hsm/new_keys.py", "import_key"): "material on its way into the token",
    (
        "kms/hsm/opened_key.py",
        "TokenKey._wrap_ragged.work",
    ): "what the token cannot pad is wrapped here, for that moment",
    ("kms/hsm/pkcs11.py", "Pkcs11Module.seal"): "sealing is encryption of the material in the token",
    ("kms/hsm/sessions.py", "Connection._log_in"): "the token's PIN at login",
    ("kms/hsm/token_objects.py", "wrap_held"): "an object for the token's wrapping of material that the server holds",
    ("kms/hsm/token_setup.py", "_initialise"): "the PINs of a token that is made",
    ("kms/operations/custody.py", "_whole"): "a TDEA component of two keys is written as three for its check value",
    ("kms/operations/custody.py", "import_components"): "components that arrive wrapped are ciphertexts",
    ("kms/operations/inspection.py", "_digest"): "the hash of an exportable value is what was asked for",
    (
        "kms/operations/cipher_state.py",
        "open_state",
    ): "a state's own secret, under which the cipher's place is encrypted",
    ("kms/operations/ldap.py", "try_directory"): "the directory is asked with the secrets that are tried",
    ("kms/operations/log_deliveries.py", "_to_splunk"): "the collector is shown its token",
    ("kms/operations/log_sink_kinds.py", "_check_token"): "a token that would end a header is refused",
    ("kms/operations/log_sink_kinds.py", "_check_secret_key"): "a key that no store gave is refused",
    ("kms/operations/log_sink_kinds.py", "tls_trust"): "OpenSSL takes a client's key as it is",
    ("kms/operations/mailed_codes.py", "code_of"): "a mailed code is compared by its digest",
    ("kms/operations/named_secrets.py", "NamedSecrets.opened"): "a row's secrets are told apart again",
    ("kms/operations/named_secrets.py", "NamedSecrets.seal"): "a row's secrets are sealed together, by name",
    ("kms/operations/object_store.py", "_signed"): "HMAC under a key that the store has too, by the vendor's signer",
    ("kms/operations/passwords.py", "_text"): "the password policy and the hasher take text",
    ("kms/operations/providers.py", "try_settings"): "a provider is asked with them once, before they are kept",
    ("kms/operations/providers.py", "opened_secrets"): "a provider is asked with them, at that moment",
    ("kms/operations/wrapping.py", "_encrypt"): "wrapping by a cipher's data mode is encryption of the material",
}


def test_a_grant_is_made_in_exactly_one_place() -> None:
    made = [
        (path, function)
        for path, tree in modules()
        for function, call in calls_by_function(tree)
        if called_name(call) == "Grant"
    ]
    assert made == [("kms/operations/authority.py", "Authority.authorise")]


def test_no_test_makes_a_grant_either() -> None:
    made = [
        path for path, tree in modules("tests") for _, call in calls_by_function(tree) if called_name(call) == "Grant"
    ]
    assert made == []


def test_secrets_leave_their_wrapper_in_the_listed_places_only() -> None:
    found = {
        (path, function)
        for path, tree in modules()
        for function, call in calls_by_function(tree)
        if called_name(call) == "reveal"
    }
    assert found - REVEALS.keys() == set(), "a new place reveals a secret: list it here with its reason, or don't"
    assert REVEALS.keys() - found == set(), "no longer there: take it off the list"


def test_nobody_reaches_past_reveal() -> None:
    for path, tree in modules():
        if path != "kms/secret.py":
            named = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "_value"]
            secret = [n for n in named if ast.unparse(n.value) not in {"self"}]
            assert secret == [], path


def test_only_the_corridor_and_the_keystores_room_know_the_keystore() -> None:
    allowed = ("kms/operations/", "kms/objects/", "kms/config/")
    for path, tree in modules("kms"):
        imports = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        if any("keystore" in line for line in imports):
            assert path.startswith(allowed), path


def test_every_module_says_what_it_is_for() -> None:
    for path, tree in modules():
        if tree.body and not path.endswith("__init__.py"):
            assert ast.get_docstring(tree), path


def test_a_suppression_carries_its_reason() -> None:
    for folder in ("accounts", "policies", "kms"):
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                for mark in ("# noqa", "# type: ignore"):
                    if mark in line:
                        rest = line.partition(mark)[2]
                        assert any(sign in rest for sign in (" - ", "  # ", " (")), (
                            f"{path.relative_to(ROOT)}:{number} gives no reason"
                        )
