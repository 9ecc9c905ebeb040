from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("policies", "0004_approvals_due")]

    operations = [
        migrations.AddField(
            model,
            "protection",
            models.JSONField(null=True, help_text="what was chosen to be guarded, as policies.guarded keeps it"),
        )
        for model in ("accountpolicy", "grouppolicy")
    ]
