"""A record that was set back goes on when officers have signed what is lost; a list that was edited decides nothing."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import CommandError, call_command

from accounts.ssh_signatures import SignatureRejected, signer_of, ssh_key
from kms.audit.checkpoint import Checkpoint
from kms.audit.models import AuditRecord, Sealing
from kms.audit.officers import NAMESPACE, OfficersInvalid, Pinned, QuorumNotMet, officers, signers
from kms.audit.trust import packed, trust
from kms.hsm.module import Kept
from kms.objects import keystore
from kms.operations import epoch_officers
from kms.operations.epoch_statements import LASTS, Appointment, Opening, keep, kept, spend
from kms.operations.epochs import OpenEpoch, opening
from kms.operations.errors import InvalidRequest
from kms.operations.executor import execute
from kms.operations.rescue import host
from kms.operations.sealing import SealingTurns
from tests.audit.test_trust import here, sealed

pytestmark = pytest.mark.usefixtures("installation")


@dataclasses.dataclass
class Officer:
    name: str
    path: Path

    @classmethod
    def new(cls, folder: Path, name: str, *kind: str) -> Officer:
        path = folder / name
        line = ["ssh-keygen", "-q", "-N", "", "-C", f"{name}'s", "-f", str(path), *(kind or ("-t", "ed25519"))]
        subprocess.run(line, check=True)
        return cls(name, path)

    @property
    def line(self) -> str:
        return f"{self.name} {self.path.with_suffix('.pub').read_text()}"

    def signed(self, text: str, namespace: str = NAMESPACE) -> Path:
        """Somewhere else, with their own program."""
        file = self.path.parent / f"statement for {self.name}"
        file.write_text(text)
        file.with_suffix(".sig").unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", self.path, file], check=True)
        return file.with_suffix(".sig")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Officer]:
    folder = tmp_path_factory.mktemp("officers")
    kinds = {"alice": (), "bob": ("-t", "ecdsa", "-b", "256"), "carol": ("-t", "ecdsa", "-b", "521")}
    return {name: Officer.new(folder, name, *kind) for name, kind in kinds.items()}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    keystore.module().keep(packed(here(Sealing.objects.get(id=1).size)))
    keystore.module().keep(Pinned(0, "", 0).packed(), Kept.OFFICERS)
    spend(Opening)
    spend(Appointment)
    trust.reason = None


Configure = Callable[..., Path]


@pytest.fixture
def configure(settings: Any, tmp_path: Path) -> Configure:
    """The environment names these officers, and how many of them are needed; none: nobody."""

    def configure(*who: Officer, quorum: int = 2) -> Path:
        path = tmp_path / f"officers of {len(list(tmp_path.iterdir()))}"
        path.write_text("# who may\n\n" + "".join(each.line for each in who))
        named = {"epoch_officers": path, "epoch_quorum": quorum} if who else {"epoch_officers": None}
        settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, **named)
        return path

    return configure


def set_back(lost: int = 12) -> int:
    """The token remembers more than the rows have, as after a restore. Returns the rows' size."""
    size = sealed()
    keystore.module().keep(packed(Checkpoint(here(1).origin, size + lost, bytes(32))))
    return size


def command(name: str, *arguments: object) -> str:
    said = io.StringIO()
    call_command(name, *map(str, arguments), stdout=said, stderr=io.StringIO())
    return said.getvalue()


def signatures(*paths: Path) -> list[object]:
    return [part for path in paths for part in ("--signature", path)]


def newest_entry(action: str) -> AuditRecord:
    return AuditRecord.objects.filter(action=action).order_by("-sequence")[0]


# -- opening an epoch ----------------------------------------------------------------------------------------------


