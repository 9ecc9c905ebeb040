"""The first account and its administrator: the only rows made without a decision, once, on an empty installation."""

from __future__ import annotations

from django.db import transaction

from accounts import addresses
from accounts.credentials import new_password
from accounts.models import Account, AccountRole, Deployment, Membership, User


def first_account(email: str, account_name: str) -> str | None:
    """Make both and return the generated password, or None when an account exists already."""
    with transaction.atomic():
        deployment()
        if Account.objects.exists():
            return None
        password = new_password()
        user = User(email=addresses.normalised(email), email_verified=True)
        user.set_password(password)
        user.save()
        account = Account.objects.create(name=account_name)
        Membership.objects.create(user=user, account=account, role=AccountRole.ADMINISTRATOR)
        return password


def deployment() -> Deployment:
    """This installation's identity, made on first use."""
    existing = Deployment.objects.first()
    return existing or Deployment.objects.create()
