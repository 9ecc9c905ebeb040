from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("objects", "0004_quorum")]

    operations = [
        migrations.AddIndex(
            "securityobject",
            models.Index(fields=["account"], condition=models.Q(quorum__isnull=False), name="object_own_quorums"),
        )
    ]
