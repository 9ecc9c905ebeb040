"""`sdkms-cli ldap-auth` against a running server and a real directory, set up as the vendor's clients do it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.acceptance.conftest import Cli, Place, unique
from tests.acceptance.server import RunningServer, basic
from tests.sso.ldap.slapd import BASE, PASSWORD, PEOPLE, SERVICE, SERVICE_PASSWORD, Slapd


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    running = Slapd(Path(tmp_path_factory.mktemp("slapd")))
    running.start()
    running.populate()
    yield running
    running.stop()


class Directory:
    """The directory as a provider of the administrator's account, by the vendor's fields."""

    def __init__(self, server: RunningServer, slapd: Slapd) -> None:
        self.server, self.slapd, self._session = server, slapd, server.administrator_session()
        (self.account,) = self.ask("GET", "/sys/v1/accounts")
        self._path = f"/sys/v1/accounts/{self.account['acct_id']}"
        changed = self.ask("PATCH", self._path, {"add_ldap": [self.settings]})
        (self.id,) = changed["auth_config"]["ldap"]

    @property
    def settings(self) -> dict[str, Any]:
        pinned = base64.b64encode(self.slapd.authority.der).decode()
        role = {"$type": "Fixed", "role": ["ACCOUNTMEMBER"]}
        return {
            "name": unique("Directory"),
            "icon_url": "",
            "ldap_url": self.slapd.tls_url,
            "dn_resolution": {"method": "search-by-mail"},
            "tls": {"mode": "required", "validate_hostname": True, "ca": {"pinned": [pinned]}},
            "base_dn": BASE,
            "user_object_class": "inetOrgPerson",
            "service_account": {"dn": SERVICE, "password": SERVICE_PASSWORD},
            "authorization": {"valid_for": 3600, "user_self_provisioning": {"role_assignment": role}},
        }

    @property
    def idp_id(self) -> str:
        return base64.b64encode(UUID(self.id).bytes).decode()

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = self.server.request(method, path, body, authorization=self._session)
        assert answer.status == status, answer.text
        return answer.json if status < 300 else answer.text

    def end(self) -> None:
        self.ask("PATCH", self._path, {"del_ldap": [self.id]})


@pytest.fixture(scope="module")
def directory(server: RunningServer, slapd: Slapd) -> Iterator[Directory]:
    made = Directory(server, slapd)
    yield made
    made.end()


def test_somebody_new_comes_in_by_naming_the_directory_and_then_by_address_alone(
    directory: Directory, slapd: Slapd, cli: Cli
) -> None:
    name = unique("p")
    slapd.person(name)
    login = ("ldap-auth", "--user-email", f"{name}@example.org", "--password", PASSWORD)
    cli(*login, "--method", "ldap-basic-auth", "--idp-id", directory.idp_id)
    assert directory.account["name"] in cli("list-accounts").out
    cli("user-logout")
    cli(*login, "--account-name", directory.account["name"])
    cli("list-groups")


def test_a_wrong_password_opens_nothing(directory: Directory, slapd: Slapd, cli: Cli) -> None:
    name = unique("p")
    slapd.person(name)
    known = ("ldap-auth", "--user-email", f"{name}@example.org", "--method", "ldap-basic-auth")
    told = cli.refused(*known, "--password", "wrong", "--idp-id", directory.idp_id)
    assert "401 Invalid credentials" in told
    assert "Please use sdkms-cli user-login" in cli.refused("list-groups")


def test_a_group_of_the_directory_gives_what_the_administrator_said_until_a_sync_says_else(
    directory: Directory, slapd: Slapd, cli: Cli, place: Place
) -> None:
    name = unique("p")
    dn = slapd.person(name)
    group = slapd.group(unique("auditors"), [dn])
    mapping = {place.group: {"users": ["GROUPAUDITOR"], "apps": ["ENCRYPT"]}}
    role = directory.ask(
        "POST",
        "/sys/v1/external_roles",
        {"name": group, "kind": "ldap-group", "source_id": directory.id, "add_groups": mapping},
        status=201,
    )
    assert role["groups"] == mapping
    cli(
        *("ldap-auth", "--user-email", f"{name}@example.org", "--password", PASSWORD),
        *("--method", "ldap-basic-auth", "--idp-id", directory.idp_id),
    )
    assert place.group_name in cli("list-groups").out
    users = {user["user_email"]: user for user in directory.ask("GET", "/sys/v1/users")}
    shown = users[f"{name}@example.org"]
    assert (shown["groups"], shown["explicit_groups"]) == ({place.group: ["GROUPAUDITOR"]}, {})
    slapd.take_out_of(group, dn)
    synced = directory.ask("POST", f"/sys/v1/external_roles/{role['external_role_id']}/sync")
    assert synced["last_synced"] > role["last_synced"]
    assert place.group_name not in cli("list-groups").out


def test_settings_are_shown_without_the_password_and_kept_when_they_are_sent_back(directory: Directory) -> None:
    path = f"/sys/v1/accounts/{directory.account['acct_id']}"
    shown = directory.ask("GET", path)["auth_config"]["ldap"][directory.id]
    assert shown["service_account"] == {"dn": SERVICE, "password": ""}
    assert SERVICE_PASSWORD not in str(shown)
    again = directory.ask("PATCH", path, {"mod_ldap": {directory.id: shown}})
    assert again["auth_config"]["ldap"][directory.id] == shown
    directory.ask("POST", f"/sys/v1/identity_providers/{directory.id}/test", status=204)


def test_settings_are_tried_and_the_directory_searched(directory: Directory, slapd: Slapd) -> None:
    name = unique("p")
    slapd.person(name)
    tried = {"ldap": directory.settings, "test_credentials": {"email": f"{name}@example.org", "password": PASSWORD}}
    directory.ask("POST", "/sys/v1/ldap/test", tried, status=204)
    tried["test_credentials"] = {"dn": f"uid={name},{PEOPLE}", "password": "wrong"}
    directory.ask("POST", "/sys/v1/ldap/test", tried, status=400)
    search = {"filters": [{"name": "uid", "value": name}], "scope": "whole-subtree", "object_class": "person"}
    (found,) = directory.ask("POST", f"/sys/v1/ldap/search/{directory.id}", search)
    assert found["distinguished_name"] == f"uid={name},{PEOPLE}"
    assert found["common_name"] == [name]


def test_an_app_of_the_directory_logs_in_by_its_name(directory: Directory, slapd: Slapd, place: Place) -> None:
    name = unique("app")
    body = {
        "name": name,
        "add_groups": {place.group: ["ENCRYPT"]},
        "default_group": place.group,
        "credential": {"ldap": directory.id},
    }
    app = directory.ask("POST", "/sys/v1/apps", body, status=201)
    assert app["auth_type"] == "Ldap"
    slapd.person(name)
    login = {"method": "auth-by-app-name", "acct_id": app["acct_id"], "name": name, "password": PASSWORD}
    answer = directory.server.request("POST", "/sys/v1/session/auth", login)
    assert answer.status == 200, answer.text
    assert answer.json["entity_id"] == app["app_id"]
    session = f"Bearer {answer.json['access_token']}"
    assert directory.server.request("GET", "/crypto/v1/keys", authorization=session).status == 200
    refused = directory.server.request("POST", "/sys/v1/session/auth", authorization=basic(app["app_id"], PASSWORD))
    assert refused.status == 401
