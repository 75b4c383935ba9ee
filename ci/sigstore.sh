#!/usr/bin/env bash
# Holds `measurements/sigstore` against sigstore-python 4.5.1 (PyPI, with all that it imports pinned by hash in ci/sigstore-requirements.txt),
# on bundles of the public and the staging instance, on forged ones, and on each with one place changed (ci/sigstore.py).
#
# Part of ci/test.sh. Nothing of it is committed, and nothing of the system's Python changes. Ends with 3 where it could not get what it
# needs, and with 1 where the two disagree.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/sigstore
requirements=$root/ci/sigstore-requirements.txt

fail() {
  printf 'sigstore.sh: %s\n' "$*" >&2
  exit 3
}

cd -- "$root"
command -v python3 >/dev/null || fail 'python3 is not installed; install Python 3.11, 3.12 or 3.13 with pip'
# Compiled packages are for one version of Python.
stamp=$(python3 -V | cat - "$requirements" | sha256sum)
mkdir -p "$root/.cache"
incoming=$(mktemp -d "$root/.cache/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT
if [[ ! -f $dest/.stamp || $(<"$dest/.stamp") != "$stamp" ]]; then
  python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "the packages are pinned for Python 3.11 to 3.13, this is $(python3 --version)"
  python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'
  printf 'installing sigstore 4.5.1 with what it imports from PyPI, into %s\n' "$dest" >&2
  export PIP_ROOT_USER_ACTION=ignore # it warns about a system's Python, which is not touched
  python3 -m pip --quiet --disable-pip-version-check install --no-deps --no-compile --only-binary=:all: --require-hashes \
    --requirement "$requirements" --target "$incoming/python" >&2 ||
    fail 'pip could not install what ci/sigstore-requirements.txt pins; is the package index reachable?'
  printf '%s' "$stamp" >"$incoming/python/.stamp"
  rm -rf -- "$dest"
  mv -- "$incoming/python" "$dest"
fi

cargo build --locked --quiet -p teegate-sigstore --example verify --example forged
folder() {
  cargo metadata --format-version 1 --locked --offline | python3 -c '
import json, pathlib, sys
named = [p for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]]
print(pathlib.Path(named[0]["manifest_path"]).parent)' "$1"
}
programs=${CARGO_TARGET_DIR:-target}/debug/examples
mkdir "$incoming/forged"
"$programs/forged" "$incoming/forged"
# -P: the folder of a script is no place to import from, and this one is called like the package.
PYTHONPATH=$dest python3 -P ci/sigstore.py "$programs/verify" "$(folder sigstore-verify)/test_data" "$(folder sigstore-trust-root)/src" \
  "$incoming/forged"
