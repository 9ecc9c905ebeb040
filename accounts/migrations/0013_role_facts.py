"""The tables of roles get their triggers: a role concerns everyone in the account, a grant whoever holds it."""

from importlib import import_module

from django.db import migrations

create = import_module("accounts.migrations.0002_fact_versions").create

TRIGGERS = (
    ("accounts_role", "account_id"),
    ("accounts_accountrolegrant", "user_id"),
    ("accounts_grouprolegrant", "user_id"),
)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_roles")]

    operations = [
        migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}") for table, column in TRIGGERS
    ]
