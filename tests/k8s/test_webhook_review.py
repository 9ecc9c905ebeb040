"""Reviews: whom the webhook leaves alone, what it says to an update, and what it takes for a review at all."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.webhook.review import Malformed, read_review
from tests.kit.webhook import Json, ask, keystead, pod, review

ASKED = keystead(secret__db="payments/db", env__db="X", refresh="1m")


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "keystead"])
def test_pods_of_the_systems_namespaces_and_ours_are_left_alone(namespace: str) -> None:
    for operation in ("CREATE", "UPDATE"):
        answered = ask(pod(ASKED), namespace=namespace, operation=operation)
        assert answered.allowed
        assert not answered.patched
        assert namespace in answered.warnings[0]
    # The request's namespace counts, whatever the object says.
    elsewhere = pod(ASKED)
    elsewhere["metadata"]["namespace"] = "kube-system"
    assert ask(elsewhere, namespace="payments").patched


def test_a_pod_without_name_or_annotations_is_admitted() -> None:
    assert ask({"metadata": {"generateName": "web-"}, "spec": {}}).allowed
    assert ask({}).allowed
    assert ask({"metadata": {"annotations": None}, "spec": {"containers": None}}).allowed


def test_a_dry_run_gets_the_same_answer() -> None:
    assert ask(pod(ASKED), dryRun=True).response == ask(pod(ASKED)).response


def _second(made: Json) -> Any:
    return ask(ask(made).pod)


def test_a_second_look_changes_nothing_and_takes_what_others_added() -> None:
    assert not _second(pod(ASKED)).patched
    made = ask(pod(ASKED)).pod
    made["spec"]["containers"].append({"name": "mesh", "image": "mesh.example/proxy"})
    made["spec"]["initContainers"].insert(0, {"name": "mesh-init", "image": "mesh.example/init"})
    made["spec"]["initContainers"][1]["terminationMessagePath"] = "/dev/termination-log"
    answered = ask(made)
    assert answered.allowed
    assert not answered.patched


@pytest.mark.parametrize("gone", ["volumes", "agent", "delivery", "annotation"])
def test_a_copy_that_is_not_what_we_would_make_is_refused(gone: str) -> None:
    made = ask(pod(ASKED)).pod
    match gone:
        case "volumes":
            made["spec"]["volumes"] = []
        case "agent":
            made["spec"]["initContainers"].pop(0)
        case "delivery":
            made["spec"]["initContainers"][0]["env"][0]["value"] = "{}"
        case "annotation":
            made["metadata"]["annotations"]["keystead.io/secret.db"] = "other"
    answered = ask(made)
    assert not answered.allowed
    assert "take the annotation out" in answered.refusal


@pytest.mark.parametrize(
    "change", [{"keystead.io/secret.db": "other"}, {"keystead.io/secret.new": "x"}, {"keystead.io/status": ""}, None]
)
def test_annotations_of_a_running_pod_stay(change: dict[str, str] | None) -> None:
    before = ask(pod(ASKED)).pod
    now = copy.deepcopy(before)
    now["metadata"]["labels"] = {"a": "b"}
    assert ask(now, operation="UPDATE", oldObject=before).allowed
    if change is None:
        now["metadata"]["annotations"] = {}
    else:
        now["metadata"]["annotations"] |= change
    answered = ask(now, operation="UPDATE", oldObject=before)
    assert not answered.allowed
    assert "make the pod anew" in answered.refusal


def test_subresources_and_other_operations_pass() -> None:
    assert not ask(pod(ASKED), subResource="ephemeralcontainers").patched
    assert ask(pod(ASKED), operation="DELETE").allowed


GOOD = json.loads(review(pod(ASKED)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"null",
        b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}',
        json.dumps({**GOOD, "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps({**GOOD, "kind": "Pod"}).encode(),
        json.dumps({**GOOD, "request": {**GOOD["request"], "kind": {"group": "apps", "kind": "Deployment"}}}).encode(),
        json.dumps({**GOOD, "request": {**GOOD["request"], "uid": ""}}).encode(),
        10000 * b"[",
    ],
)
def test_what_is_no_review_of_a_pod_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read_review(body)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("made", [[], "x", {"spec": {"containers": {}}}, {"metadata": {"annotations": {"a": 1}}}])
def test_what_is_no_pod_is_said_to_be_none(made: Any) -> None:
    with pytest.raises(Malformed, match="not a pod"):
        ask(made)


MEMBERS = st.sampled_from(["metadata", "spec", "containers", "annotations", "name", "image"])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text())


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner), max_leaves=12))
def test_any_object_is_answered_or_malformed(made: Any) -> None:
    with contextlib.suppress(Malformed):
        assert ask(made).response["uid"]
