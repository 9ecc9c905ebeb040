"""The launcher before an application's command, exactly as Kubernetes would have put that command together."""

from __future__ import annotations

from collections.abc import Iterable

from k8s.delivery import ENVIRONMENT_DIRECTORY, LAUNCHER, LAUNCHER_DIRECTORY, VARIABLES_FILE
from k8s.webhook.images.image import Image
from k8s.webhook.objects import Container
from k8s.webhook.plan import Plan

LAUNCHER_PATH = f"{LAUNCHER_DIRECTORY}/{LAUNCHER}"


def wrapped(container: Container, plan: Plan, image: Image | None) -> tuple[list[str], list[str]]:
    """Its `command` and `args`. `command` takes the place of ENTRYPOINT and of CMD, `args` that of CMD alone."""
    if container.command:
        return [*_launcher(container, plan), *container.command], container.args or []
    assert image is not None, "the image is looked up for a container without a command"
    args = container.args or _literal(image.cmd)
    return [*_launcher(container, plan), *_literal(image.entrypoint)], args


def _launcher(container: Container, plan: Plan) -> list[str]:
    words = [LAUNCHER_PATH]
    if container.name in plan.with_variables:
        words += ["--environment", f"{ENVIRONMENT_DIRECTORY}/{VARIABLES_FILE}"]
    for watched in plan.on_change.get(container.name, ()):
        words += ["--on-change", *_literal([watched])]
    return [*words, "--"]


def _literal(words: Iterable[str]) -> list[str]:
    """Kubernetes replaces `$(NAME)` in a pod's words and makes `$$` one `$`; in an image's it does neither."""
    return [word.replace("$", "$$") for word in words]
