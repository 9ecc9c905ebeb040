"""Every screen of this room."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kms.console.kubernetes import bindings, changing, cluster, listing, tokens
from kms.console.screens import Screen

_ONE = "kubernetes/<uuid:cluster_id>"
_BINDING = f"{_ONE}/bindings/<uuid:binding_id>"
SCREENS: tuple[Screen, ...] = (
    Screen("kubernetes-clusters", "kubernetes", _("Kubernetes"), listing.show),
    Screen("new-kubernetes-cluster", "kubernetes/new", _("New cluster"), changing.new, changing.create),
    Screen("kubernetes-cluster", _ONE, _("Kubernetes cluster"), cluster.show, cluster.switch),
    Screen("edit-kubernetes-cluster", f"{_ONE}/edit", _("Change the cluster"), changing.edit, changing.save),
    Screen(
        "delete-kubernetes-cluster", f"{_ONE}/delete", _("Delete the cluster"), cluster.ask_deletion, cluster.delete
    ),
    Screen("try-kubernetes-token", f"{_ONE}/token", _("Try a token"), tokens.show, tokens.test),
    Screen("new-kubernetes-binding", f"{_ONE}/bindings/new", _("New binding"), bindings.new, bindings.create),
    Screen("kubernetes-binding", _BINDING, _("Binding"), bindings.show, bindings.remove),
)
