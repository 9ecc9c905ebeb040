"""Codes that are mailed, through a real mail server: no order of steps gets past the mailbox (abuse 25, 26)."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import outbox, throttle
from accounts.clock import clock
from accounts.credentials import BasicCredential, authenticate, user_of
from accounts.errors import NotAuthenticated
from accounts.models import CodePurpose, Membership, OneTimeCode, Session, TotpDevice, User
from accounts.principal import ANONYMOUS, AuthenticationMethod, Principal, PrincipalKind
from accounts.second_factor import Lack
from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Command
from kms.operations.errors import AccessDenied, Conflict, CredentialStale, NotFound, TooManyAttempts
from kms.operations.executor import execute
from kms.operations.invitations import AcceptInvitation, InviteUser, ProcessInvitations, ResendInvitation
from kms.operations.own_address import ChangeAddress, ConfirmAddress, RequestConfirmation
from kms.operations.passwords import ChangePassword, CheckResetCode, RequestPasswordReset, ResetPassword
from kms.operations.sessions import LogIn, SelectAccount
from kms.operations.users import DeleteOwnUser, DeleteStaleUser, RemoveUser
from kms.secret import SecretBytes
from tests.kit.mail import PostOffice, deliver, open_post_office, use
from tests.kit.tenants import PASSWORD, Tenant, new_tenant, new_user, unique
from tests.kit.threads import at_once

OTHER_PASSWORD = "seven tall giraffes drink 12 lakes"
KINDS = tuple(CodePurpose)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with open_post_office(tmp_path_factory.mktemp("mail")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _mail(office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(office, settings, monkeypatch)
    settings.PASSWORD_HASHERS = ["tests.kit.mail.QuickArgon2"]


def secret(text: str) -> SecretBytes:
    return SecretBytes(text.encode())


def address() -> str:
    return f"{unique('person')}@example.org"


def log_in(email: str, password: str = PASSWORD, account: UUID | None = None) -> Principal:
    """A session, as a client gets one."""
    made = execute(ANONYMOUS, LogIn(BasicCredential(email, password)))
    if account is not None:
        execute(authenticate(f"Bearer {made.token}", clock.now()), SelectAccount(account))
    return authenticate(f"Bearer {made.token}", clock.now())


def alive(principal: Principal) -> bool:
    assert principal.session is not None
    return Session.objects.filter(id=principal.session, terminated_at__isnull=True).exists()


def can_log_in(email: str, password: str) -> bool:
    """Past the door where attempts are slowed down, which has tests of its own."""
    try:
        user_of(BasicCredential(email, password))
    except NotAuthenticated:
        return False
    return True


class Person:
    """Somebody with a code of every kind in their mailbox: invited, unconfirmed, forgetful."""

    def __init__(self, office: PostOffice, tenant: Tenant) -> None:
        self.email, self.tenant, self._office = address(), tenant, office
        invitation = InviteUser(self.email, "member", initial_password=secret(PASSWORD))
        self.id: UUID = execute(tenant.alice, invitation).user.id
        self.session = log_in(self.email)
        execute(self.session, RequestConfirmation())
        execute(ANONYMOUS, RequestPasswordReset(self.email))
        deliver()

    def code(self, kind: CodePurpose) -> str:
        """The newest of its kind."""
        paths = {
            CodePurpose.INVITATION: "/accept_invite",
            CodePurpose.CONFIRM_EMAIL: "/confirm_email",
            CodePurpose.RESET_PASSWORD: "/reset_password",
        }
        return [letter for letter in self._office.to(self.email) if paths[kind] in letter.text][-1].code

    def row(self) -> User:
        return User.objects.get(id=self.id)


def redeem(kind: CodePurpose, user: UUID, code: str, session: Principal | None = None) -> Any:
    """Use a code at one kind's door."""
    commands: dict[CodePurpose, Callable[[], Command]] = {
        CodePurpose.INVITATION: lambda: AcceptInvitation(user, secret(code), secret(OTHER_PASSWORD)),
        CodePurpose.CONFIRM_EMAIL: lambda: ConfirmAddress(user, secret(code)),
        CodePurpose.RESET_PASSWORD: lambda: ResetPassword(user, secret(code), secret(OTHER_PASSWORD)),
    }
    who = session if kind is CodePurpose.CONFIRM_EMAIL and session is not None else ANONYMOUS
    return execute(who, commands[kind]())


