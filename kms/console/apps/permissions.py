"""What an app may do in a group, in words, and bundles of it for the usual apps. The API's words are the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise

SECTIONS: Sequence[tuple[Text, Mapping[str, Text]]] = (
    (
        _("Use keys"),
        {
            "ENCRYPT": _("Encrypt data"),
            "DECRYPT": _("Decrypt data"),
            "MASKDECRYPT": _("Detokenise with parts hidden"),
            "SIGN": _("Sign"),
            "VERIFY": _("Verify signatures"),
            "MACGENERATE": _("Make message authentication codes"),
            "MACVERIFY": _("Verify message authentication codes"),
            "WRAPKEY": _("Wrap other keys"),
            "UNWRAPKEY": _("Unwrap keys"),
            "DERIVEKEY": _("Derive keys"),
            "AGREEKEY": _("Agree on keys"),
            "ENCAPSULATE": _("Encapsulate keys"),
            "DECAPSULATE": _("Decapsulate keys"),
            "TRANSFORM": _("Make child keys of a key tree"),
            "CALCULATE_DIGEST": _("Calculate digests of keys"),
        },
    ),
    (
        _("Look after keys"),
        {
            "CREATE_SOBJECTS": _("Make and import objects"),
            "COPY_SOBJECTS": _("Copy objects"),
            "ROTATE_SOBJECTS": _("Rotate keys"),
            "ACTIVATE_SOBJECTS": _("Activate keys"),
            "REVOKE_SOBJECTS": _("Deactivate keys and mark them as compromised"),
            "REVERT_SOBJECTS": _("Take changes back"),
            "MOVE_SOBJECTS": _("Move objects to another group"),
            "UPDATE_SOBJECTS_PROFILE": _("Change names, descriptions and metadata"),
            "UPDATE_SOBJECTS_ENABLED_STATE": _("Enable and disable objects"),
            "UPDATE_SOBJECT_POLICIES": _("Change the policies of objects"),
            "UPDATE_KEY_OPS": _("Change the permitted operations"),
            "MANAGE": _("Manage objects: all of the above that change them"),
        },
    ),
    (
        _("Dangerous"),
        {
            "EXPORT": _("Export keys: take them out in the clear"),
            "DELETE_KEY_MATERIAL": _("Remove private keys"),
            "DELETE_SOBJECTS": _("Delete objects"),
            "DESTROY_SOBJECTS": _("Destroy keys"),
            "RESTORE_EXTERNAL_SOBJECTS": _("Restore objects of other key stores"),
        },
    ),
    (_("Look"), {"AUDIT": _("Read the group's audit log")}),
)
SENTENCES: Mapping[str, Text] = {name: text for _label, names in SECTIONS for name, text in names.items()}
PRESETS: Sequence[tuple[Text, tuple[str, ...]]] = (
    (_("Encrypt and decrypt"), ("ENCRYPT", "DECRYPT")),
    (_("Sign and verify"), ("SIGN", "VERIFY")),
    (_("Wrap and unwrap keys"), ("WRAPKEY", "UNWRAPKEY")),
    (_("Read secrets"), ("EXPORT",)),
    (_("Nothing"), ()),
)
FIRST = ("ENCRYPT", "DECRYPT")
CHOICES = tuple(SENTENCES.items())