def test_an_epoch_is_opened_when_enough_officers_have_signed_what_is_lost(
    people: dict[str, Officer], configure: Configure
) -> None:
    configure(*people.values())
    size, epoch = set_back(12), Sealing.objects.get(id=1).epoch
    statement = command("open_epoch")
    assert f"epoch {epoch + 1} of the record is opened, a rollback of 12 entries" in statement
    for told in (f"{here(size).origin}, {size} entries", f"{size + 12} entries", "alice SHA256:", "nonce", "made"):
        assert told in statement
    assert command("open_epoch") == statement, "signatures that are on their way stay good"
    assert Sealing.objects.get(id=1).epoch == epoch

    said = command("open_epoch", *signatures(*(people[name].signed(statement) for name in ("carol", "alice"))))
    assert f"Epoch {epoch + 1} goes on after {size} entries" in said
    assert "Signed by alice, carol" in said
    entry = newest_entry("record.open-epoch")
    assert entry.details["approvers"] == "alice, carol"
    assert entry.details["result"] == "rollback of 12 entries"
    turns = SealingTurns()
    turns.turn()
    assert trust.reason is None
    assert Sealing.objects.get(id=1).epoch == epoch + 1


REFUSED = {
    "one": (lambda people, text: [people["alice"].signed(text)], "2 different officers have to sign.*alice"),
    "one, twice": (
        lambda people, text: [people["alice"].signed(text), people["alice"].signed(text)],
        "2 different officers",
    ),
    "another text": (
        lambda people, text: [people["alice"].signed(text), people["bob"].signed(text.replace("12", "11"))],
        "signature 2: it is not a signature over this text",
    ),
    "another purpose": (
        lambda people, text: [people["alice"].signed(text), people["bob"].signed(text, "git")],
        "signature 2: it was signed for another purpose",
    ),
}


@pytest.mark.parametrize("how", REFUSED)
def test_too_few_signatures_open_nothing(people: dict[str, Officer], configure: Configure, how: str) -> None:
    configure(*people.values())
    set_back(12)
    epoch = Sealing.objects.get(id=1).epoch
    statement = command("open_epoch")
    sign, said = REFUSED[how]
    with pytest.raises(CommandError, match=said):
        command("open_epoch", *signatures(*sign(people, statement)))
    with pytest.raises(InvalidRequest, match="there signed: nobody"):
        execute(host(), OpenEpoch())
    assert Sealing.objects.get(id=1).epoch == epoch
    assert newest_entry("record.open-epoch").outcome == "failed"


def test_a_stranger_counts_for_nothing(people: dict[str, Officer], configure: Configure) -> None:
    configure(people["alice"], people["bob"])
    set_back()
    statement = command("open_epoch")
    made = signatures(people["alice"].signed(statement), people["carol"].signed(statement))
    with pytest.raises(CommandError, match=r"signature 2 is by SHA256:.*no officer's key"):
        command("open_epoch", *made)


def test_signatures_are_for_one_occasion(people: dict[str, Officer], configure: Configure) -> None:
    """Also when the host's operator puts the statement back, and when only the nonce differs."""
    configure(*people.values())
    set_back(12)
    statement = command("open_epoch")
    first = kept(Opening)
    assert first is not None
    made = signatures(*(people[name].signed(statement) for name in ("alice", "bob")))
    spend(Opening)
    with pytest.raises(CommandError, match="ask for it anew"):
        command("open_epoch", *made)
    assert command("open_epoch") != statement
    with pytest.raises(CommandError, match="not a signature over this text"):
        command("open_epoch", *made)
    keep(first)
    command("open_epoch", *made)
    keep(first)
    with pytest.raises(CommandError, match="ask for it anew"):
        command("open_epoch", *made)


@pytest.mark.parametrize(
    "changed", [{"lost": 0}, {"epoch": 99}, {"nonce": "0"}, {"fault": "nothing much"}, {"witnessed": ("w",)}]
)
def test_a_kept_statement_that_was_edited_has_no_signatures(
    people: dict[str, Officer], configure: Configure, changed: dict[str, Any]
) -> None:
    configure(*people.values())
    set_back(12)
    statement = command("open_epoch")
    made = signatures(*(people[name].signed(statement) for name in ("alice", "bob")))
    asked = kept(Opening)
    assert asked is not None
    keep(dataclasses.replace(asked, **changed))
    with pytest.raises(CommandError, match="not a signature over this text"):
        command("open_epoch", *made)


