"""Quorums: one editor for all that can have one; what it would have asked of the last calls; taking it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.forms import said_plainly
from kms.console.quorums import guards, simulations, subjects, tree
from kms.console.quorums.editor import Editor, People
from kms.console.quorums.sentences import sentence_of, short_of
from kms.console.quorums.subjects import Reader, Subject
from kms.console.screens import Handler, Screen
from kms.console.visit import Visit

_TEMPLATE = "console/quorums/edit.html"
# Refusals that stand in the form. Others are a page of their own.
_MENDABLE = frozenset({400, 403, 409})


def _shower(reader: Reader) -> Handler:
    def show(visit: Visit, **ids: str) -> HttpResponse:
        subject = reader(visit, **ids)
        root = tree.read(subject.policy)
        return _page(visit, subject, Editor(root, People.of(visit, root)), subject.policy or {})

    return show


def _actor(reader: Reader) -> Handler:
    def act(visit: Visit, **ids: str) -> HttpResponse:
        subject = reader(visit, **ids)
        try:
            editor = Editor.posted(visit)
        except tree.Unreadable:
            raise Refused(400, _t("The form does not read. Load the page again.")) from None
        chosen = guards.chosen_in(subject.kind, visit.form)
        doing = visit.form.get("do", "")
        if doing == "save":
            return _save(visit, subject, editor, chosen)
        if doing == "simulate" and subject.kind == "group":
            return _simulate(visit, subject, editor, chosen)
        part = "" if not visit.by_htmx else "#reading" if doing == "read" else "#editor"
        return _page(visit, subject, editor, chosen, part=part)

    return act


def _remover(reader: Reader) -> Handler:
    def remove(visit: Visit, **ids: str) -> HttpResponse:
        subject = reader(visit, **ids)
        subject.write(visit, "remove")
        visit.forget_shell()
        visit.say(_t("The policy was taken away"))
        return visit.go(subject.back)

    return remove


def _save(visit: Visit, subject: Subject, editor: Editor, chosen: dict[str, Any]) -> HttpResponse:
    """What somebody else changed meanwhile is shown first; the next press of the button overrides it."""
    if not editor.root.members:
        return _page(visit, subject, editor, chosen, fault=_t("Add at least one member."), status=422)
    if visit.form.get("version") != subject.version:
        return _page(visit, subject, editor, chosen, changed=True, status=422)
    try:
        subject.write(visit, _policy(subject, editor, chosen))
    except ApprovalNeeded:
        raise
    except Refused as refused:
        if refused.status not in _MENDABLE:
            raise
        return _page(visit, subject, editor, chosen, fault=said_plainly(refused.message), status=422)
    visit.forget_shell()
    visit.say(_t("The policy is in force"))
    return visit.go(subject.back)


def _simulate(visit: Visit, subject: Subject, editor: Editor, chosen: dict[str, Any]) -> HttpResponse:
    policy = _policy(subject, editor, chosen) if editor.root.members else "remove"
    try:
        found = visit.call("SimulateGroupPolicy", body={"approval_policy": policy}, group_id=subject.ids["group_id"])
    except Refused as refused:
        if refused.status not in _MENDABLE:
            raise
        return _page(visit, subject, editor, chosen, fault=said_plainly(refused.message), status=422)
    return _page(visit, subject, editor, chosen, simulation=simulations.told(visit, found))


def _policy(subject: Subject, editor: Editor, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """As the API takes it: an account's stands beside what it guards, the others' among it."""
    return {"policy": editor.wire, **chosen} if subject.kind == "account" else {**editor.wire, **chosen}


def _page(
    visit: Visit,
    subject: Subject,
    editor: Editor,
    chosen: Mapping[str, Any],
    *,
    part: str = "",
    status: int = 200,
    **said: Any,
) -> HttpResponse:
    custodians = subject.kind == "custodians"
    names = editor.people.names
    given = {
        "subject": subject,
        "title": str(subjects.TITLES[subject.kind]),
        "lead": subjects.LEADS[subject.kind],
        "editor": editor,
        "top": editor.laid_out,
        "sentence": editor.sentence(custodians=custodians),
        "dangers": [] if custodians else editor.dangers(visit.user_id),
        "guarded": guards.sentences_of(subject.kind, {"": True, **chosen}) if not custodians else [],
        "removal": f"{visit.request.path}/remove",
        "in_force": sentence_of(subject.policy, names, custodians=custodians),
        "takes": short_of(subject.guarded_by),
        "always": guards.ALWAYS[subject.kind],
        "modes": [(name, *words) for name, words in guards.MODES.items()],
        "mode": guards.mode_of(chosen),
        "named": guards.NAMED.items(),
        "flags": guards.FLAGS.items(),
        "chosen": chosen,
        "description": visit.form.get("approval_description", ""),
        **said,
    }
    return visit.render(_TEMPLATE + part, given, status=status)


def _pair(name: str, route: str, reader: Reader, kind: str) -> tuple[Screen, Screen]:
    return (
        Screen(name, route, subjects.TITLES[kind], _shower(reader), _actor(reader)),
        Screen(f"remove-{name}", f"{route}/remove", _("Take the policy away"), act=_remover(reader)),
    )


SCREENS: tuple[Screen, ...] = (
    *_pair("group-quorum", "groups/<uuid:group_id>/quorum", subjects.group, "group"),
    *_pair("group-custodians", "groups/<uuid:group_id>/custodians", subjects.custodians, "custodians"),
    *_pair("account-quorum", "settings/quorum/edit", subjects.account, "account"),
    *_pair("object-quorum", "objects/<uuid:key_id>/quorum", subjects.single_object, "object"),
)
