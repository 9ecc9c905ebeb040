"""What the console's table of objects is sorted and searched by.

Trigrams find a part of a name without a look at every name. They are an extension that comes with PostgreSQL and that
the owner of a database may add; where it is not installed the search finds the same, more slowly.
"""

from datetime import UTC, datetime

from django.db import migrations, models
from django.db.models.functions import Coalesce

_NEVER = models.Value(datetime(9999, 12, 31, tzinfo=UTC))
_TRIGRAMS = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX object_by_part_of_name ON objects_securityobject USING gin (UPPER(name::text) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE NOTICE 'pg_trgm is not to be had: searches by a part of a name are slower';
END $$
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
        migrations.RunSQL(_TRIGRAMS, "DROP INDEX IF EXISTS object_by_part_of_name"),
    ]
