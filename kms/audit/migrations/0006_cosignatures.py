"""What witnesses sign is as append-only as the record."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

REFUSE = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_cosignature
    FOR EACH ROW EXECUTE FUNCTION keystead_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION keystead_refuse_change();
ALTER TABLE audit_cosignature SET (autovacuum_vacuum_insert_scale_factor = 0.05);"""
ALLOW = """
DROP TRIGGER append_only ON audit_cosignature;
DROP TRIGGER append_only_truncate ON audit_cosignature;"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_log_sinks")]

    operations = [
        migrations.CreateModel(
            name="AuditCosignature",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("witness", models.CharField(max_length=256)),
                ("line", models.CharField(max_length=512)),
                ("time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cosignatures",
                        to="audit.auditcheckpoint",
                    ),
                ),
            ],
            options={
                "db_table": "audit_cosignature",
                "constraints": [
                    models.UniqueConstraint(fields=("witness", "checkpoint"), name="audit_cosignature_once")
                ],
            },
        ),
        migrations.RunSQL(REFUSE, ALLOW),
    ]