def test_a_statement_that_is_old_or_of_other_rows_is_asked_anew(
    people: dict[str, Officer], configure: Configure
) -> None:
    configure(*people.values())
    set_back()
    command("open_epoch")
    asked = kept(Opening)
    assert asked is not None
    token = Checkpoint(here(1).origin, here(1).size + 5, bytes(32))
    for stale in (
        dataclasses.replace(asked, made_at=asked.made_at - LASTS - timedelta(minutes=1)),
        dataclasses.replace(asked, database=here(3)),
        dataclasses.replace(asked, token=token),
        dataclasses.replace(asked, deciding="somebody"),
    ):
        keep(stale)
        made = signatures(*(people[name].signed(stale.text()) for name in ("alice", "bob")))
        with pytest.raises(CommandError, match="ask for it anew"):
            command("open_epoch", *made)


def test_where_nothing_is_wrong_officers_are_asked_nothing(people: dict[str, Officer], configure: Configure) -> None:
    configure(*people.values())
    sealed()
    with pytest.raises(CommandError, match="nothing to open"):
        command("open_epoch")


def test_without_officers_one_person_does_it_and_the_output_says_so(people: dict[str, Officer]) -> None:
    set_back()
    with pytest.raises(CommandError, match="no officers are set"):
        command("open_epoch", *signatures(people["alice"].signed("x")))
    assert "One person alone did this" in command("open_epoch")
    assert newest_entry("record.open-epoch").details["result"] == "rollback of 12 entries"


# -- who they are --------------------------------------------------------------------------------------------------


def test_a_list_that_the_token_does_not_remember_decides_nothing(
    people: dict[str, Officer], configure: Configure
) -> None:
    alice, bob, carol = people.values()
    configure(alice, bob, carol)
    assert "2 of the officers" in command("set_epoch_officers")
    set_back()
    weaker = ((alice,), 1), ((alice, bob), 2), ((alice, bob, carol), 1), ((), 0)
    for who, quorum in weaker:
        configure(*who, quorum=quorum)
        with pytest.raises(CommandError, match="not those whom the token remembers"):
            command("open_epoch")
        with pytest.raises(CommandError, match="old list"):
            command("set_epoch_officers")
    configure(alice, quorum=1)
    with pytest.raises(CommandError, match="not the one that the token remembers"):
        command("set_epoch_officers", "--old", configure(alice, bob, quorum=1))


