{{- /* An image by digest, and nothing else. */ -}}
{{- define "teegate.image" -}}
{{- $digest := .image.digest | default "" -}}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" $digest) -}}
{{- fail (printf "%s.image.digest: expected sha256: and 64 digits of lower-case hex; an image by tag is whatever the registry says today" .of) -}}
{{- end -}}
{{ .image.repository }}@{{ $digest }}
{{- end -}}
