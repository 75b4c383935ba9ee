#!/usr/bin/env bash
# Installs another implementation of SEV-SNP's launch digest into `.cache/sev-snp-measure`: `sev-snp-measure` 0.0.13 from PyPI, pinned
# by hash, without what only its other programs import. `measurements/tests/predict/sev_snp.rs` compares with it.
#
# Does nothing when it is already there. Nothing of it is committed, and nothing of the system's Python changes.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/sev-snp-measure
requirement='sev-snp-measure==0.0.13 --hash=sha256:feda1aebe69dcbf38e9c636ed1d082bb7dc741fc6969f197d39faddb72b2762d'

fail() {
  printf 'sev_snp_measure.sh: %s\n' "$*" >&2
  exit 1
}

if [[ -f $dest/.stamp && $(<"$dest/.stamp") == "$requirement" ]]; then
  exit 0
fi
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'

mkdir -p "$root/.cache"
incoming=$(mktemp -d "$root/.cache/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT
printf '%s\n' "$requirement" >"$incoming/requirements.txt"
printf 'installing sev-snp-measure 0.0.13 from PyPI, into %s\n' "$dest" >&2
export PIP_ROOT_USER_ACTION=ignore # it warns about a system's Python, which is not touched
python3 -m pip --quiet --disable-pip-version-check install --no-deps --no-compile --only-binary=:all: --require-hashes \
  --requirement "$incoming/requirements.txt" --target "$incoming/python" >&2 ||
  fail 'pip could not install it; is the package index reachable?'
printf '%s' "$requirement" >"$incoming/python/.stamp"
rm -rf -- "$dest"
mv -- "$incoming/python" "$dest"
