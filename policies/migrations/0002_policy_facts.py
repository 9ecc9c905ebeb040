"""What an account and its groups demand moves the account's version: everyone in the account decides anew."""

from importlib import import_module

from django.db import migrations

create = import_module("accounts.migrations.0002_fact_versions").create

TRIGGERS = (("policies_accountpolicy", "account_id"), ("policies_grouppolicy", "account_id"))


class Migration(migrations.Migration):
    dependencies = [("policies", "0001_policies"), ("accounts", "0013_role_facts")]

    operations = [
        migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}") for table, column in TRIGGERS
    ]
