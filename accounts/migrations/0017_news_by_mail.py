from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0016_external_own_roles"),
    ]

    operations = [
        migrations.AlterField(
            model_name="outgoingmail",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("invitation", "Invitation"),
                    ("confirm-email", "Confirm Email"),
                    ("reset-password", "Reset Password"),
                    ("log-lagging", "Log Lagging"),
                ],
                max_length=16,
            ),
        ),
    ]