@pytest.fixture
def person(office: PostOffice, tenant: Tenant) -> Person:
    return Person(office, tenant)


# -- every code at every door --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_opens_its_own_door_once(person: Person, kind: CodePurpose) -> None:
    code = person.code(kind)
    redeem(kind, person.id, code, person.session)
    assert person.row().email_verified
    with pytest.raises(AccessDenied):
        redeem(kind, person.id, code, person.session)


@pytest.mark.parametrize(("kind", "door"), list(permutations(KINDS, 2)))
def test_a_code_of_one_kind_is_nothing_at_anothers_door(person: Person, kind: CodePurpose, door: CodePurpose) -> None:
    with pytest.raises(AccessDenied, match="not valid") as caught:
        redeem(door, person.id, person.code(kind), person.session)
    assert caught.value.reason == "unknown-code"
    assert not person.row().email_verified
    assert person.row().password == User.objects.get(id=person.id).password
    redeem(kind, person.id, person.code(kind), person.session)  # it was not used up by that


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_expires_to_the_second(person: Person, kind: CodePurpose) -> None:
    """No clean-up runs here: the row is there, and does not count (abuse 23)."""
    rows = OneTimeCode.objects.filter(user_id=person.id, purpose=kind)
    ends = {k: timedelta(days=7) for k in KINDS} | {
        CodePurpose.CONFIRM_EMAIL: timedelta(days=2),
        CodePurpose.RESET_PASSWORD: timedelta(hours=1),
    }
    row = rows.get()
    assert row.expires_at - row.created_at == ends[kind]
    rows.update(expires_at=clock.now())
    with pytest.raises(AccessDenied) as caught:
        redeem(kind, person.id, person.code(kind), person.session)
    assert caught.value.reason == "code-expired"
    rows.update(expires_at=clock.now() + timedelta(seconds=1))
    redeem(kind, person.id, person.code(kind), person.session)


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_is_its_persons_alone(office: PostOffice, person: Person, kind: CodePurpose) -> None:
    other = Person(office, new_tenant())
    for claimed in (other.id, uuid4()):
        for session in (person.session, other.session):
            with pytest.raises(AccessDenied, match="not valid"):
                redeem(kind, claimed, person.code(kind), session)
    assert not other.row().email_verified


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_wrong_with_a_code_is_said_alike(person: Person, kind: CodePurpose) -> None:
    good = person.code(kind)
    redeem(kind, person.id, good, person.session)
    session = log_in(person.email, PASSWORD if kind is CodePurpose.CONFIRM_EMAIL else OTHER_PASSWORD)
    tried = [
        (person.id, good),
        (person.id, "x"),
        (person.id, ""),
        (person.id, secrets.token_urlsafe(32)),
        (person.id, good + "\n"),
        (person.id, "é" * 43),
        (uuid4(), good),
    ]
    said = set()
    for claimed, code in tried:
        with pytest.raises(AccessDenied) as caught:
            redeem(kind, claimed, code, session)
        said.add((type(caught.value), str(caught.value)))
    assert len(said) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_of_32_who_use_a_code_at_once_one_wins(person: Person, kind: CodePurpose) -> None:
    code = person.code(kind)

    def attempt(_number: int) -> bool:
        try:
            redeem(kind, person.id, code, person.session)
        except AccessDenied:
            return False
        return True

    assert at_once(32, attempt).count(True) == 1


def test_a_code_is_bound_to_the_address_it_was_sent_to(person: Person) -> None:
    User.objects.filter(id=person.id).update(email=address())
    for kind in KINDS:
        with pytest.raises(AccessDenied) as caught:
            redeem(kind, person.id, person.code(kind), person.session)
        assert caught.value.reason == "code-for-another-address"


