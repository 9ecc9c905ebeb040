"""Logins by a directory's password, against a real directory: who comes in, who does not, and until when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from accounts.errors import NotAuthenticated
from accounts.models import Account, ExternalIdentity, IdentityProvider, Membership, Session, TotpDevice, User
from accounts.principal import ANONYMOUS
from accounts.second_factor import Lack
from accounts.sso import ldap, ldap_connection
from kms.audit.entry import CallContext
from kms.audit.models import AuditRecord
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import DirectoryLogin, NewSecret
from kms.operations.apps import CreateApp, UpdateApp
from kms.operations.errors import InvalidRequest, ProviderUnavailable, TooManyAttempts
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider, DeleteProvider, UpdateProvider
from kms.operations.sessions import LogIn
from kms.operations.sign_on.by_app_name import AppNameCredential
from kms.operations.sign_on.by_ldap import LdapCredential
from kms.secret import SecretBytes
from policies.permissions import Permission
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.sso.ldap.slapd import GROUPS, PASSWORD, PEOPLE, SECRETS, SERVICES, Slapd, settings_of

Make = Callable[..., IdentityProvider]


def sealed() -> dict[str, SecretBytes]:
    return {name: SecretBytes(value) for name, value in SECRETS.items()}


def log_in(provider: UUID, email: str, password: str = PASSWORD, **fields: Any) -> Any:
    return execute(ANONYMOUS, LogIn(LdapCredential(provider, email, password, **fields)))


def invited(tenant: Tenant, slapd: Slapd, role: str = "member") -> tuple[User, str]:
    """A member who is in the directory too, and the entry's name."""
    user = User.objects.get(id=tenant.member(role).id)
    name = user.email.partition("@")[0]
    return user, slapd.person(name, mail=user.email)


# -- who comes in --------------------------------------------------------------------------------------------------


