"""What Hypothesis draws for decisions: principals, targets and facts, over few enough values that they often meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.second_factor import Lack
from policies.decision import AccessRequest, Facts, Forbid, StepUp, Target
from policies.permissions import CATALOGUE, Permission, Scope

NOW = datetime(2026, 7, 24, 12, tzinfo=UTC)
ACCOUNTS = tuple(UUID(int=n) for n in range(1, 4))
GROUPS = tuple(UUID(int=n) for n in range(11, 16))
PERMISSIONS = tuple(Permission)
# The scopes whose permissions are granted by roles, one account at a time.
BOUND = tuple(p for p in PERMISSIONS if CATALOGUE[p].scope in (Scope.ACCOUNT, Scope.GROUP))

forbids = st.builds(
    Forbid, st.sampled_from(["object-disabled", "state-deactivated", "app-disabled"]), st.sampled_from(["one", "two"])
)
moments = st.integers(-7200, 7200).map(lambda seconds: NOW + timedelta(seconds=seconds))
step_ups = st.builds(StepUp, seconds=st.integers(0, 7200), proven_at=st.none() | moments)
permission_sets = st.frozensets(st.sampled_from(PERMISSIONS), max_size=12)
facts = st.builds(
    Facts,
    account=permission_sets,
    all_groups=permission_sets,
    groups=st.dictionaries(st.sampled_from(GROUPS), permission_sets, max_size=4),
    forbids=st.lists(forbids, max_size=2).map(tuple),
    lack=st.none() | st.sampled_from(Lack),
    step_up=st.none() | step_ups,
)
targets = st.builds(
    Target,
    kind=st.sampled_from(["object", "group", "app", "user", "account"]),
    id=st.none() | st.uuids(),
    account=st.sampled_from([*ACCOUNTS, None]),
    groups=st.lists(st.sampled_from(GROUPS), max_size=3, unique=True).map(tuple),
    see=st.none() | st.sampled_from([Permission.OBJECT_GET, Permission.GROUP_GET, Permission.USER_GET]),
    forbids=st.lists(forbids, max_size=2).map(tuple),
)
principals = st.builds(
    Principal,
    kind=st.sampled_from([PrincipalKind.USER, PrincipalKind.APP]),
    id=st.sampled_from([UUID(int=101), UUID(int=102)]),
    account=st.sampled_from([*ACCOUNTS, None]),
    method=st.sampled_from(list(AuthenticationMethod)),
    authenticated_at=st.none() | moments,
    session=st.none() | st.uuids(),
    expires_at=st.none() | moments,
    provider=st.none() | st.uuids(),
)
requests = st.builds(
    AccessRequest,
    principal=principals,
    permission=st.sampled_from(PERMISSIONS),
    target=targets,
    now=st.just(NOW),
)

APP = Principal(PrincipalKind.APP, UUID(int=101), ACCOUNTS[0], AuthenticationMethod.API_KEY)
EVERYTHING = Facts(frozenset(PERMISSIONS), frozenset(PERMISSIONS), dict.fromkeys(GROUPS, frozenset(PERMISSIONS)))


def target_in(groups: tuple[UUID, ...], **parts: object) -> Target:
    return Target("object", UUID(int=7), ACCOUNTS[0], groups, **parts)  # type: ignore[arg-type]
