"""What is shown with a vote holds or is refused, is good once, and is no way to guess what a login would ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.hashers import make_password

from accounts import recovery, totp
from accounts.clock import clock
from accounts.credentials import BasicCredential
from accounts.errors import NotAuthenticated
from accounts.models import Account, AttemptCounter, RecoveryCode, TotpDevice, User
from accounts.principal import ANONYMOUS, Principal
from kms.audit.entry import CallContext
from kms.audit.models import AuditRecord
from kms.operations.approvals import ApprovalView, GiveApproval
from kms.operations.errors import AccessDenied, Conflict, NotFound, TooManyAttempts
from kms.operations.executor import execute
from kms.operations.passwords import ChangePassword
from kms.operations.registry import OPERATIONS
from kms.operations.second_factors import seal_key
from kms.operations.sessions import LogIn
from kms.operations.vote_proofs import VoteProof
from kms.secret import SecretBytes
from policies.models import Approval
from policies.permissions import Permission
from tests.kit.approvals import Panel, deletion, new_panel
from tests.kit.factors import NO_PASSWORD, Phone
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import PASSWORD
from tests.kit.threads import at_once

HERE = CallContext(client_ip="203.0.113.7")
FACTOR, THE_PASSWORD = "The second factor was not accepted", "The password is not right"


def vote(who: Principal, request: UUID, **shown: Any) -> ApprovalView:
    if "password" in shown:
        shown["password"] = SecretBytes(shown["password"].encode())
    view: ApprovalView = execute(who, GiveApproval(request, VoteProof(**shown)), context=HERE)
    return view


def phone_of(who: Principal) -> Phone:
    device = TotpDevice(user_id=who.id, name="phone", confirmed=True)
    key = totp.new_key()
    seal_key(device, SecretBytes(key))
    device.save()
    return Phone(str(device.key_id), key)


def code(phone: Phone, later: int = 0) -> str:
    """Of now, so that it holds for half a minute at least, however slow the machine is."""
    return totp.code_of(phone.key, totp.step_at(clock.now()) + later)


def votes(request: UUID) -> list[tuple[bool, bool]]:
    found = Approval.objects.filter(request=request).order_by("id")
    return list(found.values_list("password", "second_factor"))


def entry(who: Principal) -> AuditRecord:
    return AuditRecord.objects.filter(action="approval.approve", actor_id=who.id).latest("sequence")


def tried() -> int:
    """Attempts that are counted anywhere."""
    return sum(AttemptCounter.objects.values_list("attempts", flat=True))


@dataclass
class Scene:
    """Two of three reviewers must approve, with their password and a second factor. Bob and Carol each have a phone
    and recovery codes."""

    panel: Panel
    bob: Principal
    carol: Principal
    phone: Phone
    carols_phone: Phone
    codes: list[str]
    carols_codes: list[str]
    request: UUID


@pytest.fixture
def scene(installation: None, settings: Any) -> Scene:
    settings.PASSWORD_HASHERS = ["tests.kit.mail.QuickArgon2"]
    AttemptCounter.objects.all().delete()  # what other tests tried
    panel = new_panel(password=True, second_factor=True)
    bob, carol, _ = panel.reviewers
    User.objects.filter(id__in=[bob.id, carol.id]).update(password=make_password(PASSWORD))
    codes = recovery.replace(bob.id), recovery.replace(carol.id)
    return Scene(panel, bob, carol, phone_of(bob), phone_of(carol), *codes, panel.ask())


# -- as it is meant ------------------------------------------------------------------------------------------------


def test_who_shows_what_the_quorum_asks_for_has_voted(scene: Scene) -> None:
    assert vote(scene.bob, scene.request, password=PASSWORD, code=code(scene.phone)).status == "pending"
    assert entry(scene.bob).details["factor"] == "totp"
    assert entry(scene.bob).details["by_password"] is True
    done = vote(scene.carol, scene.request, password=PASSWORD, recovery_code=scene.carols_codes[0])
    assert done.status == "approved"
    assert entry(scene.carol).details["factor"] == "recovery"
    assert entry(scene.carol).details["codes_left"] == recovery.CODES - 1
    assert votes(scene.request) == [(True, True), (True, True)]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (lambda _: {}, "second factor"),
        (lambda _: {"password": PASSWORD}, "second factor"),
        (lambda s: {"code": code(s.phone)}, "password"),
    ],
    ids=["nothing", "the password", "a code"],
)
def test_less_than_that_is_no_vote_and_says_what_is_missing(
    scene: Scene, shown: Callable[[Scene], dict[str, Any]], missing: str
) -> None:
    with pytest.raises(AccessDenied, match=missing):
        vote(scene.bob, scene.request, **shown(scene))
    assert votes(scene.request) == []


def test_a_code_of_a_vote_that_was_not_taken_is_good_still(scene: Scene) -> None:
    shown = code(scene.phone)
    with pytest.raises(AccessDenied, match="password"):
        vote(scene.bob, scene.request, code=shown)
    vote(scene.bob, scene.request, code=shown, password=PASSWORD)
    assert votes(scene.request) == [(True, True)]


# -- attempts to cheat ---------------------------------------------------------------------------------------------


def a_code_that_was_used(scene: Scene) -> dict[str, Any]:
    used = code(scene.phone)
    vote(scene.bob, scene.panel.ask(), password=PASSWORD, code=used)
    return {"code": used}


def a_code_before_one_that_was_used(scene: Scene) -> dict[str, Any]:
    before, later = code(scene.phone), code(scene.phone, 1)
    vote(scene.bob, scene.panel.ask(), password=PASSWORD, code=later)
    return {"code": before}


def a_recovery_code_that_was_used(scene: Scene) -> dict[str, Any]:
    vote(scene.bob, scene.panel.ask(), password=PASSWORD, recovery_code=scene.codes[3])
    return {"recovery_code": scene.codes[3]}


def a_recovery_code_of_the_set_before(scene: Scene) -> dict[str, Any]:
    recovery.replace(scene.bob.id)
    return {"recovery_code": scene.codes[0]}


def a_phone_that_is_not_confirmed(scene: Scene) -> dict[str, Any]:
    TotpDevice.objects.filter(user_id=scene.bob.id).update(confirmed=False)
    return {"code": code(scene.phone)}


def an_old_code(scene: Scene) -> dict[str, Any]:
    return {"code": totp.code_of(scene.phone.key, totp.step_at(clock.now()) - totp.WINDOW - 2)}


def a_code_of_the_future(scene: Scene) -> dict[str, Any]:
    return {"code": totp.code_of(scene.phone.key, totp.step_at(clock.now()) + totp.WINDOW + 2)}


CHEATS: dict[str, tuple[Callable[[Scene], dict[str, Any]], str]] = {
    "a wrong code": (lambda _: {"code": "000000"}, "wrong-code"),
    "another's code": (lambda s: {"code": code(s.carols_phone)}, "wrong-code"),
    "a code that was used": (a_code_that_was_used, "wrong-code"),
    "a code before one that was used": (a_code_before_one_that_was_used, "wrong-code"),
    "an old code": (an_old_code, "wrong-code"),
    "a code of the future": (a_code_of_the_future, "wrong-code"),
    "a phone that is not confirmed": (a_phone_that_is_not_confirmed, "wrong-code"),
    "a recovery code for a code": (lambda s: {"code": s.codes[0]}, "wrong-code"),
    "a wrong recovery code": (lambda _: {"recovery_code": "AAAA-AAAA-AAAA-AAAA"}, "wrong-recovery-code"),
    "another's recovery code": (lambda s: {"recovery_code": s.carols_codes[0]}, "wrong-recovery-code"),
    "a recovery code that was used": (a_recovery_code_that_was_used, "wrong-recovery-code"),
    "a recovery code of the set before": (a_recovery_code_of_the_set_before, "wrong-recovery-code"),
    "a code for a recovery code": (lambda s: {"recovery_code": code(s.phone)}, "wrong-recovery-code"),
}


@pytest.mark.parametrize(("cheat", "reason"), CHEATS.values(), ids=CHEATS)
def test_a_factor_that_does_not_hold_is_refused_recorded_and_counted(
    scene: Scene, cheat: Callable[[Scene], dict[str, Any]], reason: str
) -> None:
    shown, before = cheat(scene), tried()
    with pytest.raises(AccessDenied, match=FACTOR):
        vote(scene.bob, scene.request, password=PASSWORD, **shown)
    assert (entry(scene.bob).outcome, entry(scene.bob).reason) == ("denied", reason)
    assert votes(scene.request) == []
    assert tried() > before
    if reason == "wrong-recovery-code":
        assert RecoveryCode.objects.filter(user_id=scene.carol.id, used_at=None).count() == recovery.CODES


@pytest.mark.parametrize("wrong", ["", "x", PASSWORD + " ", PASSWORD.upper(), "x" * 10_000])
def test_a_wrong_password_is_refused_recorded_and_counted_whatever_else_holds(scene: Scene, wrong: str) -> None:
    before = tried()
    with pytest.raises(AccessDenied, match=THE_PASSWORD):
        vote(scene.bob, scene.request, password=wrong, code=code(scene.phone))
    assert (entry(scene.bob).outcome, entry(scene.bob).reason) == ("denied", "wrong-password")
    assert votes(scene.request) == []
    assert tried() > before


def test_what_is_not_asked_for_is_refused_all_the_same_when_it_is_wrong(installation: None) -> None:
    """Never passed over in silence: whoever shows something means it."""
    panel = new_panel()
    request = panel.ask()
    for shown in ({"password": "wrong"}, {"code": "000000"}, {"recovery_code": "AAAA"}):
        with pytest.raises(AccessDenied):
            vote(panel.reviewers[0], request, **shown)
    assert votes(request) == []


def test_one_code_at_two_requests_at_once_is_good_for_one(scene: Scene) -> None:
    requests, shown = [scene.panel.ask() for _ in range(4)], code(scene.phone)

    def one(number: int) -> str:
        try:
            vote(scene.bob, requests[number], password=PASSWORD, code=shown)
        except AccessDenied as refused:
            return refused.reason
        return "voted"

    assert sorted(at_once(4, one)) == ["voted", "wrong-code", "wrong-code", "wrong-code"]
    assert sum(len(votes(each)) for each in requests) == 1


# -- who has nothing to show ---------------------------------------------------------------------------------------

EVERYTHING: dict[str, dict[str, Any]] = {
    "password": {"password": PASSWORD},
    "code": {"code": "000000"},
    "recovery code": {"recovery_code": "AAAA"},
}


@pytest.mark.parametrize("shown", EVERYTHING.values(), ids=EVERYTHING)
def test_an_app_shows_nothing(scene: Scene, shown: dict[str, Any]) -> None:
    before = tried()
    with pytest.raises(AccessDenied, match="Only people"):
        vote(scene.panel.tenant.app, scene.request, **shown)
    assert entry(scene.panel.tenant.app).reason == "users-only"
    assert tried() == before


def test_whom_a_provider_vouches_for_has_no_password_here(scene: Scene) -> None:
    before = tried()
    with pytest.raises(AccessDenied, match="vouches"):
        vote(replace(scene.bob, provider=uuid4()), scene.request, password=PASSWORD, code=code(scene.phone))
    assert entry(scene.bob).reason == "vouched-for"
    assert tried() == before


def test_who_never_set_a_password_is_told(scene: Scene) -> None:
    User.objects.filter(id=scene.bob.id).update(password=NO_PASSWORD)
    for guess in (PASSWORD, "", NO_PASSWORD):
        with pytest.raises(AccessDenied, match="no password of yours"):
            vote(scene.bob, scene.request, password=guess)


def test_where_the_account_asks_for_security_keys_a_code_is_too_little(scene: Scene) -> None:
    Account.objects.filter(id=scene.panel.tenant.account.id).update(second_factor="fido2")
    for shown in ({"code": code(scene.phone)}, {"recovery_code": scene.codes[0]}):
        with pytest.raises(AccessDenied, match="asks for a security key"):
            vote(scene.bob, scene.request, password=PASSWORD, **shown)
        assert entry(scene.bob).reason == "weaker-second-factor"
    assert RecoveryCode.objects.filter(user_id=scene.bob.id, used_at=None).count() == recovery.CODES


# -- no oracle -----------------------------------------------------------------------------------------------------


def test_every_operation_that_takes_a_proof_counts_before_it_looks(scene: Scene) -> None:
    """By what a command carries: a new one with a proof in it joins by itself."""
    taking = [o for o in OPERATIONS if "VoteProof" in str(o.command.__dataclass_fields__.get("proof", ""))]
    assert [o.action for o in taking] == ["approval.approve"]
    for operation in taking:
        for shown in (VoteProof(SecretBytes(b"x")), VoteProof(code="1"), VoteProof(recovery_code="1")):
            before = tried()
            operation.admit(scene.bob, operation.command(scene.request, shown), HERE)
            assert tried() > before
        before = tried()
        operation.admit(scene.bob, operation.command(scene.request, VoteProof()), HERE)
        assert tried() == before


def login(who: Principal, password: str = PASSWORD) -> None:
    email = User.objects.get(id=who.id).email
    execute(ANONYMOUS, LogIn(BasicCredential(email, password)), context=HERE)


def slowed(attempt: Callable[[], object]) -> bool:
    """Try until it is slowed down, some times at most."""
    for _ in range(12):
        try:
            attempt()
        except TooManyAttempts:
            return True
        except (AccessDenied, NotAuthenticated, NotFound, Conflict):
            continue
    return False


def guess_with(scene: Scene, request: UUID | None = None, **shown: Any) -> Callable[[], object]:
    return lambda: vote(scene.bob, request or scene.request, **shown)


def test_guesses_at_a_vote_slow_the_login_down(scene: Scene) -> None:
    assert slowed(guess_with(scene, password="wrong"))
    with pytest.raises(TooManyAttempts):
        login(scene.bob)
    login(scene.carol)


def test_guesses_at_a_login_slow_the_vote_down_even_with_the_right_password(scene: Scene) -> None:
    assert slowed(lambda: login(scene.bob, "wrong"))
    with pytest.raises(TooManyAttempts):
        vote(scene.bob, scene.request, password=PASSWORD, code=code(scene.phone))
    assert entry(scene.bob).reason == "slowed-down"
    assert votes(scene.request) == []


def test_guesses_at_a_change_of_password_are_the_same_door(scene: Scene) -> None:
    change = ChangePassword(SecretBytes(b"wrong"), SecretBytes(b"another long password 9"))
    assert slowed(lambda: execute(scene.bob, change, context=HERE))
    with pytest.raises(TooManyAttempts):
        vote(scene.bob, scene.request, password=PASSWORD)


@pytest.mark.parametrize("shown", [{"code": "000000"}, {"recovery_code": "AAAA"}], ids=["code", "recovery code"])
def test_guesses_at_a_factor_are_slowed_down_whichever_is_guessed(scene: Scene, shown: dict[str, Any]) -> None:
    assert slowed(guess_with(scene, password=PASSWORD, **shown))
    with pytest.raises(TooManyAttempts):
        vote(scene.bob, scene.request, code=code(scene.phone))
    with pytest.raises(TooManyAttempts):
        vote(scene.bob, scene.request, recovery_code=scene.codes[0])


def test_a_request_that_is_not_there_is_no_way_to_guess_for_nothing(scene: Scene) -> None:
    assert slowed(guess_with(scene, uuid4(), password="wrong"))


def test_right_ones_that_come_to_nothing_are_counted_too(scene: Scene) -> None:
    """Whoever holds a session must not learn whether a password is right any faster than by logging in."""
    assert slowed(guess_with(scene, password=PASSWORD))


def test_a_vote_that_holds_ends_the_count(scene: Scene) -> None:
    for _ in range(3):
        with pytest.raises(AccessDenied):
            vote(scene.bob, scene.request, password="wrong")
    assert tried() > 0
    vote(scene.bob, scene.request, password=PASSWORD, code=code(scene.phone))
    own = AttemptCounter.objects.order_by("-attempts").values_list("attempts", flat=True)
    assert all(count <= 3 for count in own)
    login(scene.bob)


def test_a_proof_hides_in_a_traceback() -> None:
    proof = VoteProof(SecretBytes(b"canary"), "canary", "canary")
    assert "canary" not in repr(GiveApproval(uuid4(), proof))


def test_it_is_asked_of_the_place_and_not_of_everybody(scene: Scene) -> None:
    """Another group's quorum asks for nothing: what was shown is kept with the vote all the same."""
    group = scene.panel.tenant.new_group()
    key = scene.panel.tenant.key(group=group)
    guard_group(group, users(2, [scene.bob.id, scene.carol.id]), [Permission.OBJECT_DELETE])
    request = scene.panel.ask(deletion(key), by=scene.panel.tenant.alice)
    vote(scene.bob, request)
    assert vote(scene.carol, request, code=code(scene.carols_phone)).status == "approved"
    assert votes(request) == [(False, False), (False, True)]
