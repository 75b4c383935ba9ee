#!/usr/bin/env bash
# Finds skopeo and umoci, two readers of OCI image layouts that are not ours, and prints the folder that holds both.
#
# Where they are not installed and the machine is a Debian or Ubuntu, their packages are taken from the distribution's archive
# (apt checks the signature) and unpacked into `.cache/oci-readers`: nothing is installed, and no rights are needed.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache/oci-readers

fail() {
  printf 'oci_readers.sh: %s\n' "$*" >&2
  exit 1
}
work() { "$1/skopeo" --version >/dev/null 2>&1 && "$1/umoci" --version >/dev/null 2>&1; }

if ! work "$cache/bin"; then
  mkdir -p -- "$cache/bin"
  if command -v skopeo >/dev/null && command -v umoci >/dev/null; then
    ln -sf -- "$(command -v skopeo)" "$(command -v umoci)" "$cache/bin/"
  else
    for tool in apt-get dpkg-deb; do
      command -v "$tool" >/dev/null || fail "skopeo and umoci are not installed, and without $tool they cannot be fetched"
    done
    cd -- "$cache"
    mkdir -p lists/partial archives/partial unpacked
    # Lists and archives of its own: the system's are for root.
    apt=(apt-get --quiet --quiet -o "Dir::State::Lists=$cache/lists" -o "Dir::Cache=$cache/archives" -o 'APT::Sandbox::User=root')
    "${apt[@]}" update >&2
    "${apt[@]}" download skopeo umoci libdevmapper1.02.1 libgpgme11 libassuan0 >&2 || fail 'the archive of the distribution does not have them'
    for package in ./*.deb; do dpkg-deb --extract "$package" unpacked; done
    rm -rf -- ./*.deb lists archives
    for tool in skopeo umoci; do
      cat >"bin/$tool" <<SCRIPT
#!/bin/sh
export LD_LIBRARY_PATH='$cache/unpacked/usr/lib/$(uname -m)-linux-gnu:$cache/unpacked/lib/$(uname -m)-linux-gnu'
exec '$cache/unpacked/usr/bin/$tool' "\$@"
SCRIPT
      chmod +x "bin/$tool"
    done
  fi
  work "$cache/bin" || fail 'skopeo and umoci do not run here'
fi
printf '%s\n' "$cache/bin"
