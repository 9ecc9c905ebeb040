"""What the console's table of objects is sorted and searched by.

A part of a name is found without a look at every name: an index has the runs of three characters in each, in upper case.
PostgreSQL's own extension for this (pg_trgm) is not in every installation, and a function of four lines needs none.
"""

from datetime import UTC, datetime

from django.db import migrations, models
from django.db.models.functions import Coalesce

_NEVER = models.Value(datetime(9999, 12, 31, tzinfo=UTC))
# The planner is told that calling it is dear, so that rows are compared with the text before.
_TRIGRAMS = """
CREATE FUNCTION keystead_trigrams(value text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
    SELECT pg_catalog.array_agg(DISTINCT pg_catalog.substr(pg_catalog.upper(value), n, 3))
    FROM pg_catalog.generate_series(1, pg_catalog.length(value) - 2) AS n
$$;
CREATE INDEX object_by_part_of_name ON objects_securityobject USING gin (keystead_trigrams(name::text));
"""
_NO_TRIGRAMS = """
DROP INDEX object_by_part_of_name;
DROP FUNCTION keystead_trigrams(text);
"""


class Migration(migrations.Migration):
    dependencies = [("objects", "0005_own_quorums")]

    operations = [
        migrations.AddIndex("securityobject", models.Index(fields=["account", "state", "id"], name="object_by_state")),
        migrations.AddIndex(
            "securityobject", models.Index(fields=["account", "created_at", "id"], name="object_by_age")
        ),
        migrations.AddIndex(
            "securityobject",
            models.Index("account", Coalesce("deactivation_date", _NEVER), "id", name="object_by_expiry"),
        ),
        migrations.AddIndex(
            "securityobject",
            models.Index("account", Coalesce("rotates_at", _NEVER), "id", name="object_by_rotation"),
        ),
        migrations.AddIndex(
            "securityobject", models.Index(fields=["account", "kind", "name", "id"], name="object_kind_by_name")
        ),
        migrations.AddIndex(
            "securityobject", models.Index(fields=["account", "group", "name", "id"], name="object_group_by_name")
        ),
        migrations.RunSQL(_TRIGRAMS, _NO_TRIGRAMS),
    ]
