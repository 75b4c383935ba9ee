#!/usr/bin/env bash
# Runs everything that decides whether a change is good: formatting, lints, licences, floors, tests.
#
#   ci/test.sh              all of it
#   ci/test.sh --no-lint    only the tests
#   ci/test.sh --no-minilm without the 90 MB model (about 120 MB of downloads less)
#   ci/test.sh --no-clients without the stock clients of the Open Inference Protocol (about 100 MB of downloads less)
#
# A fresh machine needs rustup's toolchain, gcc and python3 with pip. What is installed on top is said as it happens:
# crates from the public registry into cargo's own cache, ONNX Runtime, the MiniLM model, the stock clients, ONNX's node tests, sigstore-python, the
# schemas of result formats, kubectl and helm for deploy/ and, where valgrind is not installed, Debian's package of it into `.cache`, builds into `target`. Nothing
# is installed system-wide but, where they are missing and root runs this, Debian's packages of swtpm, QEMU and zstd. The last line is the count over all test binaries, in which a test
# that says of itself that it was skipped is not counted as passed; the exit status is cargo's own when a test fails, and 1
# when only a lint or a licence does.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"

export CARGO_TERM_COLOR=never # the summary is read off cargo's output

lint=yes
minilm=yes
clients=yes
for argument in "$@"; do
  case "$argument" in
    --no-lint) lint=no ;;
    --no-minilm) minilm=no ;;
    --no-clients) clients=no ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      printf 'test.sh: unknown option "%s"; known are --no-lint, --no-minilm and --no-clients\n' "$argument" >&2
      exit 2
      ;;
  esac
done

need() {
  command -v "$1" >/dev/null || {
    printf 'test.sh: %s is not installed; %s\n' "$1" "$2" >&2
    exit 1
  }
}
need cargo 'install Rust 1.95 or newer with rustup'
need cc 'install a C compiler (on Debian: apt-get install gcc); aws-lc is compiled from source'
need python3 'install Python 3.9 or newer with pip'

say() { printf '\n== %s\n' "$*"; }
failed=()       # what failed beside the tests
not_run=()      # what did not run, and why
step() { # step NAME COMMAND...: runs it and remembers a failure
  local name=$1
  shift
  say "$name"
  "$@" || failed+=("$name")
}
beside() { # beside NAME SCRIPT: holds ours against what others wrote; status 3 says that it could not be had
  local code=0
  say "$1"
  "$2" || code=$?
  case $code in
    0) ;;
    3) not_run+=("$1: $2 could not get what it needs, its message stands above") ;;
    *) failed+=("$1: $2") ;;
  esac
}
component() { # component NAME: makes sure that the toolchain has it
  if ! cargo "${1#rust}" --version >/dev/null 2>&1; then
    say "installing the toolchain component $1"
    rustup component add "$1" || true
  fi
}

say "$(rustc --version), $(python3 --version), $(nproc) processors; caches in .cache and target"

