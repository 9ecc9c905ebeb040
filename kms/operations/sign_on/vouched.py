"""From an identity provider's word to a user of its account: who is meant, and whether they may come in.

Whoever calls this has checked the assertion. It must not know protocols, sessions, the wire or HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts.addresses import checked, normalised
from accounts.errors import NotAuthenticated
from accounts.models import (
    App,
    ExternalGrant,
    ExternalIdentity,
    ExternalRole,
    GroupMembership,
    IdentityProvider,
    Membership,
    User,
)
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.operations.command import Call

MAX_SUBJECT = 512


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a provider says of whoever logged in there.

    ``subject`` never changes and never goes to another person. ``email`` is empty unless the provider verified it.
    ``groups`` None means that the provider did not say; an empty set means none. ``ends_at`` caps the session.
    """

    provider: IdentityProvider
    subject: str
    email: str
    groups: frozenset[str] | None = None
    ends_at: datetime | None = None
    first_name: str = ""
    last_name: str = ""


def vouched_for(call: Call, assertion: Assertion, method: AuthenticationMethod) -> Principal:
    """The user that the provider means, in its account and nowhere else, or NotAuthenticated."""
    if not assertion.subject or len(assertion.subject) > MAX_SUBJECT or "\0" in assertion.subject:
        raise NotAuthenticated("subject-unusable")
    provider = provider_unchanged(assertion.provider)
    user = _known(provider, assertion) or _by_address(provider, assertion)
    membership = Membership.objects.select_for_update().filter(user=user, account_id=provider.account_id).first()
    if membership is None:
        membership = _provisioned(provider, user)
    if not membership.enabled:
        raise NotAuthenticated("user-disabled")
    if membership.invitation_pending:
        membership.invitation_pending, membership.self_provisioned = False, True
        membership.save(update_fields=["invitation_pending", "self_provisioned"])
    _link(provider, user, assertion.subject)
    if assertion.groups is not None:
        grant_roles(provider, assertion.groups, user=user)
    return Principal(
        PrincipalKind.USER,
        user.id,
        provider.account_id,
        method,
        provider=provider.id,
        expires_at=assertion.ends_at,
    )


def provider_unchanged(stated: IdentityProvider) -> IdentityProvider:
    """As it is now. Locked: a provider that is being disabled must not let one more in after its sessions were ended.

    The lock also puts the logins of one provider in a row, so that two of them cannot link one subject twice.
    """
    row = (
        IdentityProvider.objects.select_for_update(of=("self",), no_key=True)
        .select_related("account")
        .filter(id=stated.id)
        .first()
    )
    if row is None or not row.enabled or not row.account.enabled:
        raise NotAuthenticated("provider-disabled")
    if row.config != stated.config or row.secret_version != stated.secret_version:
        raise NotAuthenticated("provider-changed")
    return row


def _known(provider: IdentityProvider, assertion: Assertion) -> User | None:
    identity = ExternalIdentity.objects.filter(provider=provider, subject=assertion.subject).first()
    return None if identity is None else identity.user


def _by_address(provider: IdentityProvider, assertion: Assertion) -> User:
    """The user with this address: a member or invited, or one whom the provider may let in by itself."""
    email = normalised(assertion.email)
    if not email:
        raise NotAuthenticated("email-not-verified")
    user = User.objects.select_for_update().filter(email=email).first()
    if user is None:
        return _new_user(provider, assertion, email)
    membership = Membership.objects.filter(user=user, account_id=provider.account_id).first()
    if membership is None or membership.invitation_pending:
        _refuse_unconfirmed_stranger(user, provider, invited=membership is not None)
    return user


def _refuse_unconfirmed_stranger(user: User, provider: IdentityProvider, *, invited: bool) -> None:
    """Whoever made this user for another account may know its password, and would come into this one with it."""
    if user.email_verified:
        return
    elsewhere = Membership.objects.filter(user=user).exclude(account_id=provider.account_id).exists()
    if elsewhere or (not invited and user.has_usable_password()):
        raise NotAuthenticated("email-not-confirmed")


def _new_user(provider: IdentityProvider, assertion: Assertion, email: str) -> User:
    """Without a password. The address stays unconfirmed: one account's provider speaks for that account only."""
    if not provider.config.get("self_provision_role"):
        raise NotAuthenticated("not-a-member")
    try:
        email = checked(email)
    except ValueError:
        raise NotAuthenticated("email-unusable") from None
    user = User(email=email, first_name=assertion.first_name[:128], last_name=assertion.last_name[:128])
    user.set_unusable_password()
    user.save()
    return user


def _provisioned(provider: IdentityProvider, user: User) -> Membership:
    role = provider.config.get("self_provision_role")
    if not role:
        raise NotAuthenticated("not-a-member")
    # What is left from an earlier membership must not come back with a new one.
    ExternalGrant.objects.filter(user=user, role__account_id=provider.account_id).delete()
    GroupMembership.objects.filter(user=user, group__account_id=provider.account_id).delete()
    return Membership.objects.create(user=user, account_id=provider.account_id, role=role, self_provisioned=True)


def _link(provider: IdentityProvider, user: User, subject: str) -> None:
    """The subject that came first for a user stays theirs: an address that went to somebody else does not."""
    identity = ExternalIdentity.objects.filter(provider=provider, user=user).first()
    if identity is None:
        ExternalIdentity.objects.create(provider=provider, user=user, subject=subject)
    elif identity.subject != subject:
        raise NotAuthenticated("another-subject")


def grant_roles(provider: IdentityProvider, groups: frozenset[str], **owner: User | App) -> None:
    """Exactly the roles of these groups. A row that stays is left alone, for each change moves the owner's version."""
    wanted = {role.id for role in ExternalRole.objects.filter(provider=provider) if role.name in groups}
    held = ExternalGrant.objects.filter(role__provider=provider, **owner)
    held.exclude(role_id__in=wanted).delete()
    missing = wanted - set(held.values_list("role_id", flat=True))
    ExternalGrant.objects.bulk_create(ExternalGrant(role_id=role, **owner) for role in sorted(missing))
