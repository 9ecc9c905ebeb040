from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0007_partitions"),
    ]

    operations = [
        migrations.AddField(
            model_name="logsink",
            name="batch_end",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="logsink",
            name="lagging_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="logsink",
            name="kind",
            field=models.CharField(
                choices=[("syslog", "Syslog"), ("splunk", "Splunk"), ("webhook", "Webhook"), ("s3", "S3")],
                max_length=8,
            ),
        ),
    ]
