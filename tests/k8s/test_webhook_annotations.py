"""What authors may say: every annotation is understood, and everything else is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.webhook.vocabulary import OF_POD, OF_SECRET
from tests.kit.webhook import ask, keystead, pod

SECRET = {"secret__db": "payments/db"}
ID = "5f0e9c1c-6a2b-4f2e-8a1f-0a7b1c2d3e4f"

# Each annotation with a value that is right, values that are wrong, and what has to stand beside it.
POD: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "inject": ("true", ["", "yes", "True", "1"], {}),
    "containers": ("app", ["", "app,", "app,app", "ap", "other"], {}),
    "refresh": ("30s", ["", "0s", "30", "1d", "-1s", "1.5m", "999h", "5 m"], {}),
    "auth": ("service-account", ["", "none", "API-KEY"], {}),
    "app": (ID, ["", "app", ID + "0"], {}),
    "cluster": (ID, ["", "prod", "*"], {}),
    "api-key-secret": (
        "keys/key",
        ["", "/", "a/b/c", "../x", "other/../x", "Name", "a/", "a/..", "a b"],
        {"auth": "api-key"},
    ),
}
SECRETS: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "secret": ("payments/db", ["", "a\nb", 5000 * "x"], {}),
    "id": (ID, ["", "x", "payments/db"], {}),
    "version": ("1", ["", "0", "-1", "1.0", "latest", "9999999"], {}),
    "property": ("password", ["", "a\0b"], {}),
    "path": ("/etc/app/tls/key", ["", "key", "/", "/x", "/etc/passwd", "/a/../b/c", "/a//b", "//a/b", "/a/b/", "/a/./b",
                                  "/proc/1/mem", "/sys/x/y", "/dev/x/y", "/keystead/bin/x", "/keystead/token/x",
                                  "/keystead/x", "/a:b/c", "/a/..data", "/usr/x", "/usr/bin/x", "/a/" + 300 * "x"], {}),
    "env": ("DB_PASSWORD", ["", "1X", "A-B", "A=B", "A B", "É"], {}),
    "mode": ("0400", ["", "9", "0999", "0040", "4440", "rw", "0o440"], {}),
    "owner": ("1000:1000", ["", "root", "1000:", ":1", "-1", "99999999999"], {}),
    "format": ("base64", ["", "BASE64", "der"], {}),
    "template": ('{{ secrets["db"].text }}', ["", "{{", "{% for %}", "{{ }}"], {}),
    "bundle": ("db", ["", "d", "db,,db", "db,db"], {}),
    "required": ("false", ["", "no", "False"], {}),
    "refresh": ("5m", ["", "soon", "0m"], {}),
    "signal": ("HUP", ["", "hup", "9", "KILL", "SIGKILL", "STOP"], {"refresh": "1m"}),
    "command": ('["nginx", "-s", "reload"]', ["", "nginx -s", "[]", '[""]', "{}", "[1]", '["a\\u0000"]', 99999 * "["],
                {"refresh": "1m"}),
    "containers": ("app", ["", "nginx", ","], {}),
}  # fmt: skip


def _annotations(name: str, value: str, beside: dict[str, str], *, of_secret: bool) -> dict[str, str]:
    said = {"secret.db": "payments/db", **beside}
    if name == "id":
        del said["secret.db"]
    said[f"{name}.db" if of_secret else name] = value
    return {f"keystead.io/{each}": it for each, it in said.items()}


ALL = [(name, *each, False) for name, each in POD.items()] + [(name, *each, True) for name, each in SECRETS.items()]


def test_the_tables_have_the_whole_vocabulary() -> None:
    assert set(POD) == set(OF_POD)
    assert set(SECRETS) == set(OF_SECRET)


@pytest.mark.parametrize(("name", "right", "wrong", "beside", "of_secret"), ALL, ids=lambda each: str(each)[:20])
def test_a_right_value_injects_and_a_wrong_one_is_refused_by_name(
    name: str, right: str, wrong: list[str], beside: dict[str, str], of_secret: bool
) -> None:
    answered = ask(pod(_annotations(name, right, beside, of_secret=of_secret)))
    assert answered.patched, answered.response
    for value in wrong:
        refused = ask(pod(_annotations(name, value, beside, of_secret=of_secret)))
        assert not refused.allowed, value
        assert f"keystead.io/{name}" in refused.refusal, value
        assert len(refused.refusal) < 400, value
        assert refused.response["status"]["code"] == 422


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"sercet.db": "x"}, "did you mean keystead.io/secret.db?"),
        ({"injct": "true"}, "did you mean keystead.io/inject?"),
        ({"secret": "x"}, "needs a secret's key"),
        ({"auth.db": "api-key"}, "write keystead.io/auth"),
        ({"secret.DB": "x"}, "the key 'DB'"),
        ({"secret.": "x"}, "the key ''"),
        ({"": "x"}, "not an annotation"),
        ({"zzz": "x"}, "lists them"),
        ({"inject": "true"}, "no secret is named"),
        ({"path.db": "/a/b"}, "no secret has the key db"),
        ({"secret.db": "x", "id.db": ID}, "one of them"),
        ({"id.db": ID, "version.db": "1"}, "names one itself"),
        ({"secret.db": "x", "template.db": "x", "bundle.db": "db"}, "one of them"),
        ({"secret.db": "x", "template.db": "x", "format.db": "hex"}, "one of them"),
        ({"template.db": "x", "refresh.db": "1m"}, "needs keystead.io/secret.db"),
        ({"secret.db": "x", "signal.db": "HUP"}, "without keystead.io/refresh"),
        ({"secret.db": "x", "refresh": "1m", "signal.db": "HUP", "command.db": '["x"]'}, "not both"),
        ({"secret.db": "x", "path.db": "none"}, "nothing else uses it"),
        ({"secret.db": "x", "env.db": "X", "mode.db": "0400"}, "is about a file"),
        ({"secret.db": "x", "auth": "api-key"}, "needs keystead.io/api-key-secret"),
        ({"secret.db": "x", "api-key-secret": "y"}, "goes with keystead.io/auth: api-key"),
        ({"secret.db": "x", "auth": "api-key", "api-key-secret": "y", "app": ID}, "an API key names its app"),
        ({"secret.a": "x", "secret.b": "x", "owner.a": "1", "owner.b": "2"}, "one owner"),
        ({"secret.a": "x", "secret.b": "y", "path.a": "/x/y", "path.b": "/x/y"}, "both are '/x/y'"),
        ({"secret.a": "x", "secret.b": "y", "env.a": "X", "env.b": "X"}, "both are X"),
        ({"secret.a": "x", "secret.b": "y", "path.a": "/x/y/a", "path.b": "/x/b"}, "one in the other"),
        ({"secret.a": "x", "bundle.b": "a,c"}, "no secret has the key 'c'"),
        ({"status": "injected"}, "no secret is named"),
        ({"secret.a": "x", "status": "ready"}, "the webhook's to set"),
        ({"secret.a": "x", "status": "injected"}, "not as the webhook would make it"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_sentence(said: dict[str, str], sentence: str) -> None:
    answered = ask(pod({f"keystead.io/{name}": value for name, value in said.items()}))
    assert not answered.allowed
    assert sentence in answered.refusal


def test_false_leaves_a_pod_alone_whatever_else_is_said() -> None:
    answered = ask(pod({"keystead.io/inject": "false", "keystead.io/nonsense": "x"}))
    assert answered.allowed
    assert not answered.patched


def test_others_annotations_are_theirs() -> None:
    answered = ask(pod({"vault.example/secret": "x", "keystead.io.example/secret": "y", "keysteadXio/x": "z"}))
    assert answered.allowed
    assert not answered.patched


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_word_under_our_prefix_is_understood_or_refused(name: str, value: str) -> None:
    answered = ask(pod({f"keystead.io/{name}": value, **keystead(**SECRET)}))
    assert answered.patched or (not answered.allowed and answered.refusal) or (name, value) == ("inject", "false")
