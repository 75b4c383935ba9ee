#!/usr/bin/env bash
# Unpacks what predictions are compared with, and what our own guest is made of (ci/uki.sh), into `.cache/debian`: Debian 12's OVMF
# firmware, systemd's stub, a signed kernel and busybox, each pinned by digest (about 36 MB of downloads). Nothing is installed, and
# nothing of them is committed.
#
# Needs Debian 12's apt and dpkg; where they are not there the tests that want these files say that they were skipped.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/debian

fail() {
  printf 'debian.sh: %s\n' "$*" >&2
  exit 1
}

packages='
ovmf 2022.11-6+deb12u2 e73d3d1a8799f7f6fc16b73501d913edcdd86237556fbff30693e747e6dc262e
systemd-boot-efi 252.39-1~deb12u2 8f2b81bdcfafc466882a0cae460272dbf10d8d97c6a3c1c6ea33038c155a2f5e
linux-image-6.1.0-56-cloud-amd64 6.1.192-2 e7d02b943971edcb8790e256c02cfab3bca6c3d37c1bf25392a57c71300615ee
busybox-static 1:1.35.0-4+deb12u1+b1 3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744
'
stamp=$(sha256sum <<<"$packages")
if [[ -f $dest/.stamp && $(<"$dest/.stamp") == "$stamp" ]]; then
  exit 0
fi
for tool in apt-get dpkg; do
  command -v "$tool" >/dev/null || fail "$tool is not installed; these files come out of Debian's packages"
done

mkdir -p "$root/.cache"
incoming=$(mktemp -d "$root/.cache/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT
cd -- "$incoming"
while read -r name version digest; do
  [[ -n $name ]] || continue
  printf 'fetching %s %s from the Debian archive\n' "$name" "$version" >&2
  apt-get -qq download "$name=$version" 2>/dev/null ||
    fail "$name $version cannot be fetched; is this Debian 12, and was \`apt-get update\` run?"
  file=$(find . -maxdepth 1 -name "${name}_*.deb" -print -quit)
  sha256sum --check --status <<<"$digest  $file" || fail "$file is not the package that is pinned"
  dpkg -x "$file" unpacked
  rm -- "$file"
done <<<"$packages"
printf '%s' "$stamp" >unpacked/.stamp
rm -rf -- "$dest"
mv -- unpacked "$dest"
