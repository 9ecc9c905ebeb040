"""The record takes INSERT and SELECT only, whoever asks. The server's role is denied the rest as well (provisioning)."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION keystead_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION keystead_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION keystead_refuse_change();
-- Every call appends; what is frozen once is not visited again.
ALTER TABLE audit_entry SET (autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE audit_entry ALTER COLUMN "time" SET DEFAULT clock_timestamp();
"""
ALLOW = """
DROP TRIGGER append_only ON audit_entry;
DROP TRIGGER append_only_truncate ON audit_entry;
DROP FUNCTION keystead_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunSQL(REFUSE, ALLOW)]
