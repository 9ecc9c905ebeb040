"""A seal beside each version, and triggers on the rest of what decides who somebody is.

The trigger takes the seal off with every change and says in which transaction that was, so that this one can make it.
"""

from importlib import import_module

from django.db import migrations, models

create = import_module("accounts.migrations.0002_fact_versions").create

BUMP = """
CREATE OR REPLACE FUNCTION keystead_bump_fact_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before uuid;
    after uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN before := (to_jsonb(OLD) ->> TG_ARGV[0])::uuid; END IF;
    IF TG_OP <> 'DELETE' THEN after := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid; END IF;
    INSERT INTO accounts_factversion (subject, version, moved_in)
    SELECT subject, 1, pg_current_xact_id()::text::bigint FROM (SELECT before UNION SELECT after) AS moved(subject)
    WHERE subject IS NOT NULL ORDER BY subject
    ON CONFLICT (subject) DO UPDATE
    SET version = accounts_factversion.version + 1, seal = NULL, moved_in = excluded.moved_in;
    RETURN NULL;
END $$;
"""
BEFORE = import_module("accounts.migrations.0002_fact_versions").BUMP.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)

TRIGGERS = (
    ("accounts_onetimecode", "user_id"),
    ("accounts_recoverycode", "user_id"),
    ("accounts_appsubject", "app_id"),
    ("accounts_identityprovider", "account_id"),
    ("accounts_externalidentity", "user_id"),
)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0017_news_by_mail")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="row_key_sealed",
            field=models.BinaryField(help_text="of the seals on rows; none before the first start", null=True),
        ),
        migrations.AddField(
            model_name="factversion",
            name="seal",
            field=models.BinaryField(
                help_text="accounts.row_seals; none since the last change", max_length=32, null=True
            ),
        ),
        migrations.AddField(
            model_name="factversion",
            name="moved_in",
            field=models.BigIntegerField(help_text="the transaction that changed it last", null=True),
        ),
        migrations.AddIndex(
            model_name="factversion",
            index=models.Index(condition=models.Q(("seal__isnull", True)), fields=["moved_in"], name="fact_unsealed"),
        ),
        migrations.RunSQL(BUMP, BEFORE),
        *(
            migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}")
            for table, column in TRIGGERS
        ),
    ]
