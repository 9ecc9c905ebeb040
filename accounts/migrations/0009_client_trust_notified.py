"""Servers that wait on the channel hear at once that the certificates they ask TLS clients for may have changed.

A statement's worth of rows is one notification; equal ones of a transaction are delivered once, after its commit.
"""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION keystead_notify_client_trust() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keystead_client_trust', '');
    RETURN NULL;
END $$;
"""

# Whether an app or its account is enabled counts too; an app's deletion takes its credentials along.
EVENTS = (
    ("accounts_appcredential", "INSERT OR UPDATE OR DELETE"),
    ("accounts_app", "UPDATE OF enabled"),
    ("accounts_account", "UPDATE OF enabled"),
)


def create(table: str, events: str) -> str:
    return (
        f"CREATE TRIGGER client_trust AFTER {events} ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION keystead_notify_client_trust();"
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_attempt_subjects_and_proof_ends")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION keystead_notify_client_trust()"),
        *(
            migrations.RunSQL(create(table, events), f"DROP TRIGGER client_trust ON {table}")
            for table, events in EVENTS
        ),
    ]
