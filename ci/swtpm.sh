#!/usr/bin/env bash
# Makes sure that there is a software TPM (swtpm), which the tests of Azure's vTPM put behind a forged paravisor. Where it is missing and this
# user may, Debian's package is installed, which is said; else those tests say that they are skipped.
set -euo pipefail

if command -v swtpm >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null || ((EUID != 0)); then
  printf 'swtpm.sh: swtpm is not installed; install it (on Debian: apt-get install swtpm)\n' >&2
  exit 1
fi
printf 'swtpm.sh: installing the package swtpm\n' >&2
apt-get install -y --no-install-recommends swtpm >/dev/null || {
  printf 'swtpm.sh: apt-get could not install swtpm; is its list of packages old (apt-get update)?\n' >&2
  exit 1
}
