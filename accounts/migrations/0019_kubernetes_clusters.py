"""Kubernetes clusters, who of them comes in as which app, and by what a session was opened."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0018_row_seals"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="binding",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="cluster",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="cluster_trust",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.CreateModel(
            name="KubernetesCluster",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=256)),
                ("description", models.TextField(blank=True, default="")),
                ("issuer", models.CharField(max_length=512)),
                ("audience", models.CharField(max_length=512)),
                ("keys", models.JSONField()),
                ("algorithms", models.JSONField(default=list)),
                ("max_token_seconds", models.PositiveIntegerField()),
                ("enabled", models.BooleanField(default=True)),
                ("trust_version", models.PositiveIntegerField(default=1)),
                ("creator_kind", models.CharField(max_length=16)),
                ("creator_id", models.UUIDField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="clusters", to="accounts.account"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="KubernetesBinding",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("namespace", models.CharField(max_length=63)),
                ("service_account", models.CharField(max_length=253)),
                ("creator_kind", models.CharField(max_length=16)),
                ("creator_id", models.UUIDField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "app",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="bindings", to="accounts.app"
                    ),
                ),
                (
                    "cluster",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="bindings",
                        to="accounts.kubernetescluster",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="kubernetescluster",
            constraint=models.UniqueConstraint(fields=("account", "name"), name="cluster_name_unique_in_account"),
        ),
        migrations.AddConstraint(
            model_name="kubernetesbinding",
            constraint=models.UniqueConstraint(
                fields=("cluster", "namespace", "service_account", "app"),
                name="a_binding_is_made_once",
            ),
        ),
    ]
