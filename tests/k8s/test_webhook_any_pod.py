"""Any pod with any annotations comes out whole, the same at a second look, or is refused in a sentence."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from k8s.agent.settings import settings_of
from k8s.webhook.images.image import Image
from tests.kit.webhook import SETTINGS, Json, ask, images

OLD = msgspec.structs.replace(SETTINGS, version=(1, 28))
NAMES = st.sampled_from(["app", "web", "side", "init", "keystead-agent", ""])
WORDS = st.lists(st.sampled_from(["/bin/app", "-x", "$(HOME)", "$$", ""]), max_size=3)
PATHS = st.sampled_from(["/etc/app/tls", "/data", "/keystead/bin", "/keystead/secrets", "/", "", "relative"])
MOUNTS = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["data", "x"]), "mountPath": PATHS}), max_size=2)
CONTEXT = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"runAsUser": st.sampled_from([0, 1, 1000])}))
CONTAINERS = st.fixed_dictionaries(
    {"name": NAMES, "image": st.sampled_from(["r.example/app:1", "r.example/unknown", ""])},
    optional={
        "command": st.one_of(st.none(), WORDS),
        "args": st.one_of(st.none(), WORDS),
        "env": st.one_of(st.none(), st.just([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}])),
        "volumeMounts": st.one_of(st.none(), MOUNTS),
        "securityContext": CONTEXT,
        "resources": st.just({"limits": {"cpu": "1"}}),
    },
)
KEYS = ("db", "tls")
SAID: dict[str, list[str]] = {
    "inject": ["true", "maybe"],
    "containers": ["app", "app,init", "nobody"],
    "refresh": ["30s", "x"],
    "auth": ["api-key", "service-account"],
    "api-key-secret": ["keys"],
    "secret": ["payments/db", ""],
    "id": ["5f0e9c1c-6a2b-4f2e-8a1f-0a7b1c2d3e4f"],
    "path": ["/etc/app/tls/x", "/data/x", "none", "../x"],
    "env": ["X", "Y"],
    "mode": ["0400"],
    "owner": ["0", "1000:1000"],
    "template": ["{{ secrets['db'].text }} $(X)", "{{"],
    "bundle": ["db,tls"],
    "signal": ["HUP"],
    "command": ['["a", "$(b)"]'],
    "status": ["injected"],
}


@st.composite
def wishes_of_pods(draw: st.DrawFn) -> dict[str, str]:
    names = draw(st.lists(st.sampled_from(sorted(SAID)), max_size=6))
    of_pod = ("inject", "containers", "refresh", "auth", "api-key-secret", "status")
    said = {}
    for name in names:
        whole = name if name in of_pod else f"{name}.{draw(st.sampled_from(KEYS))}"
        said[whole] = draw(st.sampled_from(SAID[name]))
    if draw(st.booleans()):
        said |= {f"secret.{key}": f"payments/{key}" for key in KEYS}
    return {f"keystead.io/{name}": value for name, value in said.items()}


@st.composite
def pods(draw: st.DrawFn) -> Json:
    return {
        "metadata": draw(
            st.fixed_dictionaries({"generateName": st.just("x-")}, optional={"annotations": wishes_of_pods()})
        ),
        "spec": draw(
            st.fixed_dictionaries(
                {"containers": st.lists(CONTAINERS, max_size=3)},
                optional={
                    "initContainers": st.one_of(st.none(), st.lists(CONTAINERS, max_size=2)),
                    "volumes": st.one_of(st.none(), st.lists(st.just({"name": "data", "emptyDir": {}}), max_size=1)),
                    "securityContext": CONTEXT,
                    "restartPolicy": st.sampled_from(["Always", "Never"]),
                },
            )
        ),
    }


@dataclass
class Comparison:
    before: Json
    after: Json

    def check(self) -> None:
        volumes = {each["name"]: each for each in self.after["spec"]["volumes"]}
        for name, volume in volumes.items():
            if name.startswith(("keystead-files-", "keystead-environment-")):
                assert volume["emptyDir"]["medium"] == "Memory"
        kept = [each for each in self._containers(self.after) if not each["name"].startswith("keystead-")]
        original = self._containers(self.before)
        assert [each["name"] for each in kept] == [each["name"] for each in original]
        for was, now in zip(original, kept, strict=True):
            self._check_container(was, now)
        for list_name in self.before["spec"]:
            if list_name not in ("containers", "initContainers", "volumes"):
                assert self.before["spec"][list_name] == self.after["spec"][list_name]

    def _check_container(self, was: Json, now: Json) -> None:
        ours = [each for each in now.get("volumeMounts") or [] if each["name"].startswith("keystead-")]
        assert not {"keystead-token", "keystead-api-key"} & {each["name"] for each in ours}
        assert all(each["readOnly"] for each in ours)
        paths = [each["mountPath"] for each in now.get("volumeMounts") or [] if each in ours]
        assert len(set(paths)) == len(paths)
        changed = {"volumeMounts", "command", "args"}
        assert {k: v for k, v in was.items() if k not in changed} == {k: v for k, v in now.items() if k not in changed}
        assert [each for each in now.get("volumeMounts") or [] if each not in ours] == (was.get("volumeMounts") or [])
        if was.get("command") and now["command"] != was["command"]:
            assert now["command"][-len(was["command"]) - 1 :] == ["--", *was["command"]]
            assert (now.get("args") or []) == (was.get("args") or [])

    @staticmethod
    def _containers(made: Json) -> list[Any]:
        return [*(made["spec"].get("initContainers") or []), *made["spec"]["containers"]]


@settings(max_examples=600, deadline=None)
@given(pods(), st.sampled_from([SETTINGS, OLD]))
def test_any_pod_comes_out_whole_or_is_refused_in_a_sentence(made: Json, by: Any) -> None:
    known = images(app=Image(entrypoint=("/e",), cmd=("$(c)",), user="1000"))
    before = copy.deepcopy(made)
    answered = ask(made, by, known)
    assert made == before
    if not answered.allowed:
        assert len(answered.refusal) > 20
        return
    if not answered.patched:
        assert not any(name.startswith("keystead.io/") for name in made["metadata"].get("annotations") or {})
        return
    Comparison(before, answered.pod).check()
    for agent in answered.agents:
        settings_of({each["name"]: each["value"] for each in agent["env"]})  # the agent takes what it is told
    again = ask(answered.pod, by, images())
    assert again.allowed, again.response
    assert not again.patched
