"""The catalogue of permissions and system roles, as data. It knows no Django, rows, wire names or HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType

from accounts.principal import PrincipalKind
from accounts.second_factor import Lack


class Scope(Enum):
    """Where a permission is held."""

    PUBLIC = "public"  # anyone, also without a credential
    HOST = "host"  # the server itself, at the word of whoever runs commands on its host
    SELF = "self"  # any authenticated principal, over itself
    ACCOUNT = "account"  # given by a role in the account
    GROUP = "group"  # given in one group, or in all groups by an account role


class Permission(StrEnum):
    SESSION_CREATE = "session.create"
    SESSION_MANAGE = "session.manage"
    SESSION_LIST = "session.list"
    SECOND_FACTOR_PROVE = "second-factor.prove"
    SECOND_FACTOR_MANAGE = "second-factor.manage"
    OWN_PASSWORD = "self.password"  # noqa: S105 - a permission's name
    OWN_EMAIL = "self.email"
    OWN_USER_DELETE = "self.delete"
    USER_RESCUE = "user.rescue"
    CODE_REQUEST = "code.request"
    CODE_REDEEM = "code.redeem"
    DIGEST = "data.digest"
    CHECK_VALUE = "data.check-value"
    BATCH = "self.batch"
    PUBLIC_KEY_READ = "public-key.read"
    OWN_ACCOUNTS = "self.accounts"
    OWN_INVITATIONS = "self.invitations"
    OWN_PROFILE = "self.profile"
    LIST_VISIBLE = "self.list"

    ACCOUNT_CREATE = "account.create"
    ACCOUNT_GET = "account.get"
    ACCOUNT_UPDATE = "account.update"
    ACCOUNT_DELETE = "account.delete"
    USER_GET = "user.get"
    USER_INVITE = "user.invite"
    USER_UPDATE = "user.update"
    USER_DELETE = "user.delete"
    GROUP_CREATE = "group.create"
    AUDIT_READ_ACCOUNT = "audit.read-account"
    PLUGIN_GET = "plugin.get"
    AUTHENTICATION_MANAGE = "authentication.manage"
    EXTERNAL_ROLE_GET = "external-role.get"
    EXTERNAL_ROLE_MANAGE = "external-role.manage"
    USER_SESSIONS = "user.sessions"
    STATISTICS_READ_ACCOUNT = "statistics.read-account"

    GROUP_GET = "group.get"
    GROUP_UPDATE = "group.update"
    GROUP_DELETE = "group.delete"
    GROUP_USERS = "group.users"
    AUDIT_READ = "audit.read"
    APP_GET = "app.get"
    APP_CREATE = "app.create"
    APP_UPDATE = "app.update"
    APP_DELETE = "app.delete"
    APP_SECRET_READ = "app.read-secret"  # noqa: S105 - a permission's name
    APP_SECRET_RESET = "app.reset-secret"  # noqa: S105 - a permission's name
    OBJECT_GET = "object.get"
    OBJECT_CREATE = "object.create"
    OBJECT_UPDATE = "object.update"
    OBJECT_UPDATE_OPERATIONS = "object.update-operations"
    OBJECT_UPDATE_STATE = "object.update-enabled-state"
    OBJECT_MOVE = "object.move"
    OBJECT_ACTIVATE = "object.activate"
    OBJECT_DELETE = "object.delete"
    OBJECT_EXPORT = "object.export"
    OBJECT_ENCRYPT = "object.encrypt"
    OBJECT_DECRYPT = "object.decrypt"
    OBJECT_SIGN = "object.sign"
    OBJECT_VERIFY = "object.verify"
    OBJECT_MAC_GENERATE = "object.mac-generate"
    OBJECT_MAC_VERIFY = "object.mac-verify"
    OBJECT_WRAP = "object.wrap"
    OBJECT_UNWRAP = "object.unwrap"
    OBJECT_MANAGE = "object.manage"
    OBJECT_DERIVE = "object.derive"
    OBJECT_AGREE = "object.agree"
    OBJECT_TRANSFORM = "object.transform"
    OBJECT_MASK_DECRYPT = "object.mask-decrypt"
    OBJECT_COPY = "object.copy"
    OBJECT_ROTATE = "object.rotate"
    OBJECT_REVOKE = "object.revoke"
    OBJECT_REVERT = "object.revert"
    OBJECT_UPDATE_POLICIES = "object.update-policies"
    OBJECT_DELETE_MATERIAL = "object.delete-material"
    OBJECT_DESTROY = "object.destroy"
    OBJECT_RESTORE = "object.restore"
    OBJECT_CALCULATE_DIGEST = "object.calculate-digest"
    OBJECT_ENCAPSULATE = "object.encapsulate"
    OBJECT_DECAPSULATE = "object.decapsulate"


@dataclass(frozen=True, slots=True)
class PermissionSpec:
    """``everywhere`` demands the permission in every group of the target, not just one (an app is in several).

    ``finishes`` are the reasons of an unfinished login that do not stand against it, for it is how one finishes.
    ``sensitive`` ones ask a person for a recent proof where the account says how recent. ``identity`` ones concern the
    person in every account, so the word of one account's identity provider does not carry them.
    """

    scope: Scope
    sentence: str
    everywhere: bool = False
    finishes: frozenset[Lack] = frozenset()
    sensitive: bool = False
    identity: bool = False


_ANY_LACK = frozenset(Lack)
_ENROLMENT = frozenset({Lack.ENROLMENT})
_P, _S, _A, _G, _H = Scope.PUBLIC, Scope.SELF, Scope.ACCOUNT, Scope.GROUP, Scope.HOST

CATALOGUE: Mapping[Permission, PermissionSpec] = MappingProxyType(
    {
        Permission.SESSION_CREATE: PermissionSpec(_P, "log in"),
        Permission.SESSION_MANAGE: PermissionSpec(
            _S, "refresh, re-authenticate, end one's session, select an account", finishes=_ANY_LACK
        ),
        Permission.SESSION_LIST: PermissionSpec(_S, "list and end one's own sessions", identity=True),
        Permission.SECOND_FACTOR_PROVE: PermissionSpec(_S, "show a second factor", finishes=frozenset({Lack.PROOF})),
        Permission.SECOND_FACTOR_MANAGE: PermissionSpec(
            _S, "add and remove one's second factors", finishes=_ENROLMENT, identity=True
        ),
        Permission.OWN_PASSWORD: PermissionSpec(_S, "change one's own password", finishes=_ENROLMENT, identity=True),
        Permission.OWN_EMAIL: PermissionSpec(
            _S, "confirm and change one's own e-mail address", finishes=_ENROLMENT, identity=True
        ),
        Permission.OWN_USER_DELETE: PermissionSpec(_S, "delete oneself", sensitive=True, identity=True),
        Permission.USER_RESCUE: PermissionSpec(_H, "let a person in again who lost every way in"),
        Permission.CODE_REQUEST: PermissionSpec(_P, "ask for a code by mail"),
        Permission.CODE_REDEEM: PermissionSpec(_P, "use a code that came by mail"),
        Permission.DIGEST: PermissionSpec(_S, "hash data without a key"),
        Permission.CHECK_VALUE: PermissionSpec(_S, "compare a key that one has with its check value"),
        Permission.BATCH: PermissionSpec(_S, "send several requests as one"),
        Permission.PUBLIC_KEY_READ: PermissionSpec(_P, "read public keys that their owners publish"),
        Permission.OWN_ACCOUNTS: PermissionSpec(_S, "list the accounts one belongs to", finishes=_ENROLMENT),
        Permission.OWN_INVITATIONS: PermissionSpec(_S, "accept or reject invitations to accounts"),
        Permission.OWN_PROFILE: PermissionSpec(_S, "see one's own user or app", finishes=_ENROLMENT),
        Permission.LIST_VISIBLE: PermissionSpec(_S, "list what one may see"),
        Permission.ACCOUNT_CREATE: PermissionSpec(_A, "create another account"),
        Permission.ACCOUNT_GET: PermissionSpec(_A, "see the account"),
        Permission.ACCOUNT_UPDATE: PermissionSpec(_A, "change the account's profile"),
        Permission.ACCOUNT_DELETE: PermissionSpec(_A, "delete an empty account"),
        Permission.USER_GET: PermissionSpec(_A, "see the account's users"),
        Permission.USER_INVITE: PermissionSpec(_A, "invite users to the account"),
        Permission.USER_UPDATE: PermissionSpec(_A, "change roles of users, enable and disable them"),
        Permission.USER_DELETE: PermissionSpec(_A, "remove users from the account"),
        Permission.GROUP_CREATE: PermissionSpec(_A, "create groups"),
        Permission.AUDIT_READ_ACCOUNT: PermissionSpec(_A, "read the whole account's audit log"),
        Permission.PLUGIN_GET: PermissionSpec(_A, "list plugins"),
        Permission.AUTHENTICATION_MANAGE: PermissionSpec(
            _A, "change how people log in: second factors, identity providers", sensitive=True
        ),
        Permission.EXTERNAL_ROLE_GET: PermissionSpec(_A, "see what groups of a directory mean here"),
        Permission.EXTERNAL_ROLE_MANAGE: PermissionSpec(_A, "say what groups of a directory mean here", sensitive=True),
        Permission.USER_SESSIONS: PermissionSpec(_A, "list and end the sessions of the account's users"),
        Permission.STATISTICS_READ_ACCOUNT: PermissionSpec(_A, "read the whole account's statistics"),
        Permission.GROUP_GET: PermissionSpec(_G, "see a group"),
        Permission.GROUP_UPDATE: PermissionSpec(_G, "change a group's profile"),
        Permission.GROUP_DELETE: PermissionSpec(_G, "delete an empty group"),
        Permission.GROUP_USERS: PermissionSpec(_G, "add and remove a group's users"),
        Permission.AUDIT_READ: PermissionSpec(_G, "read the audit log of a group"),
        Permission.APP_GET: PermissionSpec(_G, "see apps"),
        Permission.APP_CREATE: PermissionSpec(_G, "create apps", everywhere=True),
        Permission.APP_UPDATE: PermissionSpec(_G, "change apps", everywhere=True),
        Permission.APP_DELETE: PermissionSpec(_G, "delete apps", everywhere=True),
        Permission.APP_SECRET_READ: PermissionSpec(_G, "read an app's API key", everywhere=True, sensitive=True),
        Permission.APP_SECRET_RESET: PermissionSpec(_G, "replace an app's API key", everywhere=True),
        Permission.OBJECT_GET: PermissionSpec(_G, "see an object's attributes and public key"),
        Permission.OBJECT_CREATE: PermissionSpec(_G, "generate or import objects"),
        Permission.OBJECT_UPDATE: PermissionSpec(_G, "change an object's name, description and metadata"),
        Permission.OBJECT_UPDATE_OPERATIONS: PermissionSpec(_G, "narrow what an object may be used for"),
        Permission.OBJECT_UPDATE_STATE: PermissionSpec(_G, "enable and disable an object"),
        Permission.OBJECT_MOVE: PermissionSpec(_G, "move an object to another group", everywhere=True),
        Permission.OBJECT_ACTIVATE: PermissionSpec(_G, "activate an object and set its cryptoperiod"),
        Permission.OBJECT_DELETE: PermissionSpec(_G, "delete an object"),
        Permission.OBJECT_EXPORT: PermissionSpec(
            _G, "take an exportable object's material out, in clear or wrapped", sensitive=True
        ),
        Permission.OBJECT_ENCRYPT: PermissionSpec(_G, "encrypt under an object"),
        Permission.OBJECT_DECRYPT: PermissionSpec(_G, "decrypt under an object"),
        Permission.OBJECT_SIGN: PermissionSpec(_G, "sign with an object"),
        Permission.OBJECT_VERIFY: PermissionSpec(_G, "verify signatures with an object"),
        Permission.OBJECT_MAC_GENERATE: PermissionSpec(_G, "make message authentication codes"),
        Permission.OBJECT_MAC_VERIFY: PermissionSpec(_G, "verify message authentication codes"),
        Permission.OBJECT_WRAP: PermissionSpec(_G, "wrap exportable objects under an object"),
        Permission.OBJECT_UNWRAP: PermissionSpec(_G, "unwrap objects under an object"),
        Permission.OBJECT_MANAGE: PermissionSpec(_G, "create, change, activate and delete objects"),
        Permission.OBJECT_DERIVE: PermissionSpec(_G, "derive objects from an object"),
        Permission.OBJECT_AGREE: PermissionSpec(_G, "agree on keys with an object"),
        Permission.OBJECT_TRANSFORM: PermissionSpec(_G, "transform an object"),
        Permission.OBJECT_MASK_DECRYPT: PermissionSpec(_G, "decrypt tokenised data with its masked part hidden"),
        Permission.OBJECT_COPY: PermissionSpec(_G, "copy an object"),
        Permission.OBJECT_ROTATE: PermissionSpec(_G, "rotate an object"),
        Permission.OBJECT_REVOKE: PermissionSpec(_G, "revoke an object"),
        Permission.OBJECT_REVERT: PermissionSpec(_G, "revert a change of an object"),
        Permission.OBJECT_UPDATE_POLICIES: PermissionSpec(_G, "change an object's own policies"),
        Permission.OBJECT_DELETE_MATERIAL: PermissionSpec(_G, "delete an object's material and keep its attributes"),
        Permission.OBJECT_DESTROY: PermissionSpec(_G, "destroy an object"),
        Permission.OBJECT_RESTORE: PermissionSpec(_G, "restore an object kept outside"),
        Permission.OBJECT_CALCULATE_DIGEST: PermissionSpec(_G, "hash an object's material"),
        Permission.OBJECT_ENCAPSULATE: PermissionSpec(_G, "encapsulate keys to an object"),
        Permission.OBJECT_DECAPSULATE: PermissionSpec(_G, "decapsulate keys with an object"),
    }
)


# Holding the key of this map is holding everything beside it.
IMPLIES: Mapping[Permission, frozenset[Permission]] = MappingProxyType(
    {
        Permission.OBJECT_MANAGE: frozenset(
            {
                Permission.OBJECT_CREATE,
                Permission.OBJECT_UPDATE,
                Permission.OBJECT_UPDATE_OPERATIONS,
                Permission.OBJECT_UPDATE_STATE,
                Permission.OBJECT_MOVE,
                Permission.OBJECT_ACTIVATE,
                Permission.OBJECT_DELETE,
                Permission.OBJECT_COPY,
                Permission.OBJECT_ROTATE,
                Permission.OBJECT_REVOKE,
                Permission.OBJECT_REVERT,
                Permission.OBJECT_UPDATE_POLICIES,
                Permission.OBJECT_DELETE_MATERIAL,
                Permission.OBJECT_DESTROY,
                Permission.OBJECT_RESTORE,
            }
        ),
    }
)


def with_implied(permissions: frozenset[Permission]) -> frozenset[Permission]:
    return permissions.union(*(IMPLIES[p] for p in permissions if p in IMPLIES))


def in_scope(scope: Scope) -> frozenset[Permission]:
    return frozenset(p for p, spec in CATALOGUE.items() if spec.scope is scope)


# -- system roles --------------------------------------------------------------------------------------------------

# Operations on data under a key are for programs: the vendor's group permissions have no flag for them either.
_DATA_OPERATIONS = frozenset(
    {
        Permission.OBJECT_ENCRYPT,
        Permission.OBJECT_DECRYPT,
        Permission.OBJECT_SIGN,
        Permission.OBJECT_VERIFY,
        Permission.OBJECT_MAC_GENERATE,
        Permission.OBJECT_MAC_VERIFY,
        Permission.OBJECT_AGREE,
        Permission.OBJECT_MASK_DECRYPT,
    }
)
GROUP_ADMINISTRATOR = in_scope(Scope.GROUP) - _DATA_OPERATIONS
GROUP_AUDITOR = frozenset({Permission.GROUP_GET, Permission.APP_GET, Permission.OBJECT_GET, Permission.AUDIT_READ})


@dataclass(frozen=True, slots=True)
class AccountRoleSpec:
    """What a role gives on the account, and in every group of it."""

    account: frozenset[Permission]
    all_groups: frozenset[Permission] = frozenset()


ACCOUNT_ROLES: Mapping[str, AccountRoleSpec] = MappingProxyType(
    {
        "administrator": AccountRoleSpec(in_scope(Scope.ACCOUNT), GROUP_ADMINISTRATOR),
        "auditor": AccountRoleSpec(
            frozenset(
                {
                    Permission.ACCOUNT_GET,
                    Permission.USER_GET,
                    Permission.AUDIT_READ_ACCOUNT,
                    Permission.EXTERNAL_ROLE_GET,
                    Permission.STATISTICS_READ_ACCOUNT,
                    Permission.PLUGIN_GET,
                }
            ),
            GROUP_AUDITOR,
        ),
        "member": AccountRoleSpec(
            frozenset({Permission.ACCOUNT_GET, Permission.USER_GET, Permission.GROUP_CREATE, Permission.PLUGIN_GET})
        ),
    }
)
GROUP_ROLES: Mapping[str, frozenset[Permission]] = MappingProxyType(
    {"administrator": GROUP_ADMINISTRATOR, "auditor": GROUP_AUDITOR}
)

# An app sees its own groups and their objects; everything else it is given per group, by name.
APP_MEMBER = frozenset({Permission.GROUP_GET, Permission.OBJECT_GET})
APP_GRANTABLE = frozenset(
    {
        *_DATA_OPERATIONS,
        Permission.AUDIT_READ,
        *(p for p in GROUP_ADMINISTRATOR if p.startswith("object.")),
    }
)
APP_ADMINISTRATOR = frozenset({Permission.ACCOUNT_GET, Permission.USER_GET, Permission.PLUGIN_GET})

# What the server does on its own, in every group of the account it works in.
SYSTEM_KEEPER = frozenset(
    {Permission.GROUP_GET, Permission.OBJECT_GET, Permission.OBJECT_ROTATE, Permission.OBJECT_CREATE}
)


def grantable_to(kind: PrincipalKind) -> frozenset[Permission]:
    """Every permission that some role or membership can give to this kind of principal."""
    if kind is PrincipalKind.APP:
        return APP_GRANTABLE | APP_MEMBER | APP_ADMINISTRATOR
    roles = [spec.account | spec.all_groups for spec in ACCOUNT_ROLES.values()]
    return frozenset().union(*roles, *GROUP_ROLES.values())
