"""API keys move from their apps to rows of their own; and the new tables that decisions read get their triggers."""

from importlib import import_module

from django.db import migrations

create = import_module("accounts.migrations.0002_fact_versions").create

MOVE = """
INSERT INTO accounts_appcredential (app_id, kind, version, secret_digest, secret_sealed, config, created_at)
SELECT id, 'secret', secret_version, secret_digest, secret_sealed, '{}', created_at FROM accounts_app;
"""
BACK = """
UPDATE accounts_app SET secret_version = c.version, secret_digest = c.secret_digest, secret_sealed = c.secret_sealed
FROM accounts_appcredential c WHERE c.app_id = accounts_app.id AND c.replaced_at IS NULL AND c.kind = 'secret';
"""

# A change of what a directory group means concerns whoever is in it: everyone in the account decides anew.
TRIGGERS = (
    ("accounts_appcredential", "app_id"),
    ("accounts_totpdevice", "user_id"),
    ("accounts_fidocredential", "user_id"),
    ("accounts_externalrole", "account_id"),
    ("accounts_externalrolegroup", "account_id"),
)
# A grant is to a user or to an app; the column that is null moves nothing.
GRANTS = (("fact_version", "user_id"), ("fact_version_of_app", "app_id"))


def grant(name: str, column: str) -> str:
    return create("accounts_externalgrant", column).replace("TRIGGER fact_version", f"TRIGGER {name}", 1)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_who")]

    operations = [
        migrations.RunSQL(MOVE, BACK),
        *(
            migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}")
            for table, column in TRIGGERS
        ),
        *(
            migrations.RunSQL(grant(name, column), f"DROP TRIGGER {name} ON accounts_externalgrant")
            for name, column in GRANTS
        ),
    ]