if [[ $lint == yes ]]; then
  component rustfmt
  component clippy
  step 'cargo fmt --check' cargo fmt --all --check
  step 'licences, bans and sources' ci/licences.sh
  step 'floors: no circle, no arrow up' python3 ci/floors.py
  step 'the code and the test of each check' python3 ci/kept.py
  step 'what images and their papers are written by' python3 ci/images_tests.py
  step 'what holds a release against its source' python3 ci/reproduce_tests.py
  step 'packages of every crate' ci/package.sh
  not_run+=('advisories: "cargo deny --config ci/deny.toml check advisories" needs cargo-deny and the network')
  if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    step 'places of the mutants' ci/mutants.sh --list
  else
    not_run+=('places of the mutants: python3 is older than 3.11')
  fi
  if command -v shellcheck >/dev/null; then
    step 'shellcheck' shellcheck ci/*.sh .ci/run
  else
    not_run+=('shellcheck: it is not installed')
  fi
else
  not_run+=('formatting, licences, places of the mutants, clippy: --no-lint was given')
fi

say 'ONNX Runtime'
ci/onnxruntime.sh
if [[ $minilm == no ]]; then
  not_run+=('MiniLM: --no-minilm was given')
elif ! ci/minilm.sh; then
  not_run+=('MiniLM: ci/minilm.sh could not build the model, its message stands above')
fi
if [[ $clients == no ]]; then
  not_run+=('stock clients: --no-clients was given')
elif ! ci/clients.sh; then
  not_run+=('stock clients: ci/clients.sh could not install them, its message stands above')
fi
ci/onnx_nodes.sh ||
  not_run+=("ONNX's node tests: ci/onnx_nodes.sh could not write them, its message stands above")
ci/schemas.sh || not_run+=('schemas of SARIF and JUnit: ci/schemas.sh could not install them, its message stands above')
ci/debian.sh || not_run+=("predictions beside Debian's firmware, stub and kernel: ci/debian.sh could not fetch them, its message stands above")
ci/acpi.sh --check || not_run+=('ACPI tables rebuilt from shapes of a VM: ci/acpi.sh could not rebuild them, its message stands above')
ci/sev_snp_measure.sh ||
  not_run+=('launch digests beside another implementation: ci/sev_snp_measure.sh could not install it, its message stands above')
ci/valgrind.sh || not_run+=('instructions and allocations of a call: ci/valgrind.sh found no valgrind, its message stands above')
ci/swtpm.sh || not_run+=("Azure's vTPM behind a forged paravisor: ci/swtpm.sh found no swtpm, its message stands above")
[[ -d ../shared/fixtures ]] ||
  not_run+=('recorded cases of ../shared/fixtures: the folder is not there; the recorded evidence of pinned crates and forged evidence stand in')
[[ -e /sys/kernel/config/tsm/report ]] ||
  not_run+=('evidence from a real TEE: this machine has no /sys/kernel/config/tsm/report')
not_run+=('tests/bench: ci/bench.sh builds and runs it')
not_run+=('tests/load, the path under load and a fleet of a thousand: ci/load.sh and ci/gateway.sh build and run it')
not_run+=('images of enclave-app and gateway: ci/images.sh builds and checks them; the tests of what writes them ran')
not_run+=('the long run of the fuzz targets: ci/fuzz.sh; what ran is some thousand mutations of each')

if [[ $lint == yes ]]; then
  step 'clippy, warnings are errors' cargo clippy --locked --all-targets -- -D warnings
fi

say 'building the programs that the end-to-end tests start'
status=0
cargo build --locked --bins || status=$?
# Instructions mean something only of what is optimised. This compiles the verifier once more, for release.
((status != 0)) || cargo build --locked --release --package teegate-speed --bin teegate-speed || status=$?

if ((status == 0)); then step 'the walk of the README' ci/walk.sh; fi
if ((status == 0)); then step 'the walk of an operator' ci/operate.sh; fi

log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
if ((status == 0)); then
  say 'cargo test'
  # Tests say in a line that begins with `note: ` what they ran or left out; the end repeats those lines. With one test
  # at a time libtest has begun the line with the name of the test.
  cargo test --locked --no-fail-fast 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
fi

say 'what deploy/ ships'
deployed=$(ci/deploy.sh) || failed+=('what deploy/ ships: ci/deploy.sh')
printf '%s\n' "$deployed"
while read -r line; do not_run+=("${line#skipped: }"); done < <(grep '^skipped: ' <<<"$deployed")

if ((status == 0)); then
  say 'our own guest, booted and attested'
  booted=0
  ci/guest.sh --tested || booted=$?
  case $booted in
    0) ;;
    3) not_run+=('our own guest, booted in QEMU and attested: ci/guest.sh could not get what it needs, its message stands above') ;;
    *) failed+=('our own guest: ci/guest.sh') ;;
  esac
fi

if ((status == 0)); then
  beside "the TPM module beside Microsoft's crate azure-tpm" ci/azure_tpm.sh
  beside 'signers of bundles beside sigstore-python' ci/sigstore.sh
fi

say 'summary'
grep -E '^test [^ ].* \.\.\. FAILED$' "$log" | sort -u || true
grep -E '^error: ' "$log" || true
grep -oE '(^|^test .* \.\.\. )note: .*' "$log" | sed 's/^test .* \.\.\. note: /note: /' | grep -v 'RUST_BACKTRACE' | sort -u || true
grep -E '^test result: ' "$log" | grep -v ' 0 passed; 0 failed; 0 ignored' || true
for line in "${not_run[@]}"; do printf 'not run: %s\n' "$line"; done
for name in ${failed[@]+"${failed[@]}"}; do printf 'failed: %s\n' "$name"; done
if ((status != 0)); then printf 'failed: cargo, exit status %d\n' "$status"; fi

# A test that says `note: skipped: ` has passed as far as libtest knows, and has shown nothing.
awk '/(^|^test .* \.\.\. )note: skipped: / { noted += 1 }
  /^test result: / { passed += $4; failed += $6; skipped += $8 }
  END { printf "%d passed, %d failed, %d skipped\n", passed - noted, failed, skipped + noted }' "$log"

if ((status == 0 && ${#failed[@]} > 0)); then status=1; fi
exit "$status"
