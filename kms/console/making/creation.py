"""A new object, generated: one form in short sections, and what the policies say of it while it is filled in.

Nothing is kept between requests but the form itself. Secrets of a form of their own are made up here and imported.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.http import HttpResponse, QueryDict
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.making.decoding import on_wire as octets
from kms.console.making.fields import LocalMomentField, metadata_of, rows_of, standing
from kms.console.making.kinds import KINDS, OPERATIONS, Kind, Size, kind_named
from kms.console.making.picking import chosen_or_typed, found, with_chosen
from kms.console.making.policy import Policies, Wanted, demanded, faults
from kms.console.moments import aware, on_wire
from kms.console.visit import Visit

UNITS = (("months", _("months")), ("days", _("days")))
_LETTERS = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")


class ObjectForm(Form):
    """What any new object has, however it comes about."""

    wire = {"group": "group_id", "operations": "key_ops", "metadata": "custom_metadata"}

    name = forms.CharField(label=_("Name"), max_length=2048, help_text=_("Unique in the account. It can be changed."))
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    group = forms.UUIDField(label=_("Group"), error_messages={"required": _("Choose a group.")})
    approval_description = forms.CharField(
        label=_("Reason for the approvers"),
        required=False,
        max_length=512,
        help_text=_("They see it with the request."),
    )


class CreationForm(ObjectForm):
    """Each kind has its own size and operations in the form; only those of the chosen kind count."""

    activation = LocalMomentField(
        label=_("Activation date"), help_text=_("Until then the key cannot be used. Empty: it is active at once.")
    )
    deactivation = LocalMomentField(
        label=_("Deactivation date"), help_text=_("From then on it only undoes: decrypts, verifies, unwraps.")
    )
    later = forms.BooleanField(
        label=_("Pre-active: somebody activates it by hand"), required=False, help_text=_("It cannot be used before.")
    )
    rotate_every = forms.IntegerField(
        label=_("Rotate every"), required=False, min_value=1, max_value=3650, help_text=_("Empty: never by itself.")
    )
    rotate_unit = forms.ChoiceField(label=_("Unit"), required=False, choices=UNITS)
    rotate_deactivates = forms.BooleanField(label=_("Deactivate the old key when it is rotated"), required=False)
    server_ivs = forms.BooleanField(
        label=_("The server chooses the initialisation vectors"),
        required=False,
        help_text=_("Callers cannot bring their own, so none is used twice."),
    )
    wire = {
        **ObjectForm.wire,
        "activation": "activation_date",
        "deactivation": "deactivation_date",
        "rotate_every": "rotation_policy",
        "kind": "obj_type",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(kind.name, kind.label) for kind in KINDS]
        self.fields["kind"] = forms.ChoiceField(choices=choices, widget=forms.RadioSelect, initial="AES")
        for kind in KINDS:
            self.fields[f"size_{kind.name}"] = forms.ChoiceField(
                choices=[(size.value, size.label) for size in kind.sizes],
                widget=forms.RadioSelect,
                initial=kind.first,
                required=False,
            )
            self.fields[f"ops_{kind.name}"] = forms.MultipleChoiceField(
                choices=[(name, OPERATIONS[name][0]) for name in kind.operations],
                widget=forms.CheckboxSelectMultiple,
                initial=list(kind.defaults),
                required=False,
            )


@dataclass(frozen=True, slots=True)
class Draft:
    """What a form says so far, whether or not it is whole: the fields that do not read count as empty."""

    kind: Kind
    size: Size
    operations: tuple[str, ...]
    group: str
    metadata: Mapping[str, str]
    cleaned: Mapping[str, Any]
    activation: datetime | None
    deactivation: datetime | None

    @classmethod
    def of(cls, visit: Visit, form: CreationForm) -> Draft:
        cleaned = form.cleaned_data
        kind = kind_named(cleaned.get("kind", "")) or KINDS[0]
        size = kind.size_named(cleaned.get(f"size_{kind.name}") or kind.first) or kind.sizes[0]
        possible, asked = kind.possible(size.value), cleaned.get(f"ops_{kind.name}") or []
        return cls(
            kind=kind,
            size=size,
            operations=tuple(name for name in OPERATIONS if name in asked and name in possible),
            group=str(cleaned.get("group") or ""),
            metadata=metadata_of(visit.form),
            cleaned=cleaned,
            activation=aware(cleaned.get("activation"), visit.zone),
            deactivation=aware(cleaned.get("deactivation"), visit.zone),
        )

    @property
    def wanted(self) -> Wanted:
        value = self.size.value
        return Wanted(
            kind=self.kind.name,
            bits=int(value) if self.kind.sized == "key_size" else None,
            curve=value if self.kind.sized == "elliptic_curve" else "",
            operations=frozenset(self.operations),
            server_ivs=bool(self.cleaned.get("server_ivs")),
            description=self.cleaned.get("description") or "",
            metadata=self.metadata,
            activation=self.activation,
            deactivation=self.deactivation,
        )

    def body(self) -> dict[str, Any]:
        """The request, as the API takes it."""
        every = self.cleaned.get("rotate_every")
        rotation = {
            f"interval_{self.cleaned.get('rotate_unit') or 'months'}": every,
            "deactivate_rotated_key": bool(self.cleaned.get("rotate_deactivates")),
        }
        return {
            "name": self.cleaned["name"],
            "description": self.cleaned.get("description") or None,
            "group_id": self.group,
            "obj_type": self.kind.name,
            "key_ops": list(self.operations),
            "custom_metadata": dict(self.metadata) or None,
            "state": "PreActive" if self.cleaned.get("later") else None,
            "activation_date": on_wire(self.activation),
            "deactivation_date": on_wire(self.deactivation),
            "rotation_policy": rotation if every and self.kind.sized != "secret" else None,
            **self._sized(),
        }

    def _sized(self) -> dict[str, Any]:
        value = self.size.value
        if self.kind.sized == "secret":
            return {"value": octets(made_up(value).encode())}
        if self.kind.sized == "key_size":
            ivs = {"aes": {"random_iv": True}} if self.kind.name == "AES" and self.cleaned.get("server_ivs") else {}
            return {"key_size": int(value), **ivs}
        return {self.kind.sized: value if self.kind.sized == "elliptic_curve" else {"param_set": value}}


def made_up(shape: str) -> str:
    """A new secret of this shape ("password-24")."""
    form, _dash, length = shape.partition("-")
    if form == "token":
        return secrets.token_urlsafe(int(length))
    return "".join(secrets.choice(string.digits if form == "pin" else _LETTERS) for _each in range(int(length)))


# -- screens -------------------------------------------------------------------------------------------------------


def show(visit: Visit) -> HttpResponse:
    form = CreationForm(initial={"group": visit.query.get("group")})
    return _page(visit, form)


def create(visit: Visit) -> HttpResponse:
    form, valid = _read(visit)
    made = None
    if valid:
        draft = Draft.of(visit, form)
        operation = "ImportSobject" if draft.kind.sized == "secret" else "CreateSobject"
        made = form.attempt(visit, operation, body=draft.body())
    if made is None:
        return _page(visit, form, status=422)
    visit.say(_t("%(name)s was made") % {"name": made["name"]})
    return to_object(visit, made["kid"])


def check(visit: Visit) -> HttpResponse:
    """What would come of the form as it is now."""
    form, _valid = _read(visit)
    return visit.render("console/making/verdict.html", verdict(visit, Draft.of(visit, form)))


def _read(visit: Visit) -> tuple[CreationForm, bool]:
    form = CreationForm(with_group(visit))
    return form, form.is_valid()


def with_group(visit: Visit) -> QueryDict:
    """The form, with the group that was typed where none was chosen."""
    given = visit.form.copy()
    given["group"] = chosen_or_typed(visit, "group", given.get("group", ""), given.get("group_text", ""))
    return given


def to_object(visit: Visit, key_id: str) -> HttpResponse:
    return visit.redirect("object", key_id=key_id)


def verdict(visit: Visit, draft: Draft) -> dict[str, Any]:
    policies, group = policies_for(visit, draft.group)
    now = datetime.now(UTC)
    return {
        "draft": draft,
        "group": group,
        "operations": [OPERATIONS[name][0] for name in draft.operations],
        "faults": faults(draft.wanted, policies, now),
        "policies": [each for each in policies if each.any],
        "demanded": demanded(policies, draft.kind.name),
        "standing": standing(visit, "CREATE_SOBJECTS", group=draft.group) if group else None,
    }


def policies_for(visit: Visit, group_id: str) -> tuple[Sequence[Policies], Mapping[str, Any] | None]:
    """The account's and the group's, and the group; what cannot be read says nothing."""
    shell = visit.shell
    account = None if shell is None else shell.account
    policies = [] if account is None else [Policies.of(_t("The account's policy"), account)]
    if not group_id:
        return policies, None
    try:
        group = visit.call("GetGroup", group_id=group_id)
    except Refused:
        return policies, None
    return [*policies, Policies.of(_t("The policy of the group %(name)s") % {"name": group["name"]}, group)], group


def _page(visit: Visit, form: CreationForm, *, status: int = 200) -> HttpResponse:
    chosen = str(form["group"].value() or "")
    draft = Draft.of(visit, form) if form.is_bound else None
    context = {
        "form": form,
        "kinds": [_offered(form, kind) for kind in KINDS],
        "rows": rows_of(metadata_of(visit.form)),
        "group_choices": group_choices(visit, chosen),
        "chosen": [chosen],
        **(verdict(visit, draft) if draft is not None else _unmade(visit, form, chosen)),
    }
    return visit.render("console/making/new.html", context, status=status)


def _unmade(visit: Visit, form: CreationForm, group: str) -> dict[str, Any]:
    """The page as it opens: what its defaults come to."""
    kind = KINDS[0]
    size = kind.size_named(kind.first) or kind.sizes[0]
    return verdict(visit, Draft(kind, size, kind.defaults, group, {}, {}, None, None))


def group_choices(visit: Visit, chosen: str) -> list[Any]:
    return with_chosen(visit, found(visit, "group", visit.form.get("group_text", "")), [chosen])


def _offered(form: CreationForm, kind: Kind) -> dict[str, Any]:
    """A kind with its controls, each beside its words."""
    cards = {card.data["value"]: card for card in form["kind"]}
    sizes = list(zip(kind.sizes, form[f"size_{kind.name}"], strict=True))
    boxes = list(zip(kind.operations, form[f"ops_{kind.name}"], strict=True))
    return {
        "kind": kind,
        "card": cards[kind.name],
        "sizes": sizes,
        "operations": [(OPERATIONS[name], box) for name, box in boxes],
    }