def test_a_member_comes_in_by_the_directory(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    done = log_in(provider.id, f"  {user.email.upper()} ", account=tenant.account.id)
    session = Session.objects.get(id=done.session)
    assert done.entity == user.id
    assert (session.provider_id, session.account_id, session.method) == (provider.id, tenant.account.id, "ldap")


def refusals(tenant: Tenant, slapd: Slapd, provider: IdentityProvider) -> dict[str, Callable[[], Any]]:
    """Every way to be refused, by name."""
    user, _ = invited(tenant, slapd)
    stranger = unique("stranger")
    slapd.person(stranger)
    disabled, _ = invited(tenant, slapd, "auditor")
    Membership.objects.filter(user=disabled).update(enabled=False)
    member_only = User.objects.get(id=tenant.member("member").id).email
    off = execute(
        tenant.alice,
        CreateProvider("ldap", "Off", settings_of(slapd), sealed(), enabled=False),
    )
    closed = new_tenant()
    elsewhere = execute(
        closed.alice,
        CreateProvider("ldap", "D", settings_of(slapd), sealed()),
    )
    Account.objects.filter(id=closed.account.id).update(enabled=False)
    return {
        "wrong password": lambda: log_in(provider.id, user.email, "wrong"),
        "empty password": lambda: log_in(provider.id, user.email, ""),
        "unknown in both": lambda: log_in(provider.id, "nobody@example.org"),
        "not in the directory": lambda: log_in(provider.id, member_only),
        "not in the account": lambda: log_in(provider.id, f"{stranger}@example.org"),
        "disabled here": lambda: log_in(provider.id, disabled.email),
        "another account": lambda: log_in(provider.id, user.email, account=uuid4()),
        "unknown provider": lambda: log_in(uuid4(), user.email),
        "disabled provider": lambda: log_in(off.id, user.email),
        "disabled account": lambda: log_in(elsewhere.id, closed.users["administrator"].email),
        "an app's name": lambda: log_in(provider.id, str(tenant.app.id)),
    }


def test_whoever_is_refused_hears_the_same(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    heard, sessions = set(), Session.objects.count()
    for name, attempt in refusals(tenant, slapd, provider_of(tenant)).items():
        with pytest.raises(NotAuthenticated) as refused:
            attempt()
        heard.add(str(refused.value))
        record = AuditRecord.objects.filter(action="session.create").latest("sequence")
        assert (record.outcome, record.reason) == ("denied", refused.value.reason), name
    assert heard == {"Invalid credentials"}
    assert Session.objects.count() == sessions


def test_who_is_named_by_the_directory_alone_comes_in_where_the_account_says_so(
    tenant: Tenant, slapd: Slapd, provider_of: Make
) -> None:
    provider = provider_of(tenant, self_provision_role="auditor")
    name = unique("new")
    slapd.person(name)
    done = log_in(provider.id, f"{name}@example.org")
    membership = Membership.objects.get(user=done.entity, account=tenant.account)
    assert (membership.role, membership.self_provisioned) == ("auditor", True)
    assert not User.objects.get(id=done.entity).has_usable_password()


def test_another_entry_with_the_same_mail_is_another_person(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    log_in(provider.id, user.email)
    renamed = slapd.rename(dn, f"uid={unique('renamed')}")
    log_in(provider.id, user.email)
    slapd.delete(renamed)
    slapd.person(unique("successor"), mail=user.email)
    with pytest.raises(NotAuthenticated) as refused:
        log_in(provider.id, user.email)
    assert refused.value.reason == "another-subject"
    assert ExternalIdentity.objects.filter(user=user).count() == 1


def test_a_person_whose_address_changed_there_is_still_who_they_were(
    tenant: Tenant, slapd: Slapd, provider_of: Make
) -> None:
    """Their new address is another member's here: the entry decides, not the address."""
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    log_in(provider.id, user.email)
    other = User.objects.get(id=tenant.member("administrator").id)
    slapd.change(dn, mail=other.email)
    assert log_in(provider.id, other.email).entity == user.id


def test_an_account_that_is_not_ones_own_is_not_reached(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    """A tenant's own directory states whatever addresses it likes; it counts in that tenant only."""
    victim = new_tenant()
    provider = provider_of(tenant, self_provision_role="member")
    email = victim.users["administrator"].email
    slapd.person(unique("evil"), mail=email)
    done = log_in(provider.id, email)
    session = Session.objects.get(id=done.session)
    assert session.account_id == tenant.account.id
    with pytest.raises(NotAuthenticated):
        log_in(provider.id, email, account=victim.account.id)


def test_the_persons_own_second_factor_still_counts(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    assert log_in(provider.id, user.email).lack is None
    TotpDevice.objects.create(user=user, name="phone", key_sealed=b"x", confirmed=True)
    assert log_in(provider.id, user.email).lack is Lack.PROOF


# -- until when ----------------------------------------------------------------------------------------------------


def test_a_session_lasts_as_long_as_the_account_trusts_the_answer(
    tenant: Tenant, slapd: Slapd, provider_of: Make
) -> None:
    provider = provider_of(tenant, valid_for=90)
    user, _ = invited(tenant, slapd)
    session = Session.objects.get(id=log_in(provider.id, user.email).session)
    assert session.expires_at - session.authenticated_at == timedelta(seconds=90)


def test_a_role_may_need_a_group(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    user, dn = invited(tenant, slapd)
    auditor, _ = invited(tenant, slapd, "auditor")
    group = slapd.group(unique("allowed"))
    provider = provider_of(tenant, required_groups={"member": group.upper()})
    with pytest.raises(NotAuthenticated) as refused:
        log_in(provider.id, user.email)
    assert refused.value.reason == "not-in-required-group"
    assert not ExternalIdentity.objects.filter(user=user).exists()
    slapd.put_into(group, dn)
    assert log_in(provider.id, user.email).entity == user.id
    assert log_in(provider.id, auditor.email).entity == auditor.id


def test_a_changed_or_deleted_directory_ends_what_it_opened(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    first = log_in(provider.id, user.email)
    execute(tenant.alice, UpdateProvider(provider.id, config=settings_of(slapd, valid_for=600)))
    assert Session.objects.get(id=first.session).terminated_at is not None
    second = log_in(provider.id, user.email)
    execute(tenant.alice, DeleteProvider(provider.id))
    assert not Session.objects.filter(id=second.session, terminated_at=None).exists()
    with pytest.raises(NotAuthenticated):
        log_in(provider.id, user.email)


def test_an_answer_to_other_settings_counts_for_nothing(
    tenant: Tenant, slapd: Slapd, provider_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings change between the directory's answer and the transaction."""
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    asked = ldap.person

    def meanwhile(*arguments: Any) -> Any:
        found = asked(*arguments)
        execute(tenant.alice, UpdateProvider(provider.id, config=settings_of(slapd, valid_for=61)))
        return found

    monkeypatch.setattr(ldap, "person", meanwhile)
    with pytest.raises(NotAuthenticated) as refused:
        log_in(provider.id, user.email)
    assert refused.value.reason == "provider-changed"


# -- when it fails -------------------------------------------------------------------------------------------------


def test_a_dead_directory_is_said_to_be_so_and_lets_nobody_in(
    tenant: Tenant, tmp_path: Path, provider_of: Make
) -> None:
    own = Slapd(tmp_path)
    own.start()
    own.populate()
    user, _ = invited(tenant, own)
    provider = execute(
        tenant.alice,
        CreateProvider("ldap", "D", settings_of(own), sealed()),
    )
    log_in(provider.id, user.email)
    own.stop(kill=True)
    with pytest.raises(ProviderUnavailable) as failed:
        log_in(provider.id, user.email)
    assert "localhost" not in str(failed.value)
    assert AuditRecord.objects.filter(action="session.create").latest("sequence").reason == "provider-unavailable"


def test_a_server_without_the_library_says_so(
    tenant: Tenant, slapd: Slapd, provider_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = provider_of(tenant)

    def missing(_name: str) -> Any:
        raise ModuleNotFoundError

    monkeypatch.setattr(ldap_connection.importlib, "import_module", missing)
    with pytest.raises(InvalidRequest, match="make ldap"):
        log_in(provider.id, "a@example.org")


# -- guessing ------------------------------------------------------------------------------------------------------

SPELLINGS = ["{}", " {}", "{} ", "\t{}", "{}\n", "\u00a0{}"]


def test_guesses_are_slowed_whatever_the_spelling_and_before_the_directory_hears_them(
    tenant: Tenant, slapd: Slapd, provider_of: Make
) -> None:
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    context = CallContext(client_ip="203.0.113.9")
    ends: list[str] = []
    for number in range(12):
        form = SPELLINGS[number % len(SPELLINGS)]
        email = form.format(user.email if number % 2 else user.email.upper())
        try:
            execute(ANONYMOUS, LogIn(LdapCredential(provider.id, email, "guess")), context=context)
        except NotAuthenticated:
            ends.append("refused")
        except TooManyAttempts:
            ends.append("slowed")
    assert ends == ["refused"] * 5 + ["slowed"] * 7


def test_parallel_guesses_are_counted_one_after_the_other(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    """None of 16 at once sees an empty counter; the right password does not come through among them."""
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    context = CallContext(client_ip="203.0.113.10")
    ends: list[type[Exception]] = []

    def guess() -> None:
        try:
            execute(ANONYMOUS, LogIn(LdapCredential(provider.id, user.email, "guess")), context=context)
        except Exception as error:
            ends.append(type(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=guess) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 16
    assert ends.count(TooManyAttempts) == 11


def test_a_success_forgives_what_was_mistyped(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, _ = invited(tenant, slapd)
    for _ in range(3):
        for _ in range(3):
            with pytest.raises(NotAuthenticated):
                log_in(provider.id, user.email, "wrong")
        log_in(provider.id, user.email)


# -- apps ----------------------------------------------------------------------------------------------------------


def new_app(tenant: Tenant, provider: IdentityProvider, slapd: Slapd) -> tuple[UUID, str, str]:
    """An app that the directory knows: its id, its name, its entry."""
    name = unique("app")
    view = execute(
        tenant.alice,
        CreateApp(
            name,
            tenant.group.id,
            {tenant.group.id: frozenset({Permission.OBJECT_ENCRYPT})},
            credential=Replacement(DirectoryLogin(provider.id)),
        ),
    )
    dn = f"uid={name},{SERVICES}"
    slapd.add(dn, objectClass=["account", "simpleSecurityObject"], uid=name, userPassword=PASSWORD)
    return view.row.id, name, dn


def app_log_in(tenant: Tenant, name: str, password: str = PASSWORD) -> Any:
    return execute(ANONYMOUS, LogIn(AppNameCredential(tenant.account.id, name, password)))


def test_an_app_logs_in_by_its_name_in_the_directory(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant, valid_for=300)
    app, name, _ = new_app(tenant, provider, slapd)
    session = Session.objects.get(id=app_log_in(tenant, name).session)
    assert (session.app_id, session.provider_id, session.method) == (app, provider.id, "ldap")
    assert session.expires_at - session.authenticated_at == timedelta(seconds=300)
    for password in ("wrong", "", PASSWORD + "\0"):
        with pytest.raises(NotAuthenticated):
            app_log_in(tenant, name, password)


def test_another_entry_that_takes_the_apps_name_is_not_the_app(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    _, name, dn = new_app(tenant, provider, slapd)
    app_log_in(tenant, name)
    slapd.delete(dn)
    slapd.person(name)
    with pytest.raises(NotAuthenticated) as refused:
        app_log_in(tenant, name)
    assert refused.value.reason == "another-subject"


def test_an_app_whose_credential_was_replaced_is_not_asked_for(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    app, name, _ = new_app(tenant, provider, slapd)
    session = app_log_in(tenant, name).session
    execute(tenant.alice, UpdateApp(app, credential=Replacement(NewSecret())))
    assert Session.objects.get(id=session).terminated_at is not None
    with pytest.raises(NotAuthenticated):
        app_log_in(tenant, name)


def test_a_disabled_app_and_a_disabled_directory_let_no_app_in(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    app, name, _ = new_app(tenant, provider, slapd)
    execute(tenant.alice, UpdateApp(app, enabled=False))
    with pytest.raises(NotAuthenticated):
        app_log_in(tenant, name)
    execute(tenant.alice, UpdateApp(app, enabled=True))
    app_log_in(tenant, name)
    execute(tenant.alice, UpdateProvider(provider.id, enabled=False))
    with pytest.raises(NotAuthenticated):
        app_log_in(tenant, name)


def test_an_app_may_need_a_group_too(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    group = slapd.group(unique("apps"))
    provider = provider_of(tenant, required_groups={"app-crypto": group})
    _, name, dn = new_app(tenant, provider, slapd)
    with pytest.raises(NotAuthenticated):
        app_log_in(tenant, name)
    slapd.put_into(group, dn)
    app_log_in(tenant, name)


def test_a_persons_name_is_no_apps(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    """Who is in the directory is no app because of it, and another tenant's app is not reached."""
    provider_of(tenant)
    name = unique("p")
    slapd.person(name)
    other = new_tenant()
    other_provider = provider_of(other)
    _, app_name, _ = new_app(other, other_provider, slapd)
    for wanted in (name, f"uid={name},{PEOPLE}", app_name, GROUPS, "*"):
        with pytest.raises(NotAuthenticated):
            app_log_in(tenant, wanted)
