"""The catalogue of permissions, as data. It knows no Django, rows, wire names or HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType

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
    RECORD_EXPORT = "record.export"
    RECORD_RETAIN = "record.retain"
    RECORD_EPOCH = "record.open-epoch"
    RECORD_FACTS = "record.facts"
    RECORD_OFFICERS = "record.set-epoch-officers"
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
    APPROVAL_REQUEST = "approval.request"
    APPROVAL_VOTE = "approval.vote"

    ACCOUNT_CREATE = "account.create"
    ACCOUNT_GET = "account.get"
    ACCOUNT_UPDATE = "account.update"
    ACCOUNT_DELETE = "account.delete"
    ACCOUNT_ATTRIBUTES = "account.update-custom-attributes"
    ACCOUNT_CLIENTS = "account.configure-clients"
    ACCOUNT_SUBSCRIPTION = "account.manage-subscription"
    ACCOUNT_QUORUM = "account.set-quorum"
    ACCOUNT_POLICY_CREATE = "account.create-policy"
    ACCOUNT_POLICY_UPDATE = "account.update-policy"
    ACCOUNT_POLICY_DELETE = "account.delete-policy"
    ACCOUNT_POLICY_MANAGE = "account.manage-policies"
    APPROVAL_EXPIRY = "approval.set-expiry"
    APPROVAL_SETTINGS = "approval.manage-settings"
    APPROVAL_GET_ALL = "approval.get-all"
    APPROVAL_REVIEW = "approval.review"
    CUSTODIAN = "custodian.act"
    LOGGING_MANAGE = "logging.manage"
    AUDIT_READ_ACCOUNT = "audit.read-account"
    STATISTICS_READ_ACCOUNT = "statistics.read-account"
    EXPIRY_ALERTS = "expiry-alert.manage"
    REPLICATION_MANAGE = "replication.manage"
    AUTHENTICATION_MANAGE = "authentication.manage"
    USER_GET = "user.get"
    USER_INVITE = "user.invite"
    USER_UPDATE_ROLE = "user.update-role"
    USER_UPDATE_STATE = "user.update-state"
    USER_SESSIONS = "user.sessions"
    USER_DELETE = "user.delete"
    USER_MANAGE = "user.manage"
    ROLE_GET = "role.get"
    ROLE_CREATE = "role.create"
    ROLE_UPDATE = "role.update"
    ROLE_DELETE = "role.delete"
    ROLE_MANAGE = "role.manage"
    EXTERNAL_ROLE_GET = "external-role.get"
    EXTERNAL_ROLE_CREATE = "external-role.create"
    EXTERNAL_ROLE_SYNC = "external-role.sync"
    EXTERNAL_ROLE_DELETE = "external-role.delete"
    EXTERNAL_ROLE_MANAGE = "external-role.manage"
    ADMIN_APP_GET = "admin-app.get"
    ADMIN_APP_CREATE = "admin-app.create"
    ADMIN_APP_UPDATE = "admin-app.update"
    ADMIN_APP_DELETE = "admin-app.delete"
    ADMIN_APP_SECRET_READ = "admin-app.read-secret"  # noqa: S105 - a permission's name
    ADMIN_APP_MANAGE = "admin-app.manage"
    GROUP_CREATE = "group.create"
    GROUP_CREATE_EXTERNAL = "group.create-external"
    PLUGIN_LIST = "plugin.list"
    PLUGIN_SIGNING = "plugin.manage-code-signing"
    CHILD_ACCOUNT_GET = "child-account.get"
    CHILD_ACCOUNT_CREATE = "child-account.create"
    CHILD_ACCOUNT_UPDATE = "child-account.update"
    CHILD_ACCOUNT_DELETE = "child-account.delete"
    CHILD_ACCOUNT_USER_GET = "child-account.get-users"
    CHILD_ACCOUNT_USER_CREATE = "child-account.create-users"
    CHILD_ACCOUNT_MANAGE = "child-account.manage"
    WORKSPACE_MANAGE = "workspace.manage"
    WORKSPACE_UNWRAP_PRIVILEGED = "workspace.unwrap-privileged"

    GROUP_GET = "group.get"
    GROUP_UPDATE = "group.update"
    GROUP_DELETE = "group.delete"
    GROUP_USERS_ADD = "group.add-users"
    GROUP_USERS_REMOVE = "group.remove-users"
    GROUP_USERS_ROLE = "group.update-user-roles"
    GROUP_USERS_MANAGE = "group.manage-users"
    GROUP_QUORUM = "group.set-quorum"
    GROUP_POLICY_CREATE = "group.create-policy"
    GROUP_POLICY_UPDATE = "group.update-policy"
    GROUP_POLICY_DELETE = "group.delete-policy"
    GROUP_POLICY_MANAGE = "group.manage-policies"
    GROUP_CUSTODIANS_CREATE = "group.create-custodian-policy"
    GROUP_CUSTODIANS_UPDATE = "group.update-custodian-policy"
    GROUP_CUSTODIANS_DELETE = "group.delete-custodian-policy"
    GROUP_CUSTODIANS_MANAGE = "group.manage-custodian-policy"
    GROUP_CLIENTS = "group.configure-clients"
    GROUP_LINKS = "group.update-external-links"
    GROUP_WRAPPING_KEY = "group.manage-wrapping-key"
    EXTERNAL_ROLE_MAP_APPS = "external-role.map-apps"
    EXTERNAL_ROLE_MAP_USERS = "external-role.map-users"
    EXTERNAL_ROLE_MAP = "external-role.map"
    APPROVAL_GET = "approval.get"
    AUDIT_READ = "audit.read"
    APP_GET = "app.get"
    APP_CREATE = "app.create"
    APP_UPDATE = "app.update"
    APP_DELETE = "app.delete"
    APP_SECRET_READ = "app.read-secret"  # noqa: S105 - a permission's name
    APP_SECRET_RESET = "app.reset-secret"  # noqa: S105 - a permission's name
    APP_MANAGE = "app.manage"
    PLUGIN_GET = "plugin.get"
    PLUGIN_CREATE = "plugin.create"
    PLUGIN_UPDATE = "plugin.update"
    PLUGIN_DELETE = "plugin.delete"
    PLUGIN_INVOKE = "plugin.invoke"
    PLUGIN_MANAGE = "plugin.manage"
    CREDENTIAL_GET = "credential.get"
    CREDENTIAL_CREATE = "credential.create"
    CREDENTIAL_UPDATE = "credential.update"
    CREDENTIAL_DELETE = "credential.delete"
    CREDENTIAL_ASSIGN = "credential.assign"
    CREDENTIAL_MANAGE = "credential.manage"
    OBJECT_GET = "object.get"
    OBJECT_CREATE = "object.create"
    OBJECT_UPDATE = "object.update"
    OBJECT_UPDATE_OPERATIONS = "object.update-operations"
    OBJECT_UPDATE_STATE = "object.update-enabled-state"
    OBJECT_UPDATE_POLICIES = "object.update-policies"
    OBJECT_MOVE = "object.move"
    OBJECT_ACTIVATE = "object.activate"
    OBJECT_ROTATE = "object.rotate"
    OBJECT_REVOKE = "object.revoke"
    OBJECT_REVERT = "object.revert"
    OBJECT_COPY = "object.copy"
    OBJECT_EXPORT = "object.export"
    OBJECT_DELETE = "object.delete"
    OBJECT_DELETE_MATERIAL = "object.delete-material"
    OBJECT_DESTROY = "object.destroy"
    OBJECT_RESTORE = "object.restore"
    OBJECT_SCAN = "object.scan-external"
    OBJECT_MANAGE = "object.manage"
    OBJECT_ENCRYPT = "object.encrypt"
    OBJECT_DECRYPT = "object.decrypt"
    OBJECT_MASK_DECRYPT = "object.mask-decrypt"
    OBJECT_SIGN = "object.sign"
    OBJECT_VERIFY = "object.verify"
    OBJECT_MAC_GENERATE = "object.mac-generate"
    OBJECT_MAC_VERIFY = "object.mac-verify"
    OBJECT_WRAP = "object.wrap"
    OBJECT_UNWRAP = "object.unwrap"
    OBJECT_DERIVE = "object.derive"
    OBJECT_AGREE = "object.agree"
    OBJECT_TRANSFORM = "object.transform"
    OBJECT_CALCULATE_DIGEST = "object.calculate-digest"
    OBJECT_ENCAPSULATE = "object.encapsulate"
    OBJECT_DECAPSULATE = "object.decapsulate"
    WORKSPACE_WRAP = "workspace.wrap"
    WORKSPACE_UNWRAP = "workspace.unwrap"
    WORKSPACE_USE = "workspace.use"


@dataclass(frozen=True, slots=True)
class PermissionSpec:
    """``implies``: whoever holds it holds these as well, and what they imply.

    ``everywhere`` demands the permission in every group of the target, not just one (an app is in several).
    ``finishes`` are the reasons of an unfinished login that do not stand against it, for it is how one finishes.
    ``sensitive`` ones ask a person for a recent proof where the account says how recent. ``identity`` ones concern the
    person in every account, so the word of one account's identity provider does not carry them.
    """

    scope: Scope
    sentence: str
    implies: frozenset[Permission] = frozenset()
    everywhere: bool = False
    finishes: frozenset[Lack] = frozenset()
    sensitive: bool = False
    identity: bool = False


_ANY_LACK = frozenset(Lack)
_ENROLMENT = frozenset({Lack.ENROLMENT})
_P, _S, _A, _G, _H = Scope.PUBLIC, Scope.SELF, Scope.ACCOUNT, Scope.GROUP, Scope.HOST


def _all(*permissions: Permission) -> frozenset[Permission]:
    return frozenset(permissions)


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
        Permission.RECORD_EXPORT: PermissionSpec(_H, "export the record of every account"),
        Permission.RECORD_RETAIN: PermissionSpec(_H, "drop old months of the record, once they are exported"),
        Permission.RECORD_EPOCH: PermissionSpec(_H, "go on with a record that was set back"),
        Permission.RECORD_FACTS: PermissionSpec(_H, "look for rows that were changed past the server, and accept them"),
        Permission.RECORD_OFFICERS: PermissionSpec(_H, "say who decides that"),
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
        Permission.APPROVAL_REQUEST: PermissionSpec(_S, "ask for approvals, see and take back what one asked for"),
        Permission.APPROVAL_VOTE: PermissionSpec(_S, "approve and deny requests that one reviews"),
        Permission.ACCOUNT_CREATE: PermissionSpec(_A, "create another account"),
        Permission.ACCOUNT_GET: PermissionSpec(_A, "see the account"),
        Permission.ACCOUNT_UPDATE: PermissionSpec(_A, "change the account's profile"),
        Permission.ACCOUNT_DELETE: PermissionSpec(_A, "delete an empty account"),
        Permission.ACCOUNT_ATTRIBUTES: PermissionSpec(_A, "change the account's custom metadata attributes"),
        Permission.ACCOUNT_CLIENTS: PermissionSpec(_A, "change the account's settings for its clients"),
        Permission.ACCOUNT_SUBSCRIPTION: PermissionSpec(_A, "manage the account's subscription"),
        Permission.ACCOUNT_QUORUM: PermissionSpec(_A, "set the account's quorum policy", sensitive=True),
        Permission.ACCOUNT_POLICY_CREATE: PermissionSpec(_A, "give the account policies on its objects"),
        Permission.ACCOUNT_POLICY_UPDATE: PermissionSpec(_A, "change the account's policies on its objects"),
        Permission.ACCOUNT_POLICY_DELETE: PermissionSpec(_A, "take away the account's policies on its objects"),
        Permission.ACCOUNT_POLICY_MANAGE: PermissionSpec(
            _A,
            "manage the account's policies on its objects",
            _all(Permission.ACCOUNT_POLICY_CREATE, Permission.ACCOUNT_POLICY_UPDATE, Permission.ACCOUNT_POLICY_DELETE),
        ),
        Permission.APPROVAL_EXPIRY: PermissionSpec(_A, "say how long requests for approval stand"),
        Permission.APPROVAL_SETTINGS: PermissionSpec(
            _A, "change what becomes of requests for approval", _all(Permission.APPROVAL_EXPIRY)
        ),
        Permission.APPROVAL_GET_ALL: PermissionSpec(_A, "see every request for approval in the account"),
        Permission.APPROVAL_REVIEW: PermissionSpec(_A, "be a reviewer of a quorum"),
        Permission.CUSTODIAN: PermissionSpec(_A, "be a custodian of key components"),
        Permission.LOGGING_MANAGE: PermissionSpec(_A, "manage where the audit log is sent"),
        Permission.AUDIT_READ_ACCOUNT: PermissionSpec(_A, "read the whole account's audit log"),
        Permission.STATISTICS_READ_ACCOUNT: PermissionSpec(_A, "read the whole account's statistics"),
        Permission.EXPIRY_ALERTS: PermissionSpec(_A, "manage alerts on keys that expire"),
        Permission.REPLICATION_MANAGE: PermissionSpec(_A, "manage replication"),
        Permission.AUTHENTICATION_MANAGE: PermissionSpec(
            _A,
            "change how people and pods log in: second factors, providers, Kubernetes clusters",
            sensitive=True,
        ),
        Permission.USER_GET: PermissionSpec(_A, "see the account's users"),
        Permission.USER_INVITE: PermissionSpec(_A, "invite users to the account", _all(Permission.USER_GET)),
        Permission.USER_UPDATE_ROLE: PermissionSpec(
            _A, "change the roles of users in the account", _all(Permission.USER_GET), sensitive=True
        ),
        Permission.USER_UPDATE_STATE: PermissionSpec(
            _A, "enable and disable users in the account", _all(Permission.USER_GET, Permission.USER_SESSIONS)
        ),
        Permission.USER_SESSIONS: PermissionSpec(
            _A, "list and end the sessions of the account's users", _all(Permission.USER_GET)
        ),
        Permission.USER_DELETE: PermissionSpec(_A, "remove users from the account", _all(Permission.USER_GET)),
        Permission.USER_MANAGE: PermissionSpec(
            _A,
            "manage the account's users",
            _all(
                Permission.USER_INVITE,
                Permission.USER_UPDATE_ROLE,
                Permission.USER_UPDATE_STATE,
                Permission.USER_DELETE,
            ),
        ),
        Permission.ROLE_GET: PermissionSpec(_A, "see roles, and why someone may or may not do something"),
        Permission.ROLE_CREATE: PermissionSpec(_A, "create roles", _all(Permission.ROLE_GET), sensitive=True),
        Permission.ROLE_UPDATE: PermissionSpec(_A, "change roles", _all(Permission.ROLE_GET), sensitive=True),
        Permission.ROLE_DELETE: PermissionSpec(_A, "delete roles", _all(Permission.ROLE_GET)),
        Permission.ROLE_MANAGE: PermissionSpec(
            _A, "manage roles", _all(Permission.ROLE_CREATE, Permission.ROLE_UPDATE, Permission.ROLE_DELETE)
        ),
        Permission.EXTERNAL_ROLE_GET: PermissionSpec(_A, "see what groups of a directory mean here"),
        Permission.EXTERNAL_ROLE_CREATE: PermissionSpec(
            _A, "say what groups of a directory mean here", _all(Permission.EXTERNAL_ROLE_GET), sensitive=True
        ),
        Permission.EXTERNAL_ROLE_SYNC: PermissionSpec(
            _A, "ask a directory who is in its groups", _all(Permission.EXTERNAL_ROLE_GET), sensitive=True
        ),
        Permission.EXTERNAL_ROLE_DELETE: PermissionSpec(
            _A, "delete external roles", _all(Permission.EXTERNAL_ROLE_GET), sensitive=True
        ),
        Permission.EXTERNAL_ROLE_MANAGE: PermissionSpec(
            _A,
            "manage external roles",
            _all(Permission.EXTERNAL_ROLE_CREATE, Permission.EXTERNAL_ROLE_SYNC, Permission.EXTERNAL_ROLE_DELETE),
            sensitive=True,
        ),
        Permission.ADMIN_APP_GET: PermissionSpec(_A, "see administrative apps"),
        Permission.ADMIN_APP_CREATE: PermissionSpec(
            _A, "create administrative apps", _all(Permission.ADMIN_APP_GET), sensitive=True
        ),
        Permission.ADMIN_APP_UPDATE: PermissionSpec(
            _A, "change administrative apps", _all(Permission.ADMIN_APP_GET), sensitive=True
        ),
        Permission.ADMIN_APP_DELETE: PermissionSpec(_A, "delete administrative apps", _all(Permission.ADMIN_APP_GET)),
        Permission.ADMIN_APP_SECRET_READ: PermissionSpec(
            _A, "read an administrative app's API key", _all(Permission.ADMIN_APP_GET), sensitive=True
        ),
        Permission.ADMIN_APP_MANAGE: PermissionSpec(
            _A,
            "manage administrative apps",
            _all(
                Permission.ADMIN_APP_CREATE,
                Permission.ADMIN_APP_UPDATE,
                Permission.ADMIN_APP_DELETE,
                Permission.ADMIN_APP_SECRET_READ,
            ),
        ),
        Permission.GROUP_CREATE: PermissionSpec(_A, "create groups"),
        Permission.GROUP_CREATE_EXTERNAL: PermissionSpec(_A, "create groups kept in another key manager"),
        Permission.PLUGIN_LIST: PermissionSpec(_A, "list plugins"),
        Permission.PLUGIN_SIGNING: PermissionSpec(_A, "say whose signature plugins need"),
        Permission.CHILD_ACCOUNT_GET: PermissionSpec(_A, "see child accounts"),
        Permission.CHILD_ACCOUNT_CREATE: PermissionSpec(
            _A, "create child accounts", _all(Permission.CHILD_ACCOUNT_GET)
        ),
        Permission.CHILD_ACCOUNT_UPDATE: PermissionSpec(
            _A, "change child accounts", _all(Permission.CHILD_ACCOUNT_GET)
        ),
        Permission.CHILD_ACCOUNT_DELETE: PermissionSpec(
            _A, "delete child accounts", _all(Permission.CHILD_ACCOUNT_GET)
        ),
        Permission.CHILD_ACCOUNT_USER_GET: PermissionSpec(_A, "see users of child accounts"),
        Permission.CHILD_ACCOUNT_USER_CREATE: PermissionSpec(
            _A, "create users in child accounts", _all(Permission.CHILD_ACCOUNT_GET, Permission.CHILD_ACCOUNT_USER_GET)
        ),
        Permission.CHILD_ACCOUNT_MANAGE: PermissionSpec(
            _A,
            "manage child accounts",
            _all(
                Permission.CHILD_ACCOUNT_CREATE,
                Permission.CHILD_ACCOUNT_UPDATE,
                Permission.CHILD_ACCOUNT_DELETE,
                Permission.CHILD_ACCOUNT_USER_CREATE,
            ),
        ),
        Permission.WORKSPACE_MANAGE: PermissionSpec(_A, "manage client-side encryption for Google Workspace"),
        Permission.WORKSPACE_UNWRAP_PRIVILEGED: PermissionSpec(_A, "unwrap any key of Google Workspace"),
        Permission.GROUP_GET: PermissionSpec(_G, "see a group"),
        Permission.GROUP_UPDATE: PermissionSpec(_G, "change a group's profile", _all(Permission.GROUP_GET)),
        Permission.GROUP_DELETE: PermissionSpec(_G, "delete an empty group", _all(Permission.GROUP_GET)),
        Permission.GROUP_USERS_ADD: PermissionSpec(_G, "add users to a group", sensitive=True),
        Permission.GROUP_USERS_REMOVE: PermissionSpec(_G, "remove users from a group"),
        Permission.GROUP_USERS_ROLE: PermissionSpec(_G, "change the roles of users in a group", sensitive=True),
        Permission.GROUP_USERS_MANAGE: PermissionSpec(
            _G,
            "manage a group's users",
            _all(Permission.GROUP_USERS_ADD, Permission.GROUP_USERS_REMOVE, Permission.GROUP_USERS_ROLE),
        ),
        Permission.GROUP_QUORUM: PermissionSpec(
            _G, "set a group's quorum policy", _all(Permission.GROUP_GET), sensitive=True
        ),
        Permission.GROUP_POLICY_CREATE: PermissionSpec(
            _G, "give a group policies on its objects", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_POLICY_UPDATE: PermissionSpec(
            _G, "change a group's policies on its objects", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_POLICY_DELETE: PermissionSpec(
            _G, "take away a group's policies on its objects", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_POLICY_MANAGE: PermissionSpec(
            _G,
            "manage a group's policies on its objects",
            _all(Permission.GROUP_POLICY_CREATE, Permission.GROUP_POLICY_UPDATE, Permission.GROUP_POLICY_DELETE),
        ),
        Permission.GROUP_CUSTODIANS_CREATE: PermissionSpec(
            _G, "name the custodians of a group", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_CUSTODIANS_UPDATE: PermissionSpec(
            _G, "change the custodians of a group", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_CUSTODIANS_DELETE: PermissionSpec(
            _G, "take the custodians of a group away", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_CUSTODIANS_MANAGE: PermissionSpec(
            _G,
            "manage the custodians of a group",
            _all(
                Permission.GROUP_CUSTODIANS_CREATE,
                Permission.GROUP_CUSTODIANS_UPDATE,
                Permission.GROUP_CUSTODIANS_DELETE,
            ),
        ),
        Permission.GROUP_CLIENTS: PermissionSpec(
            _G, "change a group's settings for its clients", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_LINKS: PermissionSpec(
            _G, "change a group's links to other key managers", _all(Permission.GROUP_GET)
        ),
        Permission.GROUP_WRAPPING_KEY: PermissionSpec(_G, "change a group's wrapping key"),
        Permission.EXTERNAL_ROLE_MAP_APPS: PermissionSpec(
            _G, "say what apps of a directory may do in a group", _all(Permission.GROUP_GET), sensitive=True
        ),
        Permission.EXTERNAL_ROLE_MAP_USERS: PermissionSpec(
            _G, "say what users of a directory may do in a group", _all(Permission.GROUP_GET), sensitive=True
        ),
        Permission.EXTERNAL_ROLE_MAP: PermissionSpec(
            _G,
            "say what a directory means in a group",
            _all(Permission.EXTERNAL_ROLE_MAP_APPS, Permission.EXTERNAL_ROLE_MAP_USERS),
        ),
        Permission.APPROVAL_GET: PermissionSpec(_G, "see requests for approval that concern a group"),
        Permission.AUDIT_READ: PermissionSpec(_G, "read the audit log of a group"),
        Permission.APP_GET: PermissionSpec(_G, "see apps"),
        Permission.APP_CREATE: PermissionSpec(_G, "create apps", _all(Permission.APP_GET), everywhere=True),
        Permission.APP_UPDATE: PermissionSpec(
            _G, "change apps", _all(Permission.APP_GET, Permission.APP_SECRET_RESET), everywhere=True
        ),
        Permission.APP_DELETE: PermissionSpec(_G, "delete apps", _all(Permission.APP_GET), everywhere=True),
        Permission.APP_SECRET_READ: PermissionSpec(
            _G, "read an app's API key", _all(Permission.APP_GET), everywhere=True, sensitive=True
        ),
        Permission.APP_SECRET_RESET: PermissionSpec(
            _G, "replace an app's API key", _all(Permission.APP_GET), everywhere=True
        ),
        Permission.APP_MANAGE: PermissionSpec(
            _G,
            "manage apps",
            _all(Permission.APP_CREATE, Permission.APP_UPDATE, Permission.APP_SECRET_READ, Permission.APP_DELETE),
        ),
        Permission.PLUGIN_GET: PermissionSpec(_G, "see plugins"),
        Permission.PLUGIN_CREATE: PermissionSpec(_G, "create plugins", _all(Permission.PLUGIN_GET)),
        Permission.PLUGIN_UPDATE: PermissionSpec(_G, "change plugins", _all(Permission.PLUGIN_GET)),
        Permission.PLUGIN_DELETE: PermissionSpec(_G, "delete plugins", _all(Permission.PLUGIN_GET)),
        Permission.PLUGIN_INVOKE: PermissionSpec(_G, "run plugins", _all(Permission.PLUGIN_GET)),
        Permission.PLUGIN_MANAGE: PermissionSpec(
            _G,
            "manage plugins",
            _all(
                Permission.PLUGIN_CREATE, Permission.PLUGIN_UPDATE, Permission.PLUGIN_DELETE, Permission.PLUGIN_INVOKE
            ),
        ),
        Permission.CREDENTIAL_GET: PermissionSpec(_G, "see credentials of clients"),
        Permission.CREDENTIAL_CREATE: PermissionSpec(
            _G, "create credentials of clients", _all(Permission.CREDENTIAL_GET)
        ),
        Permission.CREDENTIAL_UPDATE: PermissionSpec(
            _G, "change credentials of clients", _all(Permission.CREDENTIAL_GET)
        ),
        Permission.CREDENTIAL_DELETE: PermissionSpec(
            _G, "delete credentials of clients", _all(Permission.CREDENTIAL_GET)
        ),
        Permission.CREDENTIAL_ASSIGN: PermissionSpec(
            _G, "assign credentials of clients", _all(Permission.CREDENTIAL_GET)
        ),
        Permission.CREDENTIAL_MANAGE: PermissionSpec(
            _G,
            "manage credentials of clients",
            _all(
                Permission.CREDENTIAL_CREATE,
                Permission.CREDENTIAL_UPDATE,
                Permission.CREDENTIAL_DELETE,
                Permission.CREDENTIAL_ASSIGN,
            ),
        ),
        Permission.OBJECT_GET: PermissionSpec(_G, "see an object's attributes and public key"),
        Permission.OBJECT_CREATE: PermissionSpec(_G, "generate or import objects", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_UPDATE: PermissionSpec(
            _G, "change an object's name, description and metadata", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_UPDATE_OPERATIONS: PermissionSpec(
            _G, "narrow what an object may be used for", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_UPDATE_STATE: PermissionSpec(_G, "enable and disable an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_UPDATE_POLICIES: PermissionSpec(
            _G, "change an object's own policies", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_MOVE: PermissionSpec(
            _G, "move an object to another group", _all(Permission.OBJECT_GET), everywhere=True
        ),
        Permission.OBJECT_ACTIVATE: PermissionSpec(
            _G, "activate an object and set its cryptoperiod", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_ROTATE: PermissionSpec(_G, "rotate an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_REVOKE: PermissionSpec(_G, "revoke an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_REVERT: PermissionSpec(_G, "revert a change of an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_COPY: PermissionSpec(_G, "copy an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_EXPORT: PermissionSpec(
            _G,
            "take an exportable object's material out, in clear or wrapped",
            _all(Permission.OBJECT_GET),
            sensitive=True,
        ),
        Permission.OBJECT_DELETE: PermissionSpec(_G, "delete an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_DELETE_MATERIAL: PermissionSpec(
            _G, "delete an object's material and keep its attributes", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_DESTROY: PermissionSpec(_G, "destroy an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_RESTORE: PermissionSpec(_G, "restore an object kept outside", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_SCAN: PermissionSpec(
            _G, "look for objects in another key manager", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_MANAGE: PermissionSpec(
            _G,
            "create, change, activate and delete objects",
            _all(
                Permission.OBJECT_CREATE,
                Permission.OBJECT_UPDATE,
                Permission.OBJECT_UPDATE_OPERATIONS,
                Permission.OBJECT_UPDATE_STATE,
                Permission.OBJECT_UPDATE_POLICIES,
                Permission.OBJECT_MOVE,
                Permission.OBJECT_ACTIVATE,
                Permission.OBJECT_ROTATE,
                Permission.OBJECT_REVOKE,
                Permission.OBJECT_REVERT,
                Permission.OBJECT_COPY,
                Permission.OBJECT_DELETE,
                Permission.OBJECT_DELETE_MATERIAL,
                Permission.OBJECT_DESTROY,
                Permission.OBJECT_RESTORE,
            ),
        ),
        Permission.OBJECT_ENCRYPT: PermissionSpec(_G, "encrypt under an object"),
        Permission.OBJECT_DECRYPT: PermissionSpec(_G, "decrypt under an object"),
        Permission.OBJECT_MASK_DECRYPT: PermissionSpec(_G, "decrypt tokenised data with its masked part hidden"),
        Permission.OBJECT_SIGN: PermissionSpec(_G, "sign with an object"),
        Permission.OBJECT_VERIFY: PermissionSpec(_G, "verify signatures with an object"),
        Permission.OBJECT_MAC_GENERATE: PermissionSpec(_G, "make message authentication codes"),
        Permission.OBJECT_MAC_VERIFY: PermissionSpec(_G, "verify message authentication codes"),
        Permission.OBJECT_WRAP: PermissionSpec(
            _G, "wrap exportable objects under an object", _all(Permission.OBJECT_GET)
        ),
        Permission.OBJECT_UNWRAP: PermissionSpec(_G, "unwrap objects under an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_DERIVE: PermissionSpec(_G, "derive objects from an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_AGREE: PermissionSpec(_G, "agree on keys with an object"),
        Permission.OBJECT_TRANSFORM: PermissionSpec(_G, "transform an object", _all(Permission.OBJECT_GET)),
        Permission.OBJECT_CALCULATE_DIGEST: PermissionSpec(_G, "hash an object's material"),
        Permission.OBJECT_ENCAPSULATE: PermissionSpec(_G, "encapsulate keys to an object"),
        Permission.OBJECT_DECAPSULATE: PermissionSpec(_G, "decapsulate keys with an object"),
        Permission.WORKSPACE_WRAP: PermissionSpec(_G, "wrap keys of Google Workspace"),
        Permission.WORKSPACE_UNWRAP: PermissionSpec(_G, "unwrap keys of Google Workspace"),
        Permission.WORKSPACE_USE: PermissionSpec(
            _G, "wrap and unwrap keys of Google Workspace", _all(Permission.WORKSPACE_WRAP, Permission.WORKSPACE_UNWRAP)
        ),
    }
)


def _closure(permission: Permission) -> frozenset[Permission]:
    found, pending = {permission}, [permission]
    while pending:
        new = CATALOGUE[pending.pop()].implies - found
        found |= new
        pending += new
    return frozenset(found)


_IMPLIED: Mapping[Permission, frozenset[Permission]] = MappingProxyType({p: _closure(p) for p in Permission})
# Who holds the first in every group of the account holds the second on the account.
EVERYWHERE: Mapping[Permission, Permission] = MappingProxyType({Permission.AUDIT_READ: Permission.AUDIT_READ_ACCOUNT})


_BY_NAME: Mapping[str, Permission] = MappingProxyType({p.value: p for p in Permission})


def permissions_named(names: Iterable[str]) -> frozenset[Permission]:
    """The permissions that a row names. A name that is not in the catalogue (any more) gives nothing."""
    return frozenset(_BY_NAME[name] for name in names if name in _BY_NAME)


def with_implied(permissions: frozenset[Permission]) -> frozenset[Permission]:
    return permissions.union(*(_IMPLIED[p] for p in permissions))


def in_scope(scope: Scope) -> frozenset[Permission]:
    return frozenset(p for p, spec in CATALOGUE.items() if spec.scope is scope)
