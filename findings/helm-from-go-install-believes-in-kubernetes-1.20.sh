#!/usr/bin/env bash
# Helm that `go install` makes believes that every cluster is Kubernetes 1.20, and refuses charts that want a later one.
#
# `helm template` and `helm lint` ask no cluster. They take the version of the Kubernetes libraries that Helm was built with,
# which Helm's own Makefile passes to the linker. Without that, `go install` leaves the fallback of the source: v1.20.0 of
# 2020, although the libraries are of 1.37. A chart whose kubeVersion is ">=1.29.0-0" fails then, and templates that ask
# .Capabilities.KubeVersion take their oldest branch. `--kube-version` tells it another one.
#
# Seen with Helm 3.22.0 by Go 1.26 on 2026-11-28. Go may take some minutes to build it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

go version
GOBIN=$folder go install helm.sh/helm/v3/cmd/helm@v3.22.0
./helm version --template '{{.Version}}{{"\n"}}'
mkdir -p chart/templates
printf 'apiVersion: v2\nname: chart\nversion: 1.0.0\n' > chart/Chart.yaml
# shellcheck disable=SC2016
echo 'version: {{ .Capabilities.KubeVersion.Version }}' > chart/templates/version.yaml

./helm template chart | grep version: | tee seen
echo 'kubeVersion: ">=1.29.0-0"' >> chart/Chart.yaml
if ./helm template chart 2> refusal; then exit 1; fi
cat refusal
grep --quiet 'incompatible with Kubernetes v1.20.0' refusal
./helm template chart --kube-version 1.34.0 | grep version: | tee -a seen
diff - seen <<'EXPECTED'
version: v1.20.0
version: v1.34.0
EXPECTED
go version -m ./helm | sed -n 's/.*k8s.io\/client-go[^v]*\(v[0-9.]*\).*/client-go \1/p'
echo "as described"
