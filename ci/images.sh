#!/usr/bin/env bash
# Makes the OCI images of enclave-app and teegate-gateway without a container engine, twice, and holds them against what
# docs/IMAGES.md promises: one digest, sizes, no shell, an SBOM that keeps to its schema, what two other readers find in them; then
# runs the programs out of them. By hand, not in CI's every run: the build takes minutes.
#
#   ci/images.sh                       builds both programs for release, without paths of this machine
#   ci/images.sh --programs DIR        takes those in DIR, for a trial: paths of a machine are let pass, and no release manifest is made
#   ci/images.sh --measurements FILE   puts this into the release manifest instead of what ci/measured.py predicts
#   ci/images.sh --out DIR             where the result goes, which must not be there [target/images/out]
#
# Needs a Debian or Ubuntu (dpkg says where each library comes from), cargo, gcc with binutils, python3. Running the programs out of
# the images takes root, a sealed inference through them and what hardware will measure `teegate` and `forge-guest` in `target/debug`
# or in the folder that TEEGATE_PROGRAMS names. What could not be run is said in lines that begin with `note: not run: `.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
caller=$PWD
programs=
measurements=()
out=$root/target/images/out

fail() {
  printf 'images.sh: %s\n' "$*" >&2
  exit 1
}
absolute() { (cd -- "$caller" && realpath -m -- "$1"); }

while (($#)); do
  case "$1" in
    --programs) programs=$(absolute "${2:?--programs needs a folder}") ;;
    --measurements) measurements=(--measurements "$(absolute "${2:?--measurements needs a file}")") ;;
    --out) out=$(absolute "${2:?--out needs a folder}") ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown option \"$1\"; known are --programs, --measurements and --out" ;;
  esac
  shift 2
done
cd -- "$root"
[[ ! -e $out ]] || fail "$out is there already; remove it, or name another folder with --out"
for tool in cargo strip dpkg-query python3; do
  command -v "$tool" >/dev/null || fail "$tool is not installed; on Debian: rustup, apt-get install binutils dpkg python3"
done
ci/onnxruntime.sh

allow=()
if [[ -n $programs ]]; then
  allow=(--allow-paths)
else
  ci/release_programs.sh target/images
  programs=$root/target/images/release
fi
teegate=${TEEGATE_PROGRAMS:-$root/target/debug}/teegate

# Under /tmp, where an image has a place to mount something.
work=$(mktemp -d /tmp/teegate-images.XXXXXX)
chmod 755 "$work"
trap 'rm -rf -- "$work"' EXIT

if [[ ${#allow[@]} == 0 && ${#measurements[@]} == 0 ]]; then
  if [[ -x $teegate ]] && python3 ci/measured.py "$teegate" "$programs" >"$work/measurements.json"; then
    measurements=(--measurements "$work/measurements.json")
  else
    echo "note: not run: what hardware measures of our own guest, which takes $teegate, zstd and Debian's archive"
  fi
fi
for turn in first second; do
  python3 ci/images.py make --programs "$programs" --out "$work/$turn" ${allow[@]+"${allow[@]}"} ${measurements[@]+"${measurements[@]}"}
done
diff --recursive "$work/first" "$work/second" || fail 'two turns made different bytes'
echo 'images: two turns, the same bytes'
python3 ci/images.py check "$work/first"

status=0
ci/cyclonedx.sh "$work/first/"*.cdx.json || status=$?
case $status in
  0) ;;
  3) echo 'note: not run: the SBOMs against their schema, the message stands above' ;;
  *) exit "$status" ;;
esac

images=(enclave-app teegate-gateway)
for name in "${images[@]}"; do python3 ci/images.py unpack "$work/first/$name" "$work/$name"; done
if readers=$(ci/oci_readers.sh); then
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
  for name in "${images[@]}"; do
    layout=$work/first/$name:$version
    named=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["manifests"][0]["digest"])' "$work/first/$name/index.json")
    seen=sha256:$("$readers/skopeo" inspect --raw "oci:$layout" | sha256sum | cut -d' ' -f1)
    [[ $seen == "$named" ]] || fail "skopeo sees $seen in $name, whose index names $named"
    # Reads every blob and compares every digest.
    "$readers/skopeo" --insecure-policy copy --quiet "oci:$layout" "dir:$work/copied-$name"
    "$readers/umoci" unpack --rootless --image "$layout" "$work/umoci-$name" 2>/dev/null
    diff --recursive "$work/umoci-$name/rootfs" "$work/$name" || fail "umoci finds other files in $name"
  done
  echo 'images: skopeo and umoci read the same images'
else
  echo 'note: not run: skopeo and umoci as other readers, the message stands above'
fi

if [[ $(id -u) == 0 ]] && unshare --mount true 2>/dev/null && command -v setpriv >/dev/null; then
  unshare --mount --propagation private python3 ci/images_run.py \
    "$work/enclave-app" "$work/teegate-gateway" "$work" "${TEEGATE_PROGRAMS:-$root/target/debug}"
else
  echo 'note: not run: the programs out of their images, which takes root, mount namespaces and setpriv'
fi

mkdir -p -- "$(dirname -- "$out")"
mv -- "$work/first" "$out"
printf 'images: the result lies in %s\n' "$out"
