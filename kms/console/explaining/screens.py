"""Why somebody may do something, or may not."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.quorums.sentences import ids_in, sentence_of
from kms.console.screens import Screen
from kms.console.visit import Visit

_TARGETS = ("object", "group", "app", "user")
_RULES: Mapping[str, str | Promise] = {
    "permission": _("The permission is one that there is"),
    "caller": _("They are known, and nothing forbids them everything"),
    "login": _("Their login is finished"),
    "own-login": _("It is their own login, where that is needed"),
    "account": _("An account is chosen"),
    "visible": _("They can see what it is about"),
    "granted": _("A role or a membership gives them the permission"),
    "target": _("Its state and its policies do not stand against it"),
    "fresh-proof": _("They proved themselves lately, where that is needed"),
    "quorum": _("Everybody who must approve has"),
}
_PLACES: Mapping[str, str | Promise] = {"account": _("on the account"), "all-groups": _("in all groups")}


class QuestionForm(Form):
    """Names or ids; a link from elsewhere gives ids."""

    principal = forms.CharField(
        label=_("Who"), required=False, max_length=256, help_text=_("A user or an app. Empty: you.")
    )
    permission = forms.ChoiceField(label=_("May do what"))
    about = forms.CharField(
        label=_("With what"),
        required=False,
        max_length=256,
        help_text=_("A security object, group, app or user. Empty: the account."),
    )


def show(visit: Visit) -> HttpResponse:
    permissions = visit.call("ListPermissions")
    data = _given(visit)
    form = QuestionForm(data if visit.query.get("permission") else None, initial=data)
    _choices(form, permissions)
    answer = _answer(visit, form) if form.is_bound and form.is_valid() else None
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.is_bound and not form.is_valid() else HTTPStatus.OK
    return visit.render("console/explaining/explain.html", {"form": form, "answer": answer}, status=status)


def _given(visit: Visit) -> dict[str, str]:
    """The question in the address, with names in place of ids."""
    query = {name: str(value) for name, value in visit.query.items()}
    about = query.get("about") or next((query[kind] for kind in _TARGETS if query.get(kind)), "")
    return {"principal": query.get("principal", ""), "permission": query.get("permission", ""), "about": about}


def _choices(form: QuestionForm, permissions: list[dict[str, Any]]) -> None:
    kinds: dict[str, list[tuple[str, str]]] = {}
    for each in permissions:
        sentence = str(each["sentence"])
        kinds.setdefault(each["kind"], []).append((each["name"], sentence[:1].upper() + sentence[1:]))
    titles = {"account": _t("On the account"), "group": _t("In groups")}
    field = form.fields["permission"]
    assert isinstance(field, forms.ChoiceField)  # for mypy: it is declared so
    field.choices = [("", _t("Choose")), *((titles.get(kind, kind), each) for kind, each in kinds.items())]


def _answer(visit: Visit, form: QuestionForm) -> dict[str, Any] | None:
    data = form.cleaned_data
    who = _found(visit, form, "principal", data["principal"], ("user", "app"))
    about = _found(visit, form, "about", data["about"], _TARGETS)
    if form.errors:
        return None
    query = {"permission": data["permission"], "principal": None if who is None else who[1]}
    if about is not None:
        query[about[0]] = about[1]
    found = form.attempt(visit, "ExplainAccess", query=query)
    return None if found is None else _told(visit, found)


def _found(visit: Visit, form: QuestionForm, field: str, text: str, kinds: tuple[str, ...]) -> tuple[str, str] | None:
    """Kind and id of what was named. An id's kind is what it is named as."""
    text = text.strip()
    if not text:
        return None
    if _is_id(text):
        things = visit.call("NameIds", query={"ids": text})
    else:
        things = visit.call("FindByName", query={"q": text, "limit": 20})
        exact = [thing for thing in things if thing["name"].casefold() == text.casefold()]
        things = exact or things
    things = [thing for thing in things if thing["kind"] in kinds]
    if len(things) == 1:
        return things[0]["kind"], str(things[0]["id"])
    if things:
        names = ", ".join(f"{thing['name']} ({thing['kind']})" for thing in things[:5])
        form.add_error(field, _t("Several are called like that: %(names)s. Write one in full.") % {"names": names})
    else:
        form.add_error(field, _t("Nothing that you may see is called so."))
    return None


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _told(visit: Visit, found: Mapping[str, Any]) -> dict[str, Any]:
    ((who_kind, who),), ((about_kind, about),) = found["principal"].items(), found["target"].items()
    groups = {each["place"]["group_id"] for each in found["sources"] if "group_id" in each["place"]}
    people = {identity for each in found["quorums"] for identity in ids_in(each["policy"])}
    subjects = {each["subject"] for each in found["quorums"]}
    names = visit.names({who, about, *groups, *people, *subjects, *found["missing"]})
    return {
        "verdict": "ok" if found["allowed"] else "warn" if found["needs_approval"] else "danger",
        "sentence": _sentence(found, names.get(str(who), str(who)[:8])),
        "who": names.get(str(who), str(who)[:8]),
        "who_kind": who_kind,
        "who_id": who,
        "about": _t("the account") if about_kind == "account" else names.get(str(about), str(about)[:8]),
        "permission": found["permission"],
        "checks": [_check(check, found["rule"]) for check in found["checks"]],
        "sources": [(each, _place(each["place"], names)) for each in found["sources"]],
        "forbids": found["forbids"],
        "missing": [names.get(each, each[:8]) for each in found["missing"]],
        "quorums": [
            (names.get(each["subject"], _t("the account")), sentence_of(each["policy"], names), each["met"])
            for each in found["quorums"]
        ],
    }


def _sentence(found: Mapping[str, Any], who: str) -> str:
    does = found["permission"]["sentence"]
    if found["allowed"]:
        return _t("%(who)s may %(does)s.") % {"who": who, "does": does}
    if found["needs_approval"]:
        return _t("%(who)s may %(does)s once a quorum has approved.") % {"who": who, "does": does}
    return _t("%(who)s may not %(does)s.") % {"who": who, "does": does}


def _check(check: Mapping[str, Any], deciding: str) -> dict[str, Any]:
    rule = check["rule"]
    return {
        "text": _RULES.get(rule, rule),
        "met": check["met"],
        "reason": check.get("reason", ""),
        "decides": rule == deciding,
    }


def _place(place: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if "group_id" in place:
        return _t("in the group %(group)s") % {"group": names.get(place["group_id"], place["group_id"][:8])}
    return str(next((_PLACES[name] for name in place if name in _PLACES), ""))


SCREENS: tuple[Screen, ...] = (Screen("explain", "explain", _("Who may do what"), show),)
