#!/usr/bin/env bash
# Holds SBOMs against the JSON schema of CycloneDX 1.6, and their licences against the list of SPDX that comes with it.
#
#   ci/cyclonedx.sh FILE...
#
# The schemas come out of the PyPI wheel of cyclonedx-python-lib (Apache-2.0), the validator is fastjsonschema (BSD-3-Clause). Both
# are pinned by digest, which pip checks before it keeps a file, and lie in `.cache/cyclonedx`; nothing is installed into the
# system. Exit status 3 says that they could not be had, 1 that a file does not keep to the schema.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/cyclonedx

unavailable() {
  printf 'cyclonedx.sh: %s\n' "$*" >&2
  exit 3
}

if [[ ! -d $dest/cyclonedx/schema/_res || ! -f $dest/fastjsonschema/__init__.py ]]; then
  python3 -m pip --version >/dev/null 2>&1 || unavailable 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'
  mkdir -p -- "$root/.cache"
  # Beside the destination, so that the last step is a rename inside one file system: nobody ever sees half of it.
  incoming=$(mktemp -d "$root/.cache/cyclonedx.XXXXXX")
  trap 'rm -rf -- "$incoming"' EXIT
  printf 'installing the CycloneDX schemas (cyclonedx-python-lib 11.12.0) and fastjsonschema 2.22.3 from PyPI into %s\n' "$dest" >&2
  cat >"$incoming/requirements.txt" <<'REQUIREMENTS'
cyclonedx-python-lib==11.12.0 --hash=sha256:0e807521a921a5c3cb8ce1153f8a61d29eedfe76a46aac2796b7c6b573391a54
fastjsonschema==2.22.3 --hash=sha256:f670b443830b75aca3f00b75949efa20f4b2a80302ec7a21505c28dd54cffd43
REQUIREMENTS
  # The wheels are opened as archives, so the Python version that runs here need not be the one that they ask for.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --python-version 3.11 --requirement "$incoming/requirements.txt" --dest "$incoming" >&2 ||
    unavailable 'pip could not download the pinned wheels; is the package index reachable?'
  for wheel in "$incoming"/*.whl; do python3 -m zipfile -e "$wheel" "$incoming/unpacked"; done
  rm -rf -- "$dest"
  mv -- "$incoming/unpacked" "$dest"
fi
exec python3 "$root/ci/cyclonedx.py" "$dest" "$@"
