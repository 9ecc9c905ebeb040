"""Trying a key out: real calls with it, as its apps make them, recorded like theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from kms.console.making.fields import standing
from kms.console.making.picking import chosen_or_typed, found, with_chosen
from kms.console.making.trials import Outcome, Trial, trials_of
from kms.console.visit import Visit


def show(visit: Visit, key_id: str) -> HttpResponse:
    key = visit.call("GetSobjectById", key_id=key_id)
    trials = trials_of(key)
    wanted = visit.query.get("do", "")
    chosen = next((trial for trial in trials if trial.name == wanted), trials[0] if trials else None)
    return _page(visit, key, chosen, None if chosen is None else chosen.form(key))


def try_it(visit: Visit, key_id: str) -> HttpResponse:
    key = visit.call("GetSobjectById", key_id=key_id)
    trials = trials_of(key)
    trial = next((each for each in trials if each.name == visit.form.get("do")), trials[0] if trials else None)
    if trial is None:
        return _page(visit, key, None, None, status=422)
    given = visit.form.copy()
    if trial.name == "wrap":
        given["subject"] = chosen_or_typed(visit, "object", given.get("subject", ""), given.get("subject_text", ""))
    form = trial.form(key, given)
    outcome = _outcome(visit, trial, key, form)
    status = 422 if outcome is None else 200
    if visit.by_htmx:
        context = {"form": form, "outcome": outcome, "object": key}
        return visit.render("console/making/try_result.html", context, status=status)
    return _page(visit, key, trial, form, outcome, status=status)


def _outcome(visit: Visit, trial: Trial, key: Mapping[str, Any], form: Any) -> Outcome | None:
    if not form.is_valid():
        return None
    answer = form.attempt(visit, trial.operation, body=form.body(key), key_id=key["kid"])
    return None if answer is None else trial.outcome(form, answer)


def _page(
    visit: Visit,
    key: Mapping[str, Any],
    trial: Trial | None,
    form: Any,
    outcome: Outcome | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "object": key,
        "trials": trials_of(key),
        "trial": trial,
        "form": form,
        "outcome": outcome,
        "standing": None if trial is None else standing(visit, trial.needs, object=key["kid"]),
    }
    if trial is not None and trial.name == "wrap":
        subject = str(form["subject"].value() or "")
        context["subjects"] = with_chosen(visit, found(visit, "object", visit.form.get("subject_text", "")), [subject])
        context["chosen"] = [subject]
    return visit.render("console/making/try.html", context, status=status)