def test_a_newer_code_voids_the_older_of_its_kind_only(person: Person) -> None:
    older = {kind: person.code(kind) for kind in KINDS}
    execute(ANONYMOUS, RequestPasswordReset(person.email))
    deliver()
    assert person.code(CodePurpose.RESET_PASSWORD) != older[CodePurpose.RESET_PASSWORD]
    with pytest.raises(AccessDenied):
        redeem(CodePurpose.RESET_PASSWORD, person.id, older[CodePurpose.RESET_PASSWORD])
    redeem(CodePurpose.CONFIRM_EMAIL, person.id, older[CodePurpose.CONFIRM_EMAIL], person.session)
    redeem(CodePurpose.RESET_PASSWORD, person.id, person.code(CodePurpose.RESET_PASSWORD))


def test_a_new_password_voids_every_code_and_every_request_for_one(person: Person, office: PostOffice) -> None:
    execute(ANONYMOUS, RequestPasswordReset(person.email))
    execute(person.session, ChangePassword(secret(PASSWORD), secret(OTHER_PASSWORD)))
    before = len(office.to(person.email))
    deliver()
    assert len(office.to(person.email)) == before
    for kind in KINDS:
        with pytest.raises(AccessDenied):
            redeem(kind, person.id, person.code(kind), person.session)


def test_a_weak_password_does_not_use_a_code_up(person: Person) -> None:
    code = secret(person.code(CodePurpose.RESET_PASSWORD))
    for weak in ("short", "password1234", "a" * 40, person.email):
        with pytest.raises(ParameterInvalid):
            execute(ANONYMOUS, ResetPassword(person.id, code, secret(weak)))
    execute(ANONYMOUS, ResetPassword(person.id, code, secret(OTHER_PASSWORD)))
    assert can_log_in(person.email, OTHER_PASSWORD)


def test_no_code_lies_in_the_database(person: Person) -> None:
    stored = repr(list(OneTimeCode.objects.filter(user_id=person.id).values()))
    for kind in KINDS:
        code = person.code(kind)
        assert code not in stored
        assert code.encode().hex() not in stored


# -- passwords -----------------------------------------------------------------------------------------------------


def test_a_reset_ends_every_session_and_logs_nobody_in(person: Person) -> None:
    assert redeem(CodePurpose.RESET_PASSWORD, person.id, person.code(CodePurpose.RESET_PASSWORD)) is None
    assert not alive(person.session)
    assert Session.objects.filter(user_id=person.id, terminated_at__isnull=True).count() == 0
    assert not can_log_in(person.email, PASSWORD)
    assert can_log_in(person.email, OTHER_PASSWORD)


def test_a_change_ends_the_other_sessions(person: Person) -> None:
    other = log_in(person.email)
    execute(person.session, ChangePassword(secret(PASSWORD), secret(OTHER_PASSWORD)))
    assert alive(person.session)
    assert not alive(other)
    assert not can_log_in(person.email, PASSWORD)
    assert can_log_in(person.email, OTHER_PASSWORD)


def test_a_change_needs_the_current_password(person: Person) -> None:
    with pytest.raises(AccessDenied, match="current password"):
        execute(person.session, ChangePassword(secret("not the one at all"), secret(OTHER_PASSWORD)))
    assert can_log_in(person.email, PASSWORD)


def test_guessing_the_current_password_is_slowed_down_at_every_door_that_asks_it(person: Person) -> None:
    """One count for all of them, and for the login (abuse 32); it stays when the call fails (abuse 31)."""
    doors = [
        ChangePassword(secret("not the one at all"), secret(OTHER_PASSWORD)),
        ChangeAddress(person.id, address(), secret("not the one at all")),
    ]
    for turn in range(throttle.PASSWORD.free):
        with pytest.raises(AccessDenied, match="current password"):
            execute(person.session, doors[turn % 2])
    for command in (*doors, ChangePassword(secret(PASSWORD), secret(OTHER_PASSWORD))):
        with pytest.raises(TooManyAttempts):
            execute(person.session, command)
    with pytest.raises(TooManyAttempts):
        execute(ANONYMOUS, LogIn(BasicCredential(person.email, PASSWORD)))
    assert can_log_in(person.email, PASSWORD)


