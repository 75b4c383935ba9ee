#!/usr/bin/env bash
# Finds valgrind, with which the test `speed` counts instructions and allocations, and prints how it is called.
#
# Where it is not installed and the machine is a Debian or Ubuntu, its package is taken from the distribution's archive
# (apt checks the signature) and unpacked into `.cache/valgrind`: nothing is installed, and no rights are needed.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache/valgrind
own=$cache/valgrind

works() { "$1" --version >/dev/null 2>&1; }
if works valgrind; then
  command -v valgrind
  exit 0
fi
if works "$own"; then
  printf '%s\n' "$own"
  exit 0
fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || {
    printf 'valgrind.sh: valgrind is not installed, and without %s it cannot be fetched\n' "$tool" >&2
    exit 1
  }
done

mkdir -p -- "$cache/lists/partial" "$cache/archives/partial" "$cache/unpacked"
cd -- "$cache"
# Lists and archives of its own: the system's are for root.
apt=(apt-get --quiet --quiet -o "Dir::State::Lists=$cache/lists" -o "Dir::Cache=$cache/archives" -o 'APT::Sandbox::User=root')
"${apt[@]}" update >&2
"${apt[@]}" download valgrind >&2
dpkg-deb --extract valgrind_*.deb unpacked
rm -rf -- valgrind_*.deb lists archives
libraries=$(find "$cache/unpacked" -type f -name 'callgrind-*-linux' -print -quit)
program=$cache/unpacked/usr/bin/valgrind.bin
[[ -x $program ]] || program=$cache/unpacked/usr/bin/valgrind
cat >"$own" <<SCRIPT
#!/bin/sh
VALGRIND_LIB='$(dirname -- "$libraries")' exec '$program' "\$@"
SCRIPT
chmod +x -- "$own"
works "$own" || {
  printf 'valgrind.sh: the package of the distribution does not run here\n' >&2
  exit 1
}
printf '%s\n' "$own"
