"""A security object's version moves with its row (see accounts 0002)."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("objects", "0001_initial"), ("accounts", "0002_fact_versions")]

    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER fact_version AFTER INSERT OR UPDATE OR DELETE ON objects_securityobject "
            "FOR EACH ROW EXECUTE FUNCTION keystead_bump_fact_version('id');",
            "DROP TRIGGER fact_version ON objects_securityobject",
        ),
    ]