def test_an_app_has_no_password(tenant: Tenant) -> None:
    for command in (ChangePassword(secret("x"), secret(OTHER_PASSWORD)), RequestConfirmation()):
        with pytest.raises(Exception, match="app"):
            execute(tenant.app, command)


def test_a_login_with_the_old_password_never_outlives_its_change(person: Person) -> None:
    """Four log in while the password changes: whoever got in before is out, whoever came later is refused."""

    def work(number: int) -> None:
        if number == 0:
            execute(person.session, ChangePassword(secret(PASSWORD), secret(OTHER_PASSWORD)))
            return
        with contextlib.suppress(NotAuthenticated):
            log_in(person.email)

    at_once(5, work)
    running = Session.objects.filter(user_id=person.id, terminated_at__isnull=True).values_list("id", flat=True)
    assert list(running) == [person.session.session]


def test_a_new_password_does_not_stand_for_the_second_factor(person: Person) -> None:
    TotpDevice.objects.create(user_id=person.id, name="phone", confirmed=True, key_sealed=b"sealed")
    redeem(CodePurpose.RESET_PASSWORD, person.id, person.code(CodePurpose.RESET_PASSWORD))
    assert TotpDevice.objects.filter(user_id=person.id).exists()
    made = execute(ANONYMOUS, LogIn(BasicCredential(person.email, OTHER_PASSWORD)))
    assert made.lack is Lack.PROOF
    session = authenticate(f"Bearer {made.token}", clock.now())
    for command in (ChangePassword(secret(OTHER_PASSWORD), secret(PASSWORD)), RequestConfirmation(), DeleteOwnUser()):
        with pytest.raises(AccessDenied) as caught:
            execute(session, command)
        assert caught.value.reason == Lack.PROOF


def test_a_code_is_looked_at_before_it_is_used(person: Person) -> None:
    code = secret(person.code(CodePurpose.RESET_PASSWORD))
    assert execute(ANONYMOUS, CheckResetCode(person.id, code)) == person.email
    assert execute(ANONYMOUS, CheckResetCode(person.id, code)) == person.email
    with pytest.raises(AccessDenied):
        execute(ANONYMOUS, CheckResetCode(person.id, secret(person.code(CodePurpose.INVITATION))))


def test_a_session_that_a_provider_vouched_for_changes_no_password(person: Person) -> None:
    vouched = Principal(PrincipalKind.USER, person.id, None, AuthenticationMethod.OIDC, provider=uuid4())
    for command in (
        ChangePassword(secret(PASSWORD), secret(OTHER_PASSWORD)),
        RequestConfirmation(),
        ConfirmAddress(person.id, secret(person.code(CodePurpose.CONFIRM_EMAIL))),
    ):
        with pytest.raises(AccessDenied) as caught:
            execute(vouched, command)
        assert caught.value.reason == "vouched-for"


# -- invitations ---------------------------------------------------------------------------------------------------


def test_who_is_new_chooses_a_password_with_the_mailed_code(office: PostOffice, tenant: Tenant) -> None:
    email = address()
    user = execute(tenant.alice, InviteUser(email, "member")).user
    deliver()
    (letter,) = office.to(email)
    assert tenant.account.name in letter.text
    assert not can_log_in(email, OTHER_PASSWORD)
    redeem(CodePurpose.INVITATION, user.id, letter.code)
    session = log_in(email, OTHER_PASSWORD, tenant.account.id)
    assert session.account == tenant.account.id
    assert User.objects.get(id=user.id).email_verified


