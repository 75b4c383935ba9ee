#!/usr/bin/env bash
# Builds the enclave-app of a release from its source in two folders, and says whether both gave the same bytes.
#
#   ci/reproduce.sh                what is committed here (HEAD)
#   ci/reproduce.sh COMMIT         of that commit
#   ci/reproduce.sh --check FILE   of the commit that a file of measurements/values names, and whether its digest comes out again
#   ci/reproduce.sh --once COMMIT  one build alone
#
# Paths are taken out of the program (`--remap-path-prefix`, `-ffile-prefix-map`), the environment is emptied but for what finds the
# toolchain, and time and locale are fixed. The digest is of one version of rustc and of the C compiler, which it prints: another one gives
# another digest, and that says nothing. Crates come from cargo's cache, or are fetched as Cargo.lock pins them. A build takes some
# minutes and 1 GB in a temporary folder (TMPDIR).
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
fail() {
  printf 'reproduce.sh: %s\n' "$*" >&2
  exit 1
}

mode=twice commit=HEAD expected=
case "${1:-}" in
  --check)
    file=${2:?reproduce.sh: --check needs a file of measurements/values}
    commit=$(sed -n 's/^commit = "\([0-9a-f]*\)"$/\1/p' "$file")
    expected=$(sed -n 's/^sha256 = "\([0-9a-f]*\)"$/\1/p' "$file")
    [[ -n $commit && -n $expected ]] || fail "$file names no commit and sha256"
    for tool in rustc cc; do
      wanted=$(sed -n "s/^$tool = \"\(.*\)\"\$/\1/p" "$file")
      found=$("$tool" --version | head -n 1)
      [[ $wanted == "$found" ]] || fail "the digest is of \`$wanted\`, and here is \`$found\`: no digest of this machine can be compared"
    done
    mode=once
    ;;
  --once) mode=once commit=${2:-HEAD} ;;
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  -*) fail "unknown option \"$1\"; known are --check and --once" ;;
  ?*) commit=$1 ;;
esac
named=$commit
commit=$(git -C "$root" rev-parse --verify --quiet "$named^{commit}") || fail "$named is no commit of this repository"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cargo_home=${CARGO_HOME:-$HOME/.cargo} rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

build() { # build FOLDER: prints the digest of the program
  local folder=$1
  mkdir -p "$folder"
  git -C "$root" archive "$commit" | tar -x -C "$folder"
  local flags="--remap-path-prefix=$folder=/teegate --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$rustup_home=/rustup"
  (
    cd -- "$folder"
    env -i PATH="$PATH" HOME="$HOME" CARGO_HOME="$cargo_home" RUSTUP_HOME="$rustup_home" LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=0 \
      CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$folder/target" RUSTFLAGS="$flags -C strip=symbols" \
      CFLAGS="-ffile-prefix-map=$folder=/teegate -ffile-prefix-map=$cargo_home=/cargo" \
      cargo build --quiet --locked --release --package teegate-enclave --bin enclave-app >&2
  )
  local program=$folder/target/release/enclave-app
  # A path of this machine in the program is a digest that no other machine can have.
  if grep -qaF -e "$folder" -e "$cargo_home/" -- "$program"; then fail "the program holds a path of this machine"; fi
  cp -- "$program" "$work/enclave-app.last"
  sha256sum "$program" | cut -d' ' -f1
  rm -rf -- "$folder"
}

printf 'building enclave-app of %s with %s\n' "$commit" "$(rustc --version)" >&2
first=$(build "$work/one")
if [[ $mode == twice ]]; then
  # Another folder of another length.
  second=$(build "$work/another-folder/of/another/length")
  [[ $first == "$second" ]] || fail "two builds differ: $first and $second"
fi
if [[ -n $expected && $first != "$expected" ]]; then fail "expected $expected, and this build is $first"; fi
printf 'commit = "%s"\nrustc = "%s"\ncc = "%s"\nbytes = %s\nsha256 = "%s"\n' "$commit" "$(rustc --version)" \
  "$(cc --version | head -n 1)" "$(stat -c %s "$work/enclave-app.last")" "$first"