def test_a_server_that_starts_says_when_the_token_does_not_remember_its_officers(
    people: dict[str, Officer], configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob, _ = people.values()
    epoch_officers.complain()
    assert caplog.text == ""
    configure(alice, bob)
    epoch_officers.complain()
    assert "call manage.py set_epoch_officers" in caplog.text
    command("set_epoch_officers")
    caplog.clear()
    epoch_officers.complain()
    assert caplog.text == ""
    configure(alice, bob, quorum=1)
    epoch_officers.complain()
    assert "are not those whom the token remembers" in caplog.text


def test_others_are_appointed_at_the_word_of_the_old_ones(people: dict[str, Officer], configure: Configure) -> None:
    alice, bob, carol = people.values()
    old = configure(alice, bob)
    command("set_epoch_officers")
    with pytest.raises(CommandError, match="already"):
        command("set_epoch_officers", "--old", old)
    configure(carol, alice, quorum=1)
    statement = command("set_epoch_officers", "--old", old)
    assert "1 of these officers" in statement
    assert "carol SHA256:" in statement
    with pytest.raises(CommandError, match="2 different officers"):
        command("set_epoch_officers", "--old", old, *signatures(alice.signed(statement)))
    with pytest.raises(CommandError, match="no officer's key"):
        command("set_epoch_officers", "--old", old, *signatures(alice.signed(statement), carol.signed(statement)))
    configure(carol, quorum=1)  # others than those who were agreed to
    made = signatures(alice.signed(statement), bob.signed(statement))
    with pytest.raises(CommandError, match="ask for it anew"):
        command("set_epoch_officers", "--old", old, *made)

    configure(carol, alice, quorum=1)
    statement = command("set_epoch_officers", "--old", old)
    command("set_epoch_officers", "--old", old, *signatures(alice.signed(statement), bob.signed(statement)))
    assert newest_entry("record.set-epoch-officers").details["approvers"] == "alice, bob"
    set_back()
    assert "Signed by carol" in command("open_epoch", *signatures(carol.signed(command("open_epoch"))))


def test_officers_may_leave_it_to_the_host_and_what_they_signed_counts_once(
    people: dict[str, Officer], configure: Configure
) -> None:
    alice, bob, _ = people.values()
    old = configure(alice, bob)
    command("set_epoch_officers")
    configure()
    statement = command("set_epoch_officers", "--old", old)
    assert "the operator of the host alone" in statement
    made = signatures(alice.signed(statement), bob.signed(statement))
    assert "the operator of the host alone" in command("set_epoch_officers", "--old", old, *made)
    set_back()
    assert "One person alone" in command("open_epoch")
    assert epoch_officers.pinned().version == 2


def test_what_the_token_remembers_of_the_record_is_another_thing(
    people: dict[str, Officer], configure: Configure
) -> None:
    """A sealer that remembers a checkpoint at the same time takes nothing away."""
    configure(*people.values())
    command("set_epoch_officers")
    size = sealed()
    keystore.module().keep(packed(here(size)))
    assert epoch_officers.pinned().quorum == 2
    assert epoch_officers.deciding() is not None


# -- lists ---------------------------------------------------------------------------------------------------------


def test_the_order_of_a_list_does_not_matter_and_everything_else_does(people: dict[str, Officer]) -> None:
    lines = [each.line for each in people.values()]
    one = officers("".join(lines), 2)
    assert officers("".join(reversed(lines)), 2).fingerprint == one.fingerprint
    options = [lines[0].replace("alice ", 'alice namespaces="git,keystead-epoch" '), *lines[1:]]
    assert officers("".join(options), 2).fingerprint == one.fingerprint
    renamed = "".join(lines).replace("alice ", "mallory ", 1)
    others = officers("".join(lines), 1), officers("".join(lines[:2]), 2), officers(renamed, 2)
    assert one.fingerprint not in {each.fingerprint for each in others}


BAD = {
    "no key": "alice",
    "an option": "alice valid-before=20300101 {key}",
    "an authority": "alice cert-authority {key}",
    "another purpose": 'alice namespaces="git" {key}',
    "patterns": "*@example.org {key}",
    "several names": "alice,bob {key}",
    "another kind": "alice ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==",
    "a kind that it is not": "alice ecdsa-sha2-nistp256 {body}",
    "cut off": "alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
    "no base64": "alice ssh-ed25519 ****",
}


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_is_not_understood_whole_is_refused(people: dict[str, Officer], line: str) -> None:
    key = people["alice"].path.with_suffix(".pub").read_text().strip()
    with pytest.raises(OfficersInvalid, match="line 2"):
        officers("# first\n" + BAD[line].format(key=key, body=key.split()[1]), 1)


def test_one_person_is_one_officer(people: dict[str, Officer]) -> None:
    alice, bob, _ = people.values()
    with pytest.raises(OfficersInvalid, match="each officer has their own"):
        officers(alice.line + alice.line.replace("alice ", "mallory ", 1), 2)
    with pytest.raises(OfficersInvalid, match="2 officers are needed, and the list has 1"):
        officers(alice.line + bob.line.replace("bob ", "alice ", 1), 2)
    three = officers(alice.line + bob.line.replace("bob ", "alice ", 1) + people["carol"].line, 2)
    made = [each.signed("x").read_text() for each in (alice, bob)]
    with pytest.raises(QuorumNotMet, match="there signed: alice"):
        signers(three, "x", made)


# -- signatures ----------------------------------------------------------------------------------------------------


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


class SecurityKey:
    """Signs as a FIDO authenticator under OpenSSH does (PROTOCOL.u2f)."""

    def __init__(self, kind: str) -> None:
        self.kind, self.application = kind.encode(), b"ssh:"
        if kind.startswith("sk-ssh"):
            self.ed25519 = Ed25519PrivateKey.generate()
            middle = string(self.ed25519.public_key().public_bytes_raw())
        else:
            self.p256 = ec.generate_private_key(ec.SECP256R1())
            point = self.p256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            middle = string(b"nistp256") + string(point)
        self.blob = string(self.kind) + middle + string(self.application)

    @property
    def line(self) -> str:
        return f"{self.kind.decode()} {base64.b64encode(self.blob).decode()}"

    def signed(self, message: bytes, *, flags: int = 1, namespace: bytes = NAMESPACE.encode()) -> str:
        parts = (namespace, b"", b"sha512", hashlib.sha512(message).digest())
        data = b"SSHSIG" + b"".join(map(string, parts))
        seen = bytes([flags]) + (7).to_bytes(4, "big")
        over = hashlib.sha256(self.application).digest() + seen + hashlib.sha256(data).digest()
        if hasattr(self, "ed25519"):
            made = self.ed25519.sign(over)
        else:
            made = b"".join(map(mpint, decode_dss_signature(self.p256.sign(over, ec.ECDSA(SHA256())))))
        signature = string(self.kind) + string(made) + seen
        blob = b"SSHSIG" + (1).to_bytes(4, "big") + string(self.blob)
        blob += b"".join(map(string, (namespace, b"", b"sha512", signature)))
        body = base64.b64encode(blob).decode()
        return f"-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n"


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_a_security_key_signs_when_it_is_touched(kind: str, tmp_path: Path) -> None:
    key = SecurityKey(kind)
    known = ssh_key(*key.line.split())
    made = key.signed(b"text")
    assert signer_of(made, b"text", namespace=NAMESPACE) == known
    with pytest.raises(SignatureRejected, match="not touched"):
        signer_of(key.signed(b"text", flags=0), b"text", namespace=NAMESPACE)
    with pytest.raises(SignatureRejected, match="not a signature over this text"):
        signer_of(made, b"other", namespace=NAMESPACE)
    # OpenSSH judges the same.
    (tmp_path / "allowed").write_text(f"alice {key.line}\n")
    (tmp_path / "sig").write_text(made)
    line = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "alice", "-n", NAMESPACE, "-s", "sig"]
    assert subprocess.run(line, cwd=tmp_path, input=b"text", capture_output=True, check=False).returncode == 0


