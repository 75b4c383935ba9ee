#!/usr/bin/env bash
# Installs the stock clients of the Open Inference Protocol into `.cache/clients`: `tritonclient[http]` 2.73.0 and `kserve`
# 0.21.0 from PyPI with what they import, pinned by hash in ci/clients-requirements.txt. ci/clients.py makes every call that
# they have, through a `teegate proxy`; `tests/tests/path/proxy_clients.rs` starts both.
#
#   PYTHONPATH=.cache/clients python3 ci/clients.py http://127.0.0.1:PORT enclave-app/models/breast-cancer
#
# Does nothing when they are already there. Nothing of them is committed, and nothing of the system's Python changes.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/clients
requirements=$root/ci/clients-requirements.txt

fail() {
  printf 'clients.sh: %s\n' "$*" >&2
  exit 1
}

command -v python3 >/dev/null || fail 'python3 is not installed; install Python 3.11, 3.12 or 3.13 with pip'
# Compiled packages are for one version of Python.
stamp=$(python3 -V | sha256sum - "$requirements")
if [[ -f $dest/.stamp && $(<"$dest/.stamp") == "${stamp//"$root"/}" ]]; then
  exit 0
fi
python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
  fail "the packages are pinned for Python 3.11 to 3.13, this is $(python3 --version)"
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'

mkdir -p "$root/.cache"
incoming=$(mktemp -d "$root/.cache/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT

printf 'installing the stock clients: tritonclient and kserve with %s packages in all from PyPI (about 100 MB), into %s\n' \
  "$(grep -c '^[A-Za-z].*==' "$requirements")" "$dest" >&2
export PIP_ROOT_USER_ACTION=ignore # it warns about a system's Python, which is not touched
python3 -m pip --quiet --disable-pip-version-check install --no-deps --no-compile --only-binary=:all: --require-hashes \
  --requirement "$requirements" --target "$incoming/python" >&2 ||
  fail 'pip could not install what ci/clients-requirements.txt pins; is the package index reachable?'
printf '%s' "${stamp//"$root"/}" >"$incoming/python/.stamp"
rm -rf -- "$dest"
mv -- "$incoming/python" "$dest"
