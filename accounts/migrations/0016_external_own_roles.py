"""A group of a directory can mean roles of the account's own. The tables have their triggers already (0005)."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_app_clients")]

    operations = [
        migrations.AddField(
            model_name="externalrole",
            name="own_roles",
            field=ArrayField(
                base_field=models.UUIDField(),
                default=list,
                help_text="roles of the account's own, on the account",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="externalrolegroup",
            name="own_roles",
            field=ArrayField(
                base_field=models.UUIDField(),
                default=list,
                help_text="roles of the account's own, in the group",
                size=None,
            ),
        ),
    ]
