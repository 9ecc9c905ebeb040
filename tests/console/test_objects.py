"""Security objects in the console: found, paged, changed, rotated, ended, one and many; by those who may only."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from accounts.clock import clock
from accounts.principal import Principal
from kms.console.objects.facts import validity_of
from kms.objects.models import SecurityObject
from kms.objects.state import KeyState
from kms.operations.command import ObjectRef
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from policies.models import ApprovalRequest
from policies.permissions import Permission
from tests.console.conftest import Site
from tests.console.looks import looked_at
from tests.console.test_sweeps import Client
from tests.kit.browser import Person
from tests.kit.objects import by_sql, id_of, row
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture
def tenant() -> Tenant:
    return new_tenant()


@pytest.fixture
def client(server: Site, tenant: Tenant) -> Iterator[Client]:
    opened = Client(server, tenant.alice)
    yield opened
    opened.close()


def names_in(page: str) -> list[str]:
    return re.findall(r'class="name"><a href="/objects/[-\w]+">([^<]+)</a>', page)


# -- the table -----------------------------------------------------------------------------------------------------


def test_the_table_is_narrowed_while_typing_and_its_address_says_so(
    tenant: Tenant, person: Callable[..., Person]
) -> None:
    for name in ("payments-eu", "payments-us", "archive"):
        tenant.key(name=name)
    visitor = person(tenant.alice)
    page = visitor.open("/objects")
    assert page.locator("tbody tr").count() == 3
    page.get_by_label("Part of the name").press_sequentially("MENTS-u")
    page.locator("tbody tr", has_text="archive").wait_for(state="detached")
    assert page.locator("tbody th").all_inner_texts() == ["payments-us"]
    page.wait_for_url("**/objects?search=MENTS-u")
    page.reload()
    assert page.locator("tbody th").all_inner_texts() == ["payments-us"]
    page.get_by_label("Type").select_option("RSA")
    page.get_by_text("Nothing matches").wait_for()
    visitor.at_ease()


def test_pages_go_through_objects_of_the_same_moment(tenant: Tenant, client: Client) -> None:
    moment = clock.now() - datetime.timedelta(days=3)
    made = {f"same-{number:03}" for number in range(103)}
    for name in made:
        tenant.key("HMAC", size=256, name=name)
    SecurityObject.objects.filter(account=tenant.account).update(created_at=moment)
    seen: list[str] = []
    path = "/objects?sort=created_at:desc&search=same"
    for size in (50, 50, 3):
        text = client.get(path).text
        found = names_in(text)
        assert len(found) == size
        seen += found
        following = re.search(r'href="(\?[^"]+)" rel="next"', text)
        path = "/objects" + following[1].replace("&amp;", "&") if following else ""
    assert not path
    assert sorted(seen) == sorted(made)


def test_filters_leave_what_they_say(tenant: Tenant, client: Client) -> None:
    other = tenant.new_group()
    guard_group(other, users(1, [tenant.alice.id]), [Permission.OBJECT_DELETE])
    tenant.key(name="plain")
    tenant.key("HMAC", size=256, name="guarded", group=other)
    ended, ending = tenant.key(name="ended"), tenant.key(name="ending")
    by_sql(ended, state=KeyState.DEACTIVATED)
    by_sql(ending, deactivation_date=clock.now() + datetime.timedelta(days=3))
    for query, expected in {
        "guarded=yes": ["guarded"],
        "guarded=no": ["ended", "ending", "plain"],
        "type=HMAC": ["guarded"],
        "state=Deactivated": ["ended"],
        "within=7": ["ending"],
        f"group={other.id}": ["guarded"],
        "sort=name:desc": ["plain", "guarded", "ending", "ended"],
        "sort=deactivation_date:asc&state=Active&type=AES": ["ending", "plain"],
    }.items():
        assert names_in(client.get(f"/objects?{query}").text) == expected, query


def test_the_table_as_a_file_has_no_material_and_no_formulas(tenant: Tenant, client: Client) -> None:
    secret = b"the material of a secret"
    key = tenant.imported("SECRET", secret, operations=["export"])
    by_sql(key, name='=cmd|" /C calc"!A0', description="+1", custom_metadata={"@owner": "-2"})
    tenant.key(name="left out by the filter")
    answer = client.post("/objects/export", {"format": "csv", "type": "SECRET"})
    assert answer.headers["Content-Disposition"].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["name"], line["description"]) for line in rows] == [('\'=cmd|" /C calc"!A0', "'+1")]
    lines = client.post("/objects/export", {"format": "ndjson", "type": "SECRET"})
    told = json.loads(lines.text)
    assert told["custom_metadata"] == {"@owner": "-2"}
    assert told["kid"] == str(key.id)
    assert not {"value", "pub_key"} & told.keys()
    assert secret.decode() not in answer.text + lines.text


# -- many at once --------------------------------------------------------------------------------------------------


def test_many_are_ended_one_by_one_and_each_says_what_came_of_it(
    tenant: Tenant, person: Callable[..., Person], axe: str
) -> None:
    other = tenant.new_group()
    reviewer = tenant.member("member")
    guard_group(other, users(1, [reviewer.id]), [Permission.OBJECT_REVOKE])
    open_key, guarded = tenant.key(name="a open"), tenant.key(name="b guarded", group=other)
    over = tenant.key(name="c over already")
    by_sql(over, state=KeyState.DEACTIVATED)
    visitor = person(tenant.alice)
    page = visitor.open("/objects")
    assert page.get_by_role("button", name="Deactivate").is_disabled()
    page.get_by_label("Choose all on this page").check()
    assert page.locator(".bulk-count").inner_text() == "3 chosen"
    page.get_by_role("button", name="Deactivate").click()
    page.get_by_role("button", name="Deactivate").click()
    page.get_by_text("Asked for approval: 1").wait_for()
    looked_at(page, axe, "objects-bulk-done")
    outcomes = page.locator("[data-outcome]").all_inner_texts()
    assert outcomes[:2] == ["Done", "Asked for approval"]
    assert outcomes[2]
    assert page.locator("progress").get_attribute("value") == "3"
    assert [row(key).state for key in (open_key, guarded)] == [KeyState.DEACTIVATED, KeyState.ACTIVE]
    assert ApprovalRequest.objects.filter(account=tenant.account).count() == 1
    visitor.at_ease()


def test_many_are_deleted_without_scripts_only_by_their_number(tenant: Tenant, client: Client) -> None:
    keys = [tenant.key(name=f"old {number}") for number in range(2)]
    chosen = {"do": "delete", "key": [str(key.id) for key in keys]}
    asked = client.post("/objects/together", chosen)
    assert asked.status_code == 200
    assert "Type 2" in asked.text
    refused = client.post("/objects/together", {**chosen, "sure": "yes", "typed": "3"})
    assert refused.status_code == 422
    assert all(row(key).deletion_date is None for key in keys)
    done = client.post("/objects/together", {**chosen, "sure": "yes", "typed": "2"})
    assert "2 done" in done.text
    assert all(row(key).deletion_date is not None for key in keys)


def test_many_get_metadata_another_group_and_new_material(tenant: Tenant, client: Client) -> None:
    keys, other = [tenant.key(name=f"key {number}") for number in range(2)], tenant.new_group()
    chosen = {"key": [str(key.id) for key in keys], "sure": "yes"}
    client.post("/objects/together", {**chosen, "do": "metadata", "name": "owner", "value": "Payments"})
    client.post("/objects/together", {**chosen, "do": "move", "group_id": str(other.id)})
    client.post("/objects/together", {**chosen, "do": "rotate", "deactivate_rotated_key": "on"})
    for key in keys:
        found = row(key)
        assert found.custom_metadata == {"owner": "Payments"}
        assert found.group_id == other.id
        assert found.replacement is not None
        assert found.state == KeyState.DEACTIVATED


# -- one object ----------------------------------------------------------------------------------------------------


def test_who_changes_what_another_changed_meanwhile_is_told(tenant: Tenant, person: Callable[..., Person]) -> None:
    key = tenant.key(name="shared", custom_metadata={"owner": "Payments"})
    visitor = person(tenant.alice)
    page = visitor.open(f"/objects/{key.id}/edit")
    page.get_by_label("Description").fill("mine")
    page.get_by_role("button", name="Another entry").click()
    page.get_by_label("Name of the entry").last.fill("ticket")
    page.get_by_label("Value of the entry").last.fill("SEC-1")
    by_sql(key, description="theirs")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Somebody changed this object meanwhile").wait_for()
    assert page.get_by_role("definition").filter(has_text="theirs").is_visible()
    assert page.get_by_label("Description").input_value() == "mine"
    assert row(key).description == "theirs"
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/objects/{key.id}")
    found = row(key)
    assert (found.description, found.custom_metadata) == ("mine", {"owner": "Payments", "ticket": "SEC-1"})
    visitor.at_ease()


def test_a_name_that_is_taken_is_said_in_the_form(tenant: Tenant, client: Client) -> None:
    tenant.key(name="taken")
    key = tenant.key(name="mine")
    page = client.get(f"/objects/{key.id}/edit").text
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen is not None
    operations = re.findall(r'value="([A-Z]+)"[^>]*checked', page)
    given = {"name": "taken", "enabled": "on", "uses": operations, "seen": seen[1]}
    answer = client.post(f"/objects/{key.id}/edit", given)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert row(key).name == "mine"


def test_rotation_makes_the_next_version_and_the_picture_shows_both(
    tenant: Tenant, person: Callable[..., Person]
) -> None:
    key = tenant.key(name="rotating")
    visitor = person(tenant.alice)
    page = visitor.open(f"/objects/{key.id}/versions")
    assert page.locator(".lineage g.here").count() == 1
    assert page.locator(".lineage svg a").count() == 0
    page.get_by_label("Every", exact=True).fill("90")
    page.get_by_label("Unit").select_option("days")
    page.get_by_role("button", name="Save the policy").click()
    page.get_by_text("The rotation policy is saved").wait_for()
    assert row(key).rotates_at is not None
    page.get_by_label("Deactivate the old key", exact=True).check()
    page.get_by_role("button", name="Rotate", exact=True).click()
    page.get_by_text("this is the new version").wait_for()
    old = row(key)
    assert old.state == KeyState.DEACTIVATED
    assert page.url.endswith(f"/objects/{old.replacement}/versions")
    assert page.locator(".lineage svg a").get_attribute("href") == f"/objects/{key.id}/versions"
    page.locator(".lineage svg a").click()
    page.wait_for_url(f"**/objects/{key.id}/versions")
    assert page.get_by_text("Another version has its name and its place").is_visible()
    visitor.at_ease()


def test_a_secret_is_rotated_to_a_value_that_is_given(tenant: Tenant, client: Client) -> None:
    """Nothing generates one, so the new value comes along; what was not taken is not shown again."""
    key = tenant.imported("SECRET", b"old password", operations=["export", "app-manageable"])
    path = f"/objects/{key.id}/versions"
    assert "New value" in client.get(path).text
    refused = client.post(path, {"do": "rotate", "value": "not-base64!", "encoding": "base64"})
    assert refused.status_code == 422
    assert "This is not base64" in refused.text
    assert "not-base64!" not in refused.text
    done = client.post(path, {"do": "rotate", "value": "new password", "encoding": "text"})
    assert done.status_code == 303, done.text
    new = ObjectRef(id=row(key).replacement)
    assert execute(tenant.app, ExportObject(new)).value.reveal() == b"new password"


def test_a_policy_is_ended_and_a_change_is_taken_back(tenant: Tenant, client: Client) -> None:
    type(tenant.account).objects.filter(id=tenant.account.id).update(undo_seconds=3600)
    key = tenant.key(name="undone")
    path = f"/objects/{key.id}/versions"
    client.post(path, {"do": "policy", "policy-number": "30", "policy-unit": "days"})
    assert row(key).rotation is not None
    client.post(path, {"do": "end-policy"})
    assert row(key).rotation is None
    client.post(f"/objects/{key.id}/deactivate", {"code": "Superseded"})
    assert row(key).state == KeyState.DEACTIVATED
    items = re.findall(r'name="item" value="([-\w]+)"', client.get(path).text)
    assert client.post(path, {"do": "revert", "item": items[0]}).status_code == 303
    assert row(key).state == KeyState.ACTIVE


def test_destroying_and_deleting_ask_for_the_name(tenant: Tenant, client: Client) -> None:
    key = tenant.key(name="ending for good")
    by_sql(key, state=KeyState.DEACTIVATED)
    for action, column in (("destroy", "destruction_date"), ("delete", "deletion_date")):
        path = f"/objects/{key.id}/{action}"
        assert client.get(path).status_code == 200
        wrong = client.post(path, {"typed": "ending"})
        assert wrong.status_code == 422
        assert "not the object&#x27;s name" in wrong.text
        assert getattr(row(key), column) is None
        assert client.post(path, {"typed": "ending for good"}).status_code == 303
        assert getattr(row(key), column) is not None
    assert "This object is deleted" in client.get(f"/objects/{key.id}").text


def test_a_compromise_keeps_its_reason_and_its_date(tenant: Tenant, client: Client) -> None:
    key = tenant.key()
    given = {"code": "KeyCompromise", "message": "on a laptop", "occurred": "2026-01-02T03:04"}
    assert client.post(f"/objects/{key.id}/compromise", given).status_code == 303
    found = row(key)
    assert found.state == KeyState.COMPROMISED
    assert found.revocation is not None
    assert found.revocation["occurred_at"].startswith("2026-01-02T03:04")
    page = client.get(f"/objects/{key.id}").text
    assert "on a laptop" in page
    assert "/compromise" not in page


def test_what_takes_a_quorum_says_so_and_asks_for_it(tenant: Tenant, client: Client) -> None:
    guard_group(tenant.group, users(1, [tenant.member("member").id]), [Permission.OBJECT_DELETE])
    key = tenant.key(name="guarded")
    assert "must approve" in client.get(f"/objects/{key.id}/delete").text
    answer = client.post(f"/objects/{key.id}/delete", {"typed": "guarded", "approval_description": "no longer used"})
    assert answer.status_code == 303
    request = ApprovalRequest.objects.get(account=tenant.account)
    assert request.description == "no longer used"
    assert str(request.id) in answer.headers["Location"]
    assert row(key).deletion_date is None


def certificate(names: list[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pay.example.org")])
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), 77, begins, begins + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_is_taken_apart_and_comes_as_a_file(tenant: Tenant, client: Client) -> None:
    der = certificate(["pay.example.org", "pay.example.net"])
    key = tenant.imported("CERTIFICATE", der)
    text = client.get(f"/objects/{key.id}").text
    for shown in ("CN=pay.example.org", "pay.example.net", "Digital signature", "Server authentication", "days left"):
        assert shown.casefold() in text.casefold(), shown
    file = client.post(f"/objects/{key.id}/certificate")
    assert x509.load_pem_x509_certificate(file.content).public_bytes(Encoding.DER) == der


def test_a_validity_has_a_share_and_a_tone() -> None:
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    told = {"not_before": begins.isoformat(), "not_after": (begins + datetime.timedelta(days=100)).isoformat()}
    found = {days: validity_of(told, begins + datetime.timedelta(days=days)) for days in (-1, 0, 50, 80, 100, 200)}
    assert [(each.percent, each.tone) for each in found.values() if each] == [
        (0, "warn"), (0, "ok"), (50, "ok"), (80, "warn"), (100, "danger"), (100, "danger"),
    ]  # fmt: skip


def test_a_public_key_is_shown_and_a_pair_is_attested(tenant: Tenant, client: Client) -> None:
    key = tenant.key("EC", curve="NistP256", name="signing")
    assert "BEGIN PUBLIC KEY" in client.get(f"/objects/{key.id}").text
    assert "BEGIN CERTIFICATE" in client.post(f"/objects/{key.id}/attest").text
    assert client.post(f"/objects/{key.id}/remove-private", {"typed": "signing"}).status_code == 303
    assert row(key).public_only


def test_a_copy_goes_to_the_group_that_was_chosen(tenant: Tenant, client: Client) -> None:
    key, other = tenant.key(name="first"), tenant.new_group()
    answer = client.post(f"/objects/{key.id}/copy", {"name": "second", "group": str(other.id)})
    made = SecurityObject.objects.get(account=tenant.account, name="second")
    assert answer.headers["Location"] == f"/objects/{made.id}"
    assert (made.copied_from, made.group_id) == (id_of(key), other.id)


def test_access_says_who_may_and_who_may_not(tenant: Tenant, client: Client) -> None:
    blind = tenant.new_app([])
    key = tenant.key(name="watched")
    text = client.get(f"/objects/{key.id}/access?permission=ENCRYPT").text
    verdicts = dict(
        re.findall(r'<th scope="row".*?/(?:apps|users)/([-\w]+)".*?class="badge" data-tone="(\w+)"', text, re.S)
    )
    assert verdicts.get(str(blind.id)) == "danger"
    assert verdicts.get(str(tenant.app.id)) == "ok"


def test_the_activity_is_the_records(tenant: Tenant, client: Client) -> None:
    key = tenant.key(name="busy")
    client.post(f"/objects/{key.id}/deactivate", {"code": "Superseded"})
    text = client.get(f"/objects/{key.id}/activity").text
    assert re.findall(r'<th scope="row">(Revoke|Create)</th>', text)[:1] == ["Revoke"]


def test_others_keys_are_not_there(tenant: Tenant, client: Client, server: Site) -> None:
    other = new_tenant()
    key = other.key(name="theirs")
    for page in ("", "/edit", "/versions", "/access", "/activity", "/delete", "/attest"):
        assert client.get(f"/objects/{key.id}{page}").status_code == 404
    client.post("/objects/together", {"do": "revoke", "key": str(key.id), "sure": "yes"})
    assert row(key).state == KeyState.ACTIVE
    member: Principal = tenant.member("member")
    hidden = tenant.key(name="hidden from members")
    watcher = Client(server, member)
    assert watcher.get(f"/objects/{hidden.id}").status_code == 404
    assert "hidden from members" not in watcher.get("/objects").text
    watcher.close()