def test_who_has_a_confirmed_user_is_told_and_given_no_code(office: PostOffice, tenant: Tenant) -> None:
    user = new_user()
    execute(tenant.alice, InviteUser(user.email, "member"))
    deliver()
    (letter,) = office.to(user.email)
    assert "log in" in letter.text
    assert not OneTimeCode.objects.filter(user=user).exists()
    execute(log_in(user.email), ProcessInvitations(frozenset({tenant.account.id})))
    assert log_in(user.email, PASSWORD, tenant.account.id)


def test_the_mailed_code_takes_the_user_from_whoever_knows_the_first_password(person: Person) -> None:
    redeem(CodePurpose.INVITATION, person.id, person.code(CodePurpose.INVITATION))
    assert not alive(person.session)
    assert not can_log_in(person.email, PASSWORD)


def test_an_invitation_that_is_gone_has_no_code(person: Person) -> None:
    execute(person.tenant.alice, RemoveUser(person.id))
    with pytest.raises(AccessDenied) as caught:
        redeem(CodePurpose.INVITATION, person.id, person.code(CodePurpose.INVITATION))
    assert caught.value.reason == "invitation-gone"
    assert can_log_in(person.email, PASSWORD)


def test_an_accepted_invitation_sets_no_password_any_more(person: Person) -> None:
    execute(person.session, ProcessInvitations(frozenset({person.tenant.account.id})))
    with pytest.raises(AccessDenied):
        redeem(CodePurpose.INVITATION, person.id, person.code(CodePurpose.INVITATION))
    with pytest.raises(Conflict, match="accepted"):
        execute(person.tenant.alice, ResendInvitation(person.id))


def test_an_invitation_mailed_again_has_a_new_code(person: Person) -> None:
    older = person.code(CodePurpose.INVITATION)
    execute(person.tenant.alice, ResendInvitation(person.id))
    deliver()
    with pytest.raises(AccessDenied):
        redeem(CodePurpose.INVITATION, person.id, older)
    redeem(CodePurpose.INVITATION, person.id, person.code(CodePurpose.INVITATION))


def test_who_was_never_confirmed_enters_no_second_account(person: Person) -> None:
    with pytest.raises(Conflict, match="not been confirmed"):
        execute(new_tenant().alice, InviteUser(person.email, "member"))
    redeem(CodePurpose.CONFIRM_EMAIL, person.id, person.code(CodePurpose.CONFIRM_EMAIL), person.session)
    execute(new_tenant().alice, InviteUser(person.email, "member"))


def test_what_an_earlier_inviter_knows_opens_nothing_after_another_invitation(person: Person) -> None:
    """Invited with a password, enrolled with a factor, taken out again: who did that must not come in elsewhere."""
    TotpDevice.objects.create(user_id=person.id, name="theirs", key_sealed=b"sealed", confirmed=True)
    execute(person.tenant.alice, RemoveUser(person.id))
    other = new_tenant()
    invited = execute(other.alice, InviteUser(person.email, "administrator")).user
    assert invited.id != person.id
    assert not can_log_in(person.email, PASSWORD)
    assert not alive(person.session)
    assert not TotpDevice.objects.filter(user=invited).exists()


# -- addresses -----------------------------------------------------------------------------------------------------


def test_a_confirmation_needs_the_session_and_the_mailbox(office: PostOffice, person: Person) -> None:
    """Whoever set the user up with a password of their own cannot have the victim confirm it by following a link."""
    code = person.code(CodePurpose.CONFIRM_EMAIL)
    for stranger in (ANONYMOUS, Person(office, new_tenant()).session, person.tenant.alice):
        with pytest.raises(AccessDenied):
            execute(stranger, ConfirmAddress(person.id, secret(code)))
    assert execute(person.session, ConfirmAddress(person.id, secret(code))) == person.email


def test_a_confirmed_address_is_not_confirmed_again(person: Person) -> None:
    redeem(CodePurpose.CONFIRM_EMAIL, person.id, person.code(CodePurpose.CONFIRM_EMAIL), person.session)
    with pytest.raises(Conflict, match="confirmed already"):
        execute(person.session, RequestConfirmation())
    with pytest.raises(NotFound):
        execute(person.session, RequestConfirmation(person.tenant.alice.id))


