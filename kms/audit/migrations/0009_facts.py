"""The sealer keeps the sum of what decisions rest on (kms.audit.fact_moves)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0008_s3_sink"), ("accounts", "0018_row_seals")]

    operations = [
        migrations.AddField(
            model_name="sealing",
            name="facts",
            field=models.BinaryField(help_text="the hidden sum of all facts at this size (fact_moves)", null=True),
        ),
    ]
