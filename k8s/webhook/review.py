"""AdmissionReview v1 in, AdmissionReview v1 out: whom the webhook leaves alone, and how a verdict is put."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from k8s.webhook.injection import Injection, Lookup, inject
from k8s.webhook.objects import Pod, read_pod
from k8s.webhook.refusals import Refused
from k8s.webhook.settings import InjectionSettings
from k8s.webhook.vocabulary import PREFIX, ours

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"


class Malformed(Exception):
    """No AdmissionReview of a pod; the text says what is wrong with it."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    group: str = ""
    version: str = ""
    kind: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    uid: str
    kind: Kind
    operation: str
    namespace: str = ""
    sub_resource: str = ""
    object: Any = None
    old_object: Any = None


class _Review(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: str
    kind: str
    request: Request | None = None


_NOTHING = Injection()


@dataclass(frozen=True)
class Verdict:
    """``word`` is for metrics and logs: injected, unchanged, exempt, refused."""

    word: str
    pod: Pod
    injection: Injection = _NOTHING
    refusal: Refused | None = None


def read_review(body: bytes) -> Request:
    try:
        found = msgspec.json.decode(body, type=_Review)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not an AdmissionReview: {error}") from None
    if (found.api_version, found.kind) != (API_VERSION, KIND):
        raise Malformed(f"The body is {found.api_version} {found.kind}, and only {API_VERSION} {KIND} is understood")
    if found.request is None or not found.request.uid:
        raise Malformed("The AdmissionReview has no request with a uid")
    kind = found.request.kind
    if (kind.group, kind.version, kind.kind) != ("", "v1", "Pod"):
        raise Malformed(f"The request is about a {kind.kind or 'nothing'}, and only pods (v1) are understood")
    return found.request


async def judge(request: Request, settings: InjectionSettings, lookup: Lookup) -> Verdict:
    try:
        pod = read_pod(request.object if request.object is not None else {})
        before = read_pod(request.old_object if request.old_object is not None else {})
    except (msgspec.ValidationError, RecursionError) as error:
        raise Malformed(f"The request's object is not a pod: {error}") from None
    # A pod that is made by `kubectl` or a controller often says nothing of its namespace; the request always does.
    namespace = request.namespace or pod.metadata.namespace
    found = ours(pod.annotations)
    try:
        if request.sub_resource or request.operation not in ("CREATE", "UPDATE"):
            return Verdict("unchanged", pod)
        if namespace in settings.exempt:
            said = (f"pods of namespace {namespace} are left alone: its secrets are not injected",) if found else ()
            return Verdict("exempt", pod, Injection((), said))
        if request.operation == "UPDATE":
            _check_kept(ours(before.annotations), found)
            return Verdict("unchanged", pod)
        if not found or found.get("inject") == "false":
            return Verdict("unchanged", pod)
        injection = await inject(pod, found, settings, lookup)
        return Verdict("injected" if injection.operations else "unchanged", pod, injection)
    except Refused as refusal:
        return Verdict("refused", pod, refusal=refusal)


def _check_kept(before: dict[str, str], now: dict[str, str]) -> None:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise Refused(f"{PREFIX}{name} is read when a pod is made, and can't be changed later: make the pod anew")


def answer(uid: str, verdict: Verdict) -> bytes:
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.refusal is None}
    if verdict.refusal is not None:
        status = verdict.refusal.status
        response["status"] = {
            "message": f"Keystead: {verdict.refusal}",
            "code": status.value,
            "reason": _REASONS[status],
        }
    if verdict.injection.operations:
        written = msgspec.json.encode(verdict.injection.operations)
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(written).decode()}
    if verdict.injection.warnings:
        response["warnings"] = [f"Keystead: {each}" for each in verdict.injection.warnings]
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


_REASONS = {422: "Invalid", 503: "ServiceUnavailable"}
