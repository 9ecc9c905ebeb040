"""Triggers that move a subject's version with every change of a row that decisions read.

In the database, so that no code path, shell or future model can forget it.
"""

from django.db import migrations

BUMP = """
CREATE FUNCTION keystead_bump_fact_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before uuid;
    after uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN before := (to_jsonb(OLD) ->> TG_ARGV[0])::uuid; END IF;
    IF TG_OP <> 'DELETE' THEN after := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid; END IF;
    INSERT INTO accounts_factversion (subject, version)
    SELECT subject, 1 FROM (SELECT before UNION SELECT after) AS moved(subject)
    WHERE subject IS NOT NULL ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET version = accounts_factversion.version + 1;
    RETURN NULL;
END $$;
"""

# Table, and the column that names the subject whose facts the row is part of.
TRIGGERS = (
    ("accounts_account", "id"),
    ("accounts_user", "id"),
    ("accounts_membership", "user_id"),
    ("accounts_groupmembership", "user_id"),
    ("accounts_group", "id"),
    ("accounts_app", "id"),
    ("accounts_appgroup", "app_id"),
    ("accounts_session", "id"),
)


def create(table: str, column: str) -> str:
    return (
        f"CREATE TRIGGER fact_version AFTER INSERT OR UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION keystead_bump_fact_version('{column}');"
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(BUMP, "DROP FUNCTION keystead_bump_fact_version()"),
        *(
            migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}")
            for table, column in TRIGGERS
        ),
    ]
