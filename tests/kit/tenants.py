"""Accounts for tests: Alice administers, Bob audits, Carol is a member, an app works. Made through the corridor."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import make_password

from accounts.models import Account, App, Group, Membership, User
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.crypto.operation import KeyOperation
from kms.operations.apps import AppView, CreateApp, GetAppCredential
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject, ImportObject
from kms.operations.executor import execute
from kms.operations.groups import CreateGroup
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.secret import SecretBytes
from policies.permissions import Permission
from policies.system_roles import APP_GRANTABLE

PASSWORD = "correct horse battery staple 7"


def user_principal(user: User, account: UUID | None) -> Principal:
    return Principal(PrincipalKind.USER, user.id, account, AuthenticationMethod.PASSWORD)


def app_principal(row: App) -> Principal:
    return Principal(PrincipalKind.APP, row.id, row.account_id, AuthenticationMethod.API_KEY)


@dataclass
class Tenant:
    """One account and who is in it."""

    account: Account
    alice: Principal
    group: Group
    app: Principal
    users: dict[str, User] = field(default_factory=dict)

    def member(self, role: str, *, enabled: bool = True) -> Principal:
        """Another user with an account role."""
        user = new_user()
        Membership.objects.create(user=user, account=self.account, role=role, enabled=enabled)
        self.users[role] = user
        return user_principal(user, self.account.id)

    def new_group(self, name: str | None = None) -> Group:
        created: Group = execute(self.alice, CreateGroup(name or unique("group")))
        return created

    def new_app(
        self, permissions: Iterable[Permission] = APP_GRANTABLE, group: Group | None = None, **fields: Any
    ) -> Principal:
        where = group or self.group
        view: AppView = execute(
            self.alice,
            CreateApp(unique("app"), where.id, {where.id: frozenset(permissions)}, **fields),
        )
        return app_principal(view.row)

    def api_key(self, app: Principal | None = None) -> tuple[str, str]:
        """An app's Basic credential, as username and password."""
        who = app or self.app
        found = execute(self.alice, GetAppCredential(who.id))
        return str(who.id), found.current.secret.reveal().decode()

    def key(self, kind: str = "AES", *, group: Group | None = None, **fields: Any) -> ObjectRef:
        """A new object by id; ``operations`` as usage names."""
        if kind == "AES":
            fields.setdefault("size", 256)
        operations = fields.pop("operations", None)
        template = ObjectTemplate(
            name=fields.pop("name", None) or unique(kind.lower()),
            kind=kind,
            group=(group or self.group).id,
            operations=None if operations is None else frozenset(map(KeyOperation, operations)),
            **fields,
        )
        view: ObjectView = execute(self.alice, CreateObject(template))
        return ObjectRef(id=view.row.id)

    def imported(self, kind: str, material: bytes, **fields: Any) -> ObjectRef:
        operations = fields.pop("operations", None)
        template = ObjectTemplate(
            name=unique(kind.lower()),
            kind=kind,
            group=self.group.id,
            operations=None if operations is None else frozenset(map(KeyOperation, operations)),
            **fields,
        )
        view: ObjectView = execute(self.alice, ImportObject(template, SecretBytes(material)))
        return ObjectRef(id=view.row.id)


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


@cache
def hashed(password: str) -> str:
    """Once for all users of the tests: each hash takes a tenth of a second, and thousands of users are made."""
    return make_password(password)


def new_user(email: str | None = None) -> User:
    user = User(email=email or f"{unique('user')}@example.org", email_verified=True)
    user.password = hashed(PASSWORD)
    user.save()
    return user


def new_tenant() -> Tenant:
    user = new_user()
    account = Account.objects.create(name=unique("account"))
    Membership.objects.create(user=user, account=account, role="administrator")
    alice = user_principal(user, account.id)
    group: Group = execute(alice, CreateGroup(unique("group")))
    tenant = Tenant(account, alice, group, alice, {"administrator": user})
    tenant.app = tenant.new_app()
    return tenant
