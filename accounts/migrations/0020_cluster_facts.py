"""The tables of clusters get their triggers: a cluster and its bindings are one subject, for one login reads them all."""

from importlib import import_module

from django.db import migrations

create = import_module("accounts.migrations.0002_fact_versions").create

TRIGGERS = (
    ("accounts_kubernetescluster", "id"),
    ("accounts_kubernetesbinding", "cluster_id"),
)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0019_kubernetes_clusters")]

    operations = [
        migrations.RunSQL(create(table, column), f"DROP TRIGGER fact_version ON {table}") for table, column in TRIGGERS
    ]
