#!/usr/bin/env bash
# Makes a release from its source in two folders, programs, images and what they measure, and says whether both gave the same bytes.
#
#   ci/reproduce.sh                  what is committed here (HEAD)
#   ci/reproduce.sh COMMIT           that commit
#   ci/reproduce.sh --once COMMIT    in one folder alone, for a look at what comes out
#   ci/reproduce.sh --write COMMIT   in two, and what came out into measurements/values
#   ci/reproduce.sh --check FILE     the commit that FILE of measurements/values names, and whether everything in it comes out again
#   ci/reproduce.sh --program NAME [COMMIT]   enclave-app or teegate-gateway alone, in two folders
#
# Everything is done by the scripts of that commit, on an export of it: ci/release_programs.sh builds, ci/images.py makes the images. The
# bytes are those of one rustc, gcc and binutils, and the images carry libraries of this machine; a release manifest names all of
# them, and where they are others here, that is said and is no verdict. Crates come from cargo's cache, or are fetched as Cargo.lock pins
# them. `teegate`, which predicts what hardware measures, is that of this checkout, in target/debug or where TEEGATE_PROGRAMS says. A folder
# takes minutes to build and 2 GB below TMPDIR, and is deleted before the next one.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
fail() {
  printf 'reproduce.sh: %s\n' "$*" >&2
  exit 1
}

mode=twice commit=HEAD stated='' programs=()
case "${1:-}" in
  --check)
    stated=$(realpath -- "${2:?reproduce.sh: --check needs a file of measurements/values}")
    python3 "$root/ci/release.py" here "$stated"
    commit=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["source"]["commit"])' "$stated")
    mode=once
    ;;
  --once | --write) mode=${1#--} commit=${2:?reproduce.sh: $1 needs a commit} ;;
  --program) programs=("${2:?reproduce.sh: --program needs a name}") commit=${3:-HEAD} ;;
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  -*) fail "unknown option \"$1\"; known are --check, --once, --program and --write" ;;
  ?*) commit=$1 ;;
esac
named=$commit
commit=$(git -C "$root" rev-parse --verify --quiet "$named^{commit}") || fail "$named is no commit of this repository"
if ((${#programs[@]} == 0)); then
  "$root/ci/onnxruntime.sh"
  teegate=${TEEGATE_PROGRAMS:-$root/target/debug}/teegate
  [[ -x $teegate ]] || fail "$teegate, which predicts what hardware measures, is not there; build it with \`cargo build --locked -p teegate\`"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/teegate-reproduce.XXXXXX")
# What differs is worth a look, so it stays then.
trap 'rm -rf -- "$work"' EXIT
digests() { (cd -- "$1" && find . -type f -exec sha256sum {} + | LC_ALL=C sort -k 2); }

make() { # make FOLDER OUT: what the commit gives in FOLDER, which is gone afterwards
  local folder=$1 out=$2 began=$SECONDS
  mkdir -p -- "$folder" "$out/programs"
  git -C "$root" archive "$commit" | tar -x -C "$folder"
  "$folder/ci/release_programs.sh" "$folder/target" ${programs[@]+"${programs[@]}"} >&2
  local program
  for program in "$folder/target/release/"{enclave-app,teegate-gateway}; do
    [[ ! -e $program ]] || mv -- "$program" "$out/programs/"
  done
  rm -rf -- "$folder/target"
  if ((${#programs[@]} == 0)); then
    # What is pinned by digest may come out of the cache of this checkout.
    ln -s -- "$root/.cache" "$folder/.cache"
    python3 "$folder/ci/measured.py" "$teegate" "$out/programs" >"$out/measurements.json"
    python3 "$folder/ci/images.py" make --programs "$out/programs" --out "$out/images" --commit "$commit" --measurements "$out/measurements.json" >&2
  fi
  rm -rf -- "$folder"
  printf 'made %s in a folder of %s characters, %s seconds\n' "$commit" "${#folder}" "$((SECONDS - began))"
}

make "$work/one" "$work/first"
if [[ $mode != once ]]; then
  # Another folder of another length.
  make "$work/another-folder/of/another/length" "$work/second"
  if ! difference=$(diff <(digests "$work/first") <(digests "$work/second")); then
    trap - EXIT
    printf '%s\n' "$difference" >&2
    fail "two folders gave other bytes; both lie in $work"
  fi
  echo 'two folders, the same bytes'
fi
digests "$work/first/programs"
made=$work/first/images/release.json
if [[ -n $stated ]]; then
  python3 "$root/ci/release.py" differences "$stated" "$made"
  printf '%s comes out again, byte for byte\n' "$stated"
elif ((${#programs[@]} == 0)); then
  python3 "$root/ci/release.py" check "$made"
fi
if [[ $mode == write ]]; then
  version=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$made")
  values=$root/measurements/values
  mkdir -p -- "$values"
  cp -- "$made" "$values/$version.json"
  python3 "$root/ci/release.py" values "$made" >"$work/values.toml"
  cp -- "$work/values.toml" "$values/$version.toml"
  printf 'written: %s and %s.toml\n' "measurements/values/$version.json" "$version"
fi
