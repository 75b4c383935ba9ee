#!/usr/bin/env bash
# Installs the one ONNX Runtime library that enclave-app accepts into `.cache/onnxruntime`.
#
# The library comes out of the official PyPI wheel. Two digests are pinned for each architecture: that of the wheel,
# which pip checks before it keeps the file, and that of the library itself, which is also compiled into enclave-app
# and is checked again when it starts. Prints what it installs; does nothing when the library is already there.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
version=1.31.1
dest=$root/.cache/onnxruntime
library=$dest/lib/libonnxruntime.so

fail() {
  printf 'onnxruntime.sh: %s\n' "$*" >&2
  exit 1
}

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)
    platform=manylinux_2_28_x86_64
    wheel_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
    library_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
    ;;
  Linux-aarch64)
    platform=manylinux_2_28_aarch64
    wheel_sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
    library_sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
    ;;
  *) fail "no ONNX Runtime is pinned for $(uname -s) on $(uname -m); Linux on x86_64 or aarch64 is needed" ;;
esac

has_digest() { printf '%s  %s\n' "$1" "$2" | sha256sum --check --status - 2>/dev/null; }

if [[ -f $library ]] && has_digest "$library_sha256" "$library"; then
  exit 0
fi

command -v python3 >/dev/null || fail 'python3 is not installed; install Python 3.9 or newer with pip'
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'

mkdir -p "$dest/lib"
# Beside the destination, so that the last step is a rename inside one file system: nobody ever sees half a library.
incoming=$(mktemp -d "$dest/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT

printf 'installing ONNX Runtime %s (MIT licence) from PyPI, onnxruntime wheel cp311 %s, into %s\n' \
  "$version" "$platform" "$dest" >&2
printf 'onnxruntime==%s --hash=sha256:%s\n' "$version" "$wheel_sha256" >"$incoming/requirements.txt"
# The wheel is opened as an archive and never imported, so its Python version need not be the one that runs here.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --implementation cp --python-version 3.11 --abi cp311 --platform "$platform" \
  --requirement "$incoming/requirements.txt" --dest "$incoming" >&2 ||
  fail "pip could not download onnxruntime $version with sha256 $wheel_sha256; is the package index reachable?"

python3 - "$incoming" "$version" <<'PYTHON' || fail 'the onnxruntime wheel does not hold the files that were expected'
import pathlib, shutil, sys, zipfile

folder, version = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for member, name in {
        f"onnxruntime/capi/libonnxruntime.so.{version}": "libonnxruntime.so",
        "onnxruntime/LICENSE": "LICENSE",
        "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
    }.items():
        with archive.open(member) as source, open(folder / name, "xb") as target:
            shutil.copyfileobj(source, target)
PYTHON

has_digest "$library_sha256" "$incoming/libonnxruntime.so" ||
  fail "libonnxruntime.so has sha256 $(sha256sum <"$incoming/libonnxruntime.so" | cut -c1-64), expected $library_sha256; nothing was installed"

mv -f -- "$incoming/LICENSE" "$incoming/ThirdPartyNotices.txt" "$dest/"
mv -f -- "$incoming/libonnxruntime.so" "$library"
