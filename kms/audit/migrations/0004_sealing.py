"""The tree over the record. What is sealed is as append-only as the record; only where the sealer stands changes."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

_SEALED = ("audit_leaf", "audit_node", "audit_checkpoint", "audit_signature")
REFUSE = "\n".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION keystead_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION keystead_refuse_change();
ALTER TABLE {table} SET (autovacuum_vacuum_insert_scale_factor = 0.05);"""  # noqa: S608 - built from constants
    for table in _SEALED
)
ALLOW = "\n".join(
    f"DROP TRIGGER append_only ON {table}; DROP TRIGGER append_only_truncate ON {table};" for table in _SEALED
)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_statistics")]

    operations = [
        migrations.CreateModel(
            name="AuditLeaf",
            fields=[
                ("index", models.BigIntegerField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField(unique=True)),
                ("hash", models.BinaryField(max_length=32)),
            ],
            options={"db_table": "audit_leaf"},
        ),
        migrations.CreateModel(
            name="AuditNode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("level", models.PositiveSmallIntegerField()),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
            ],
            options={
                "db_table": "audit_node",
                "constraints": [models.UniqueConstraint(fields=("level", "index"), name="audit_node_once")],
            },
        ),
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("size", models.BigIntegerField(primary_key=True, serialize=False)),
                ("origin", models.CharField(max_length=128)),
                ("root", models.BinaryField(max_length=32)),
                ("time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"db_table": "audit_checkpoint"},
        ),
        migrations.CreateModel(
            name="AuditSignature",
            fields=[
                (
                    "checkpoint",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="audit.auditcheckpoint",
                    ),
                ),
                ("note", models.TextField()),
            ],
            options={"db_table": "audit_signature"},
        ),
        migrations.CreateModel(
            name="Sealing",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("epoch", models.PositiveIntegerField(default=1)),
                ("size", models.BigIntegerField(default=0)),
                (
                    "frontier",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BinaryField(), default=list, size=None),
                ),
                ("complete_to", models.BigIntegerField(default=0)),
                ("mark", models.BigIntegerField(null=True)),
                ("mark_xid", models.DecimalField(decimal_places=0, max_digits=20, null=True)),
                ("swept_at", models.DateTimeField(null=True)),
                ("heartbeat_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "audit_sealing"},
        ),
        migrations.RunSQL(REFUSE, ALLOW),
    ]
