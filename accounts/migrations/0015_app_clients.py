"""Apps keep settings that their client programs ask for."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0014_vote_challenges")]

    operations = [
        migrations.AddField(
            model_name="app",
            name="clients",
            field=models.JSONField(default=dict, help_text="settings that its client programs ask for, by program"),
        ),
    ]
