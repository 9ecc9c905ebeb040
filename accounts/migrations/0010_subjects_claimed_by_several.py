from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_client_trust_notified")]

    operations = [
        migrations.RemoveConstraint(model_name="appsubject", name="one_app_per_issuer_and_subject"),
        migrations.AddIndex(
            model_name="appsubject",
            index=models.Index(fields=["issuer", "subject"], name="claimants_of_a_subject"),
        ),
        migrations.AddConstraint(
            model_name="appsubject",
            constraint=models.UniqueConstraint(
                fields=("app", "issuer", "subject"), name="an_app_claims_a_subject_once"
            ),
        ),
    ]
