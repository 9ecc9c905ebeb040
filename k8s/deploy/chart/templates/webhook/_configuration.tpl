{{/* The program's own configuration, as k8s/webhook/config.py reads it. */}}
{{- define "keystead.webhook.toml" -}}
{{- $webhook := .Values.webhook }}
{{- $name := include "keystead.fullname" (dict "root" . "part" "webhook") }}
{{- $agent := $webhook.agent }}
{{- $agentSettings := dict "image" (include "keystead.image" (dict "root" . "image" $agent.image)) "pull_policy" $agent.image.pullPolicy "resources" $agent.resources "volume_size" $agent.volumeSize "log_level" $agent.logLevel }}
{{- if not $webhook.keystead.addresses }}{{ fail "webhook.keystead.addresses are needed: https://…" }}{{ end }}
{{- $server := dict "addresses" $webhook.keystead.addresses "pins" $webhook.keystead.pins }}
{{- if $webhook.keystead.ca }}{{ $_ := set $server "ca_file" "/etc/keystead-webhook/ca.pem" }}{{ end }}
{{- $token := dict "audience" (required "webhook.audience is needed: the audience of this cluster in Keystead" $webhook.audience) "seconds" (int $agent.tokenSeconds) }}
{{- with $webhook.cluster }}{{ $_ := set $token "cluster" . }}{{ end }}
{{- $kubernetes := dict "namespace" .Release.Namespace "service" $name "configuration" (printf "%s.%s" $name .Release.Namespace) }}
{{- $certificate := dict "mode" "own" "secret" (printf "%s-certificate" $name) }}
{{- if ne $webhook.certificate.mode "own" }}
{{- $certificate = dict "mode" "files" "certificate_file" "/etc/keystead-webhook-tls/tls.crt" "key_file" "/etc/keystead-webhook-tls/tls.key" }}
{{- if include "keystead.webhook.setsBundle" . }}{{ $_ := set $certificate "ca_file" "/etc/keystead-webhook-tls/ca.crt" }}{{ end }}
{{- end }}
{{- $registries := $webhook.registries }}
{{- $images := dict "lookup" $registries.lookup "registries" $registries.allow "plain" $registries.plainHttp "architecture" $registries.architecture }}
{{- if $registries.existingSecret }}{{ $_ := set $images "credentials_file" "/etc/keystead-webhook-registries/config.json" }}{{ end }}
{{- if $registries.ca }}{{ $_ := set $images "ca_file" "/etc/keystead-webhook/registries.pem" }}{{ end }}
{{- dict "log_level" $webhook.logLevel "listen" (dict "address" "0.0.0.0:8443" "telemetry" "0.0.0.0:9470") "agent" $agentSettings "server" $server "token" $token "kubernetes" $kubernetes "certificate" $certificate "images" $images | toToml }}
{{- end }}

{{/* "true" where the webhook itself writes the authority into its registration; cert-manager's injector does it else. */}}
{{- define "keystead.webhook.setsBundle" -}}
{{- $certificate := .Values.webhook.certificate }}
{{- if or (eq $certificate.mode "own") (and (eq $certificate.mode "files") (not $certificate.caBundle)) }}true{{ end }}
{{- end }}
