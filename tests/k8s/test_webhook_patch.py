"""What becomes of a pod: volumes, agents, mounts, commands; and what may never become of one."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.webhook.images.image import Image
from k8s.webhook.patch import volume_of
from tests.kit.webhook import SETTINGS, Answered, Json, ask, images, keystead, pod

OLD = msgspec.structs.replace(SETTINGS, version=(1, 28))


def injected(answered: Answered) -> Answered:
    assert answered.patched, answered.response
    return answered


def test_a_file_lies_in_memory_and_is_read_only_in_the_application() -> None:
    answered = injected(ask(pod(keystead(secret__db="payments/db", path__db="/etc/app/secrets/db"))))
    volumes = {each["name"]: each for each in answered.pod["spec"]["volumes"]}
    assert volumes["keystead-files-0"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    (mount,) = answered.container("app")["volumeMounts"]
    assert mount == {"name": "keystead-files-0", "mountPath": "/etc/app/secrets", "readOnly": True}
    assert answered.container("app")["command"] == ["/app"]  # nothing to launch
    (file,) = answered.delivery.files
    assert (file.key, file.volume, file.name) == ("db", 0, "db")
    (agent,) = answered.agents
    assert agent["args"] == ["fetch"]
    assert {"name": "keystead-files-0", "mountPath": "/keystead/volumes/0"} in agent["volumeMounts"]
    assert answered.pod["metadata"]["annotations"]["keystead.io/status"] == "injected"


def test_the_token_has_the_audience_and_only_the_agent_has_the_token() -> None:
    answered = injected(ask(pod(keystead(secret__db="db"))))
    (token,) = [each for each in answered.pod["spec"]["volumes"] if each["name"] == "keystead-token"]
    (source,) = token["projected"]["sources"]
    assert source["serviceAccountToken"] == {
        "audience": "https://keystead.example",
        "expirationSeconds": 600,
        "path": "token",
    }
    assert "keystead-token" not in answered.mounts("app").values()


def test_an_api_key_comes_from_a_secret_of_the_pods_own_namespace() -> None:
    said = keystead(secret__db="db", auth="api-key", api_key_secret="keystead/key")
    answered = injected(ask(pod(said)))
    (volume,) = [each for each in answered.pod["spec"]["volumes"] if each["name"] == "keystead-api-key"]
    assert volume["secret"]["secretName"] == "keystead"
    assert volume["secret"]["items"] == [{"key": "key", "path": "api-key"}]
    assert answered.delivery.credential.cluster is None
    assert "keystead-api-key" not in answered.mounts("app").values()
    assert not any(each["name"] == "keystead-token" for each in answered.pod["spec"]["volumes"])


@pytest.mark.parametrize(
    ("said", "image", "command", "args"),
    [
        ({"command": ["/a"], "args": ["$(X)"]}, None, ["/a"], ["$(X)"]),
        ({"command": ["/a", "b"]}, None, ["/a", "b"], None),
        ({"args": ["x"]}, Image(entrypoint=("/e", "$(Y)$$"), cmd=("c",)), ["/e", "$$(Y)$$$$"], ["x"]),
        ({}, Image(entrypoint=("/e",), cmd=("c", "$(Z)")), ["/e"], ["c", "$$(Z)"]),
        ({}, Image(cmd=("sh", "-c", "x")), [], ["sh", "-c", "x"]),
        ({"command": [], "args": []}, Image(entrypoint=("/e",), cmd=("c",)), ["/e"], ["c"]),
    ],
)
def test_commands_are_put_together_as_kubernetes_does(
    said: Json, image: Image | None, command: list[str], args: list[str] | None
) -> None:
    made = pod(keystead(secret__db="db", env__db="PGPASSWORD"), {"name": "app", "image": "r.example/app:1", **said})
    answered = injected(ask(made, lookup=images(**({"app": image} if image else {}))))
    launcher = ["/keystead/bin/keystead-launch", "--environment", "/keystead/environment/variables", "--"]
    app = answered.container("app")
    assert app["command"] == [*launcher, *command]
    assert app.get("args") == args
    assert answered.mounts("app")["/keystead/bin"] == "keystead-bin"
    assert answered.delivery.launcher
    (variable,) = answered.delivery.variables
    assert (variable.container, variable.name) == ("app", "PGPASSWORD")


def test_without_command_and_registry_the_author_is_told_to_set_one() -> None:
    answered = ask(pod(keystead(secret__db="db", env__db="X"), {"name": "app", "image": "r.example/other"}))
    assert "Set `command`" in answered.refusal


def test_an_image_that_says_nothing_to_run_is_refused() -> None:
    made = pod(keystead(secret__db="db", env__db="X"), {"name": "app", "image": "r.example/app"})
    assert "says what to run" in ask(made, lookup=images(app=Image())).refusal


def test_what_follows_a_change_is_told_to_the_launcher() -> None:
    said = keystead(
        secret__tls="tls", path__tls="/etc/nginx/tls/$(x)", command__tls='["nginx", "-s", "reload"]', refresh="1m"
    )
    answered = injected(ask(pod(said)))
    command = answered.container("app")["command"]
    assert command[1] == "--on-change"
    found = json.loads(command[2].replace("$$", "$"))
    assert found == {"file": "/etc/nginx/tls/$(x)", "command": ["nginx", "-s", "reload"]}
    assert "$$(x)" in command[2]
    assert command[3:] == ["--", "/app"]


def test_refresh_is_a_native_sidecar_where_the_cluster_has_them() -> None:
    said = keystead(secret__db="db", refresh="5m", secret__tls="tls", refresh__tls="30s")
    answered = injected(ask(pod(said, initContainers=[{"name": "init", "image": "x"}])))
    names = [each["name"] for each in answered.pod["spec"]["initContainers"]]
    assert names == ["keystead-agent", "keystead-agent-refresh", "init"]
    assert answered.agents[1]["restartPolicy"] == "Always"
    assert {key: each.refresh_seconds for key, each in answered.delivery.secrets.items()} == {"db": 300, "tls": 30}
    older = injected(ask(pod(said), OLD))
    assert [each["name"] for each in older.pod["spec"]["containers"]] == ["app", "keystead-agent-refresh"]
    assert "restartPolicy" not in older.agents[1]


def test_a_job_on_an_old_cluster_is_told_to_fetch_once() -> None:
    refused = ask(pod(keystead(secret__db="db", refresh="5m"), restartPolicy="Never"), OLD)
    assert "1.28" in refused.refusal
    assert ask(pod(keystead(secret__db="db"), restartPolicy="Never"), OLD).patched
    assert ask(pod(keystead(secret__db="db", refresh="5m"), restartPolicy="Never")).patched


def test_containers_that_get_other_files_of_a_directory_get_another_volume() -> None:
    said = keystead(secret__a="a", secret__b="b", path__a="/x/y/a", path__b="/x/y/b", containers__b="two")
    one, two = ({"name": name, "image": "r.example/app", "command": ["/a"]} for name in ("one", "two"))
    answered = injected(ask(pod(said, one, two)))
    assert answered.mounts("one")["/x/y"] != answered.mounts("two")["/x/y"]
    held: dict[int, set[str]] = {}
    for file in answered.delivery.files:
        held.setdefault(file.volume, set()).add(file.name)
    assert sorted(map(sorted, held.values())) == [["a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("spec", "image", "uid", "mode"),
    [
        ({"securityContext": {"runAsUser": 1000, "runAsGroup": 7}}, None, 1000, 0o440),
        ({"securityContext": {"runAsUser": 0}}, None, 0, 0o440),
        ({}, Image(user="101:102"), 101, 0o440),
        ({}, Image(user=""), 0, 0o440),
        ({}, Image(user="nginx"), 65532, 0o444),
        ({}, None, 65532, 0o444),
    ],
)
def test_the_agent_runs_as_the_application(spec: Json, image: Image | None, uid: int, mode: int) -> None:
    answered = injected(ask(pod(keystead(secret__db="db"), **spec), lookup=images(**({"app": image} if image else {}))))
    (agent,) = answered.agents
    context = agent["securityContext"]
    assert context["runAsUser"] == uid
    assert context["runAsNonRoot"] is (uid != 0)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert [file.mode for file in answered.delivery.files] == [mode]


def test_an_owner_takes_the_place_of_the_user() -> None:
    answered = injected(ask(pod(keystead(secret__db="db", owner__db="70:71"))))
    assert answered.agents[0]["securityContext"]["runAsUser"] == 70
    assert answered.agents[0]["securityContext"]["runAsGroup"] == 71


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"env": [{"name": "X", "value": "1"}]}, "sets X itself"),
        ({"volumeMounts": [{"name": "mine", "mountPath": "/etc/app/s/"}]}, "'mine'"),
        ({"volumeMounts": [{"name": "mine", "mountPath": "/etc/app/s/deeper"}]}, "'mine'"),
        ({"volumeMounts": [{"name": "mine", "mountPath": "/keystead/environment"}]}, "'mine'"),
        ({"name": "keystead-agent"}, "keystead-"),
        ({"name": ""}, "a name of its own"),
    ],
)
def test_what_the_container_has_already_is_not_taken_from_it(change: Json, sentence: str) -> None:
    said = keystead(secret__a="a", env__a="X", path__a="/etc/app/s/a")
    answered = ask(pod(said, {"name": "app", "image": "r.example/app", "command": ["/a"], **change}))
    assert not answered.allowed
    assert sentence in answered.refusal


@pytest.mark.parametrize(
    "spec",
    [
        {"os": {"name": "windows"}},
        {"nodeSelector": {"kubernetes.io/os": "windows"}},
        {"volumes": [{"name": "keystead-token"}]},
    ],
)
def test_pods_that_cannot_be_served_are_refused(spec: Json) -> None:
    assert not ask(pod(keystead(secret__db="db"), **spec)).allowed


def test_a_cluster_must_be_named_by_somebody() -> None:
    nameless = msgspec.structs.replace(SETTINGS, cluster=None)
    assert "keystead.io/cluster is needed" in ask(pod(keystead(secret__db="db")), nameless).refusal
    assert ask(pod(keystead(secret__db="db", cluster=str(SETTINGS.cluster))), nameless).patched


def test_an_agent_that_could_not_be_told_everything_is_refused() -> None:
    said = {f"keystead.io/template.k{n}": 9000 * "x" for n in range(14)}
    assert "it can be told" in ask(pod(said)).refusal


@given(st.lists(st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True), min_size=2, max_size=2, unique=True))
def test_volumes_of_variables_have_names_that_kubernetes_takes(names: list[str]) -> None:
    one, two = map(volume_of, names)
    assert one != two
    assert max(len(one), len(two)) <= 63
