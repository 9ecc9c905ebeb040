"""Requests for approval and the votes on them are sealed like what decisions rest on (accounts 0018)."""

from importlib import import_module

from django.db import migrations

create = import_module("accounts.migrations.0002_fact_versions").create

TRIGGERS = (("policies_approvalrequest", "id"), ("policies_approval", "request_id"))


class Migration(migrations.Migration):
    dependencies = [("policies", "0005_protection"), ("accounts", "0018_row_seals")]

    operations = [
        migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}") for table, column in TRIGGERS
    ]