def test_a_new_address_counts_when_it_is_confirmed(office: PostOffice, person: Person) -> None:
    wanted, old = address(), person.email
    with pytest.raises(AccessDenied, match="current password"):
        execute(person.session, ChangeAddress(person.id, wanted, secret("not the one at all")))
    view = execute(person.session, ChangeAddress(person.id, f" {wanted.upper()}", secret(PASSWORD)))
    assert (view.user.email, view.user.new_email) == (old, wanted)
    deliver()
    assert can_log_in(old, PASSWORD)
    assert not can_log_in(wanted, PASSWORD)
    with pytest.raises(AccessDenied):
        redeem(CodePurpose.CONFIRM_EMAIL, person.id, person.code(CodePurpose.CONFIRM_EMAIL), person.session)
    (letter,) = office.to(wanted)
    assert redeem(CodePurpose.CONFIRM_EMAIL, person.id, letter.code, person.session) == wanted
    assert can_log_in(wanted, PASSWORD)
    assert not can_log_in(old, PASSWORD)
    with pytest.raises(AccessDenied):  # what went to the old address is void
        redeem(CodePurpose.RESET_PASSWORD, person.id, person.code(CodePurpose.RESET_PASSWORD))


def test_an_address_that_is_anothers_is_asked_for_in_vain_and_nobody_learns_it(
    office: PostOffice, person: Person
) -> None:
    other = new_user()
    execute(person.session, ChangeAddress(person.id, other.email, secret(PASSWORD)))
    deliver()
    assert office.to(other.email) == []


def test_an_address_that_became_anothers_meanwhile_is_not_taken(office: PostOffice, person: Person) -> None:
    wanted = address()
    execute(person.session, ChangeAddress(person.id, wanted, secret(PASSWORD)))
    deliver()
    new_user(wanted)
    with pytest.raises(AccessDenied) as caught:
        redeem(CodePurpose.CONFIRM_EMAIL, person.id, office.to(wanted)[0].code, person.session)
    assert caught.value.reason == "address-taken"
    assert person.row().email == person.email


# -- leaving -------------------------------------------------------------------------------------------------------


def test_a_user_deletes_themselves_with_all_that_is_theirs(person: Person) -> None:
    execute(person.session, DeleteOwnUser())
    assert not User.objects.filter(id=person.id).exists()
    assert not Session.objects.filter(user_id=person.id).exists()
    assert not OneTimeCode.objects.filter(user_id=person.id).exists()
    with pytest.raises(NotAuthenticated):
        log_in(person.email)
    with pytest.raises(CredentialStale):
        execute(person.session, DeleteOwnUser())


def test_the_last_administrator_of_any_account_stays(tenant: Tenant) -> None:
    """Also of one that is not selected."""
    other = new_tenant()
    user = tenant.users["administrator"]
    Membership.objects.create(user=user, account=other.account, role="member")
    session = log_in(user.email, PASSWORD, other.account.id)
    with pytest.raises(Conflict, match="last administrator"):
        execute(session, DeleteOwnUser())
    tenant.member("administrator")
    execute(log_in(user.email), DeleteOwnUser())
    assert not User.objects.filter(id=user.id).exists()


def test_two_last_administrators_do_not_both_leave(tenant: Tenant) -> None:
    tenant.member("administrator")
    both = list(Membership.objects.filter(account=tenant.account, role="administrator").select_related("user"))

    def leave(number: int) -> bool:
        try:
            execute(log_in(both[number].user.email), DeleteOwnUser())
        except Conflict:
            return False
        return True

    assert sorted(at_once(2, leave)) == [False, True]


