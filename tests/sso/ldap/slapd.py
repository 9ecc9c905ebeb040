"""A real OpenLDAP server of one's own: mdb in a temporary folder, loopback, its own CA. People and groups to move."""

from __future__ import annotations

import importlib
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.tls import Authority, new_authority

BASE = "dc=example,dc=org"
PEOPLE, GROUPS, SERVICES = f"ou=people,{BASE}", f"ou=groups,{BASE}", f"ou=services,{BASE}"
ROOT, ROOT_PASSWORD = f"cn=root,{BASE}", "root's own"
SERVICE, SERVICE_PASSWORD = f"cn=keystead,{SERVICES}", "the service's own"
PASSWORD = "what Alice types"

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
sizelimit unlimited
allow bind_anon_dn
{more}
database mdb
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
directory {folder}/data
overlay memberof
memberof-refint true
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="{services}" by anonymous auth by dn="{service}" read by * none
access to dn.subtree="ou=hidden,{base}" by * none
access to * by dn="{service}" read by users read by anonymous read
"""


@dataclass
class Slapd:
    """The server, and an administrator's hands in it."""

    folder: Path
    port: int = 0
    tls_port: int = 0
    more: str = ""
    authority: Authority = field(default_factory=new_authority)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ldap://localhost:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://localhost:{self.tls_port}"

    def start(self) -> None:
        if not self.port:
            self.port, self.tls_port = _free_port(), _free_port()
            (self.folder / "ca.pem").write_text(self.authority.pem)
            self.authority.server(self.folder, "localhost")
            (self.folder / "data").mkdir()
            names = {"base": BASE, "root": ROOT, "password": ROOT_PASSWORD, "service": SERVICE, "services": SERVICES}
            text = _CONFIGURATION.format(folder=self.folder, more=self.more, **names)
            (self.folder / "slapd.conf").write_text(text)
        addresses = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        program = shutil.which("slapd", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "slapd"
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [program, "-h", addresses, "-f", str(self.folder / "slapd.conf"), "-d", "0"], stdout=log, stderr=log
        )
        log.close()
        self._wait()

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def _wait(self) -> None:
        for port in (self.port, self.tls_port):
            for _ in range(500):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
            else:
                raise RuntimeError((self.folder / "log").read_text())

    # -- entries -------------------------------------------------------------------------------------------------------

    def connection(self) -> Any:
        connection = importlib.import_module("ldap").initialize(f"ldap://127.0.0.1:{self.port}")
        connection.simple_bind_s(ROOT, ROOT_PASSWORD)
        return connection

    def add(self, dn: str, **attributes: str | Sequence[str]) -> str:
        rows = [(name, _octets(value)) for name, value in attributes.items()]
        connection = self.connection()
        connection.add_s(dn, rows)
        connection.unbind_s()
        return dn

    def populate(self) -> None:
        self.add(BASE, objectClass=["dcObject", "organization"], dc="example", o="Example")
        for unit in (PEOPLE, GROUPS, SERVICES, f"ou=hidden,{BASE}"):
            self.add(unit, objectClass="organizationalUnit")
        self.add(SERVICE, objectClass=["organizationalRole", "simpleSecurityObject"], userPassword=SERVICE_PASSWORD)

    def person(self, name: str, *, mail: str | None = None, password: str = PASSWORD, **more: Any) -> str:
        fields: dict[str, Any] = {"uid": name, "cn": name, "sn": name.title(), "givenName": name.title(), **more}
        classes = ["inetOrgPerson", *fields.pop("classes", [])]
        address = mail if mail is not None else f"{name}@example.org"
        dn = f"uid={importlib.import_module('ldap.dn').escape_dn_chars(name)},{PEOPLE}"
        return self.add(dn, objectClass=classes, mail=address, userPassword=password, **fields)

    def group(self, name: str, members: Sequence[str] = (), *, kind: str = "groupOfNames", **more: Any) -> str:
        attribute = {"groupOfNames": "member", "groupOfUniqueNames": "uniqueMember", "posixGroup": "memberUid"}[kind]
        held = [*members] if kind == "posixGroup" else [SERVICE, *members]
        fields: dict[str, Any] = {"objectClass": kind, "cn": name, **more}
        if held:
            fields[attribute] = held
        return self.add(f"cn={name},{GROUPS}", **fields)

    def change(self, dn: str, **attributes: str | Sequence[str] | None) -> None:
        """Replace values; None removes the attribute."""
        ldap = importlib.import_module("ldap")
        connection = self.connection()
        connection.modify_s(
            dn, [(ldap.MOD_REPLACE, name, None if v is None else _octets(v)) for name, v in attributes.items()]
        )
        connection.unbind_s()

    def put_into(self, group: str, member: str) -> None:
        self._member(group, member, "MOD_ADD")

    def take_out_of(self, group: str, member: str) -> None:
        self._member(group, member, "MOD_DELETE")

    def _member(self, group: str, member: str, how: str) -> None:
        connection = self.connection()
        connection.modify_s(group, [(getattr(importlib.import_module("ldap"), how), "member", [member.encode()])])
        connection.unbind_s()

    def rename(self, dn: str, new: str) -> str:
        connection = self.connection()
        connection.rename_s(dn, new)
        connection.unbind_s()
        return f"{new},{dn.partition(',')[2]}"

    def delete(self, dn: str) -> None:
        connection = self.connection()
        connection.delete_s(dn)
        connection.unbind_s()


def settings_of(slapd: Slapd, **changes: Any) -> dict[str, Any]:
    """Settings that work: over TLS, by mail, with the service account."""
    return {
        "url": slapd.tls_url,
        "tls": {"mode": "required", "authorities": [slapd.authority.pem]},
        "base_dn": BASE,
        "resolution": "mail",
        "user_object_class": "inetOrgPerson",
        "service_dn": SERVICE,
        **changes,
    }


SECRETS: Mapping[str, bytes] = {"service_password": SERVICE_PASSWORD.encode()}


def _octets(value: str | Sequence[str]) -> list[bytes]:
    return [text.encode() for text in ([value] if isinstance(value, str) else value)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
