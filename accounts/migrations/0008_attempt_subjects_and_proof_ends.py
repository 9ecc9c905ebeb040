"""Counters that an operator can find by whom they slow down, and ends that no refresh of a session goes past."""

from django.db import migrations, models

# Sessions that there are end when they said they would.
KEEP = "UPDATE accounts_session SET proof_ends_at = expires_at;"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_mail_sent_and_new_email"),
    ]

    operations = [
        migrations.AddField(
            model_name="attemptcounter",
            name="subject",
            field=models.BinaryField(db_index=True, default=b"", max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="session",
            name="proof_ends_at",
            field=models.DateTimeField(help_text="past which no refresh stretches it; null is no such end", null=True),
        ),
        migrations.RunSQL(KEEP, migrations.RunSQL.noop),
    ]
