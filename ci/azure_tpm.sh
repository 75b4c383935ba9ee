#!/usr/bin/env bash
# Holds teegate's TPM module (enclave-app/attester/src/tpm) against another client of the same TPM: the crate `azure-tpm` 0.1.1 of Microsoft
# (MIT), on one swtpm. NV, registers, the key and quotes have to be the same to both; OpenSSL judges the signatures.
#
# Part of ci/test.sh. The crate brings some 40 others: they are fetched by the Cargo.lock of ci/azure_tpm, which is a workspace of its own, built
# into `target/azure-tpm`, and never come near what is shipped. Ends with 3 where it could not get what it needs, and with 1 where the two
# disagree.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
case "${1:-}" in
  '') ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit $([[ ${1:-} == -h || ${1:-} == --help ]] && echo 0 || echo 2)
    ;;
esac
ci/swtpm.sh || exit 3
command -v openssl >/dev/null || {
  printf 'azure_tpm.sh: openssl is not installed\n' >&2
  exit 3
}
cargo fetch --quiet --locked --manifest-path ci/azure_tpm/Cargo.toml || exit 3
state=$(mktemp -d)
trap 'rm -rf -- "$state"' EXIT
CARGO_TARGET_DIR=$root/target/azure-tpm cargo run --quiet --locked --manifest-path ci/azure_tpm/Cargo.toml -- "$state"
