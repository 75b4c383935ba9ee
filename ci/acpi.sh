#!/usr/bin/env bash
# Rebuilds the ACPI tables of a VM from its shape: what RTMR0 of a TD is made of, beside the firmware. Without KVM, in some seconds a shape.
#
#   ci/acpi.sh --into FOLDER --firmware OVMF.fd -- -machine q35 -smp 4 -m 2048M -nodefaults
#   teegate predict tdx --firmware OVMF.fd --memory 2048 --acpi FOLDER --kernel vmlinuz --initrd initrd.img --append "..."
#
# With `--measured`, a TPM and a `-kernel`, it goes on until the guest has left the firmware behind, and keeps the event log as well, with which
# predictions are compared; Debian 12's firmware measures no ACPI tables with a TPM, so of those it says nothing. `ci/acpi.sh --check` does that
# once, and five shapes without, in half a minute: `ci/test.sh` runs it, and `measurements/tests/predict/rtmr.rs` looks at what lies in
# `.cache/acpi` then.
#
# The tables are those of one QEMU. Debian 12's is installed where there is none and this user may; `--qemu` takes the one of your hosts.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
version='1:7.2+dfsg-7+deb12u18+b3'

fail() {
  printf 'acpi.sh: %s\n' "$*" >&2
  exit 1
}

command -v python3 >/dev/null || fail 'python3 is not installed'
if [[ " $* " != *" --qemu "* ]] && ! command -v qemu-system-x86_64 >/dev/null; then
  if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    fail 'there is no qemu-system-x86_64; install it (on Debian: apt-get install --no-install-recommends qemu-system-x86), or name yours with --qemu'
  fi
  printf 'acpi.sh: installing the package qemu-system-x86 %s\n' "$version" >&2
  apt-get install -y --no-install-recommends "qemu-system-x86=$version" >/dev/null ||
    fail "apt-get could not install it; is this Debian 12, and is its list of packages old (apt-get update)?"
fi

if [[ ${1:-} != --check ]]; then
  exec python3 "$root/ci/acpi.py" "$@"
fi

"$root/ci/debian.sh"
"$root/ci/swtpm.sh"
firmware=$root/.cache/debian/usr/share/ovmf/OVMF.fd
kernel=$root/.cache/debian/boot/vmlinuz-6.1.0-56-cloud-amd64
dest=$root/.cache/acpi
mkdir -p "$root/.cache"
incoming=$(mktemp -d "$root/.cache/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT
shape() { # name, processors, memory, and more
  local name=$1 processors=$2 memory=$3
  shift 3
  python3 "$root/ci/acpi.py" --limit 900 --into "$incoming/$name" --firmware "$firmware" -- \
    -machine q35 -smp "$processors" -m "$memory" -nodefaults "$@"
}
# What cannot be written is refused before QEMU runs for it.
if said=$(python3 "$root/ci/acpi.py" --qemu /nowhere --into "$firmware" --firmware "$firmware" -- -machine q35 2>&1); then
  fail 'a file was taken for the folder that the tables go to'
fi
[[ $said == "acpi.sh: --into $firmware: it, or what it lies in, is a file; "* ]] || fail "of --into a file it said: $said"
shape one 2 256M
shape again 2 256M
shape processors 3 256M
shape memory 2 512M
shape device 2 256M -device virtio-rng-pci
printf 'an initrd' >"$incoming/initrd"
python3 "$root/ci/acpi.py" --limit 900 --measured --into "$incoming/measured" --firmware "$firmware" -- \
  -machine q35 -smp 2 -m 256M -nodefaults -kernel "$kernel" -initrd "$incoming/initrd" -append 'console=hvc0 quiet'
rm -rf -- "$dest"
mv -- "$incoming" "$dest"
trap - EXIT
for name in one again processors memory device measured; do
  printf '%-12s %s\n' "$name" "$(sha384sum <"$dest/$name/acpi-tables" | cut -c1-96)"
done