def test_no_bit_of_a_signature_can_be_another(people: dict[str, Officer]) -> None:
    for person in people.values():
        armored = person.signed("text").read_text().splitlines()
        blob = base64.b64decode("".join(armored[1:-1]))
        key = ssh_key(*person.path.with_suffix(".pub").read_text().split()[:2])
        assert signer_of("\n".join(armored), b"text", namespace=NAMESPACE) == key
        for place in range(len(blob)):
            changed = bytearray(blob)
            changed[place] ^= 1
            with pytest.raises(SignatureRejected):
                signer_of(armed(bytes(changed)), b"text", namespace=NAMESPACE)
        for other in (blob[:-1], blob + b"\0", b"", blob[:6]):
            with pytest.raises(SignatureRejected):
                signer_of(armed(other), b"text", namespace=NAMESPACE)


def armed(blob: bytes) -> str:
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(blob).decode()}\n-----END SSH SIGNATURE-----"


def test_an_rsa_key_is_not_taken(tmp_path: Path) -> None:
    person = Officer.new(tmp_path, "old", "-t", "rsa", "-b", "2048")
    with pytest.raises(SignatureRejected, match="not taken: ssh-rsa"):
        signer_of(person.signed("text").read_text(), b"text", namespace=NAMESPACE)


def test_what_the_old_token_kept_is_read(people: dict[str, Officer]) -> None:
    """A token of a server before there were officers has the checkpoint as it is still kept, and nothing else."""
    from kms.audit.trust import unpacked

    known = here(1)
    old = json.dumps([known.origin, known.size, known.root.hex()]).encode()
    assert unpacked(old) == known
    assert epoch_officers.pinned() == Pinned(0, "", 0)


def test_a_list_that_cannot_be_read_is_told(settings: Any, tmp_path: Path) -> None:
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, epoch_officers=tmp_path / "none", epoch_quorum=1)
    with pytest.raises(CommandError, match="cannot be read"):
        command("open_epoch")
    assert kept(Opening) is None
    with pytest.raises(InvalidRequest, match="cannot be read"):
        opening()
