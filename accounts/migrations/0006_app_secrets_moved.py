from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_who_facts")]

    operations = [
        migrations.RemoveField(model_name="app", name="secret_digest"),
        migrations.RemoveField(model_name="app", name="secret_sealed"),
        migrations.RemoveField(model_name="app", name="secret_version"),
    ]