def test_only_a_user_that_nobody_took_for_theirs_is_deleted_by_others(person: Person) -> None:
    stale = execute(person.tenant.alice, InviteUser(address(), "member")).user
    execute(person.tenant.alice, DeleteStaleUser(stale.id))
    assert not User.objects.filter(id=stale.id).exists()
    redeem(CodePurpose.CONFIRM_EMAIL, person.id, person.code(CodePurpose.CONFIRM_EMAIL), person.session)
    members = [person.id, person.tenant.alice.id, person.tenant.member("member").id]
    for user in members:
        with pytest.raises(Conflict, match="somebody's"):
            execute(person.tenant.alice, DeleteStaleUser(user))
    with pytest.raises(NotFound):
        execute(new_tenant().alice, DeleteStaleUser(person.id))
    assert User.objects.filter(id__in=members).count() == 3


# -- every order ---------------------------------------------------------------------------------------------------


class Flows(RuleBasedStateMachine):
    """One address, its mailbox, whoever tries, and a model of what must come of it.

    ``fresh`` is the newest code of each kind that arrived and is neither used nor void; ``old`` all others. Codes that
    are tried come from the mailbox or are made up; only a fresh one at its own door may do anything.
    """

    office: PostOffice

    @initialize()
    def begin(self) -> None:
        self.tenant, self.email = new_tenant(), address()
        self.fresh: dict[CodePurpose, str] = {}
        self.old: list[str] = []
        self.asked: set[CodePurpose] = set()
        self.posted = dict.fromkeys(KINDS, 0)
        self.password: str | None = None
        self.verified = self.member = False
        self.pending = True
        self.user: UUID = execute(self.tenant.alice, InviteUser(self.email, "member")).user.id
        self.asked.add(CodePurpose.INVITATION)

    def _ask(self, kind: CodePurpose, principal: Principal, command: Command) -> None:
        """One that is due already will do; three in ten minutes are enough."""
        full = kind not in self.asked and self.posted[kind] >= outbox.MOST_IN_A_BURST
        try:
            execute(principal, command)
        except TooManyAttempts:
            assert full
            assert kind is not CodePurpose.RESET_PASSWORD
            return
        assert not full or kind is CodePurpose.RESET_PASSWORD
        if not full:
            self.asked.add(kind)

    @rule()
    def forget(self) -> None:
        self._ask(CodePurpose.RESET_PASSWORD, ANONYMOUS, RequestPasswordReset(self.email))

    @rule()
    @precondition(lambda self: self.pending)
    def invite_again(self) -> None:
        self._ask(CodePurpose.INVITATION, self.tenant.alice, ResendInvitation(self.user))

    @rule()
    @precondition(lambda self: self.password is not None and not self.verified)
    def ask_to_confirm(self) -> None:
        assert self.password is not None
        self._ask(CodePurpose.CONFIRM_EMAIL, log_in(self.email, self.password), RequestConfirmation())

    @rule()
    def mail_goes_out(self) -> None:
        before = len(self.office.to(self.email))
        deliver()
        arrived = self.office.to(self.email)[before:]
        wanted = {kind for kind in self.asked if self._has_reason(kind)}
        assert len(arrived) == len(wanted)
        for letter in arrived:
            kind = next(kind for kind, path in DOORS.items() if path in letter.text or kind in self._codeless(letter))
            self.posted[kind] += 1
            if "/sys/v1/" in letter.text:
                self._retire(kind)
                self.fresh[kind] = letter.code
        for kind in self.asked - wanted:
            self.posted[kind] += 1  # noted as done, though nothing was sent
        self.asked.clear()

    def _codeless(self, letter: Any) -> set[CodePurpose]:
        return {CodePurpose.INVITATION} if "You have a user there already" in letter.text else set()

    def _has_reason(self, kind: CodePurpose) -> bool:
        if kind is CodePurpose.INVITATION:
            return self.pending
        return kind is CodePurpose.RESET_PASSWORD or not self.verified

    def _retire(self, *kinds: CodePurpose) -> None:
        self.old += [self.fresh.pop(kind) for kind in kinds if kind in self.fresh]

    def _code(self, pick: int) -> tuple[str, CodePurpose | None]:
        """Any code that ever arrived, or one that never did."""
        known: list[tuple[str, CodePurpose | None]] = [(code, kind) for kind, code in self.fresh.items()]
        known += [(code, None) for code in [*self.old, secrets.token_urlsafe(32)]]
        return known[pick % len(known)]

    def _new_password(self) -> str:
        return f"{unique('nine green wagons')} {secrets.token_hex(4)}"

    def _set(self, password: str) -> None:
        self.password = password
        self._retire(*KINDS)
        self.asked.discard(CodePurpose.RESET_PASSWORD)

    @rule(pick=st.integers(0, 99), door=st.sampled_from([CodePurpose.INVITATION, CodePurpose.RESET_PASSWORD]))
    def redeem_for_a_password(self, pick: int, door: CodePurpose) -> None:
        code, kind = self._code(pick)
        chosen = self._new_password()
        command = AcceptInvitation if door is CodePurpose.INVITATION else ResetPassword
        good = kind is door and (door is CodePurpose.RESET_PASSWORD or self.pending)
        try:
            execute(ANONYMOUS, command(self.user, secret(code), secret(chosen)))
        except AccessDenied:
            assert not good
            return
        assert good
        self._set(chosen)
        self.verified = True
        if door is CodePurpose.INVITATION:
            self.pending, self.member = False, True

    @rule(pick=st.integers(0, 99))
    def look_at(self, pick: int) -> None:
        code, kind = self._code(pick)
        try:
            execute(ANONYMOUS, CheckResetCode(self.user, secret(code)))
        except AccessDenied:
            assert kind is not CodePurpose.RESET_PASSWORD
            return
        assert kind is CodePurpose.RESET_PASSWORD

    @rule(pick=st.integers(0, 99))
    @precondition(lambda self: self.password is not None)
    def confirm(self, pick: int) -> None:
        assert self.password is not None
        code, kind = self._code(pick)
        try:
            execute(log_in(self.email, self.password), ConfirmAddress(self.user, secret(code)))
        except AccessDenied:
            assert kind is not CodePurpose.CONFIRM_EMAIL
            return
        assert kind is CodePurpose.CONFIRM_EMAIL
        self._retire(CodePurpose.CONFIRM_EMAIL)
        self.verified = True

    @rule()
    @precondition(lambda self: self.password is not None)
    def change(self) -> None:
        assert self.password is not None
        chosen = self._new_password()
        execute(log_in(self.email, self.password), ChangePassword(secret(self.password), secret(chosen)))
        self._set(chosen)

    @rule(accept=st.booleans())
    @precondition(lambda self: self.password is not None and self.pending)
    def process(self, accept: bool) -> None:
        assert self.password is not None
        chosen = frozenset({self.tenant.account.id})
        command = ProcessInvitations(accepted=chosen) if accept else ProcessInvitations(rejected=chosen)
        execute(log_in(self.email, self.password), command)
        self.pending, self.member = False, accept

    @rule(password=st.sampled_from([PASSWORD, OTHER_PASSWORD, "", "!"]))
    def guess(self, password: str) -> None:
        assert not can_log_in(self.email, password)

    @invariant()
    def the_rows_are_what_the_model_says(self) -> None:
        if not hasattr(self, "user"):
            return
        row = User.objects.get(id=self.user)
        assert row.email_verified == self.verified
        assert row.has_usable_password() == (self.password is not None)
        assert self.password is None or row.check_password(self.password)
        membership = Membership.objects.filter(user=row).first()
        assert (membership is not None and membership.invitation_pending) == self.pending
        assert (membership is not None and not membership.invitation_pending) == self.member


DOORS = {
    CodePurpose.INVITATION: "/accept_invite",
    CodePurpose.CONFIRM_EMAIL: "/confirm_email",
    CodePurpose.RESET_PASSWORD: "/reset_password",
}


def test_no_order_of_steps_gets_past_the_mailbox(office: PostOffice) -> None:
    class Here(Flows):
        pass

    Here.office = office
    run_state_machine_as_test(
        Here,
        settings=hypothesis_settings(
            max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
