#!/usr/bin/env bash
# Packages every crate that could be published, without building the packages, and looks whether each holds its README and
# both licences. `ci/package.sh --verify` also builds what was packaged, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

verify=--no-verify
[[ ${1:-} == --verify ]] && verify=
# What only tests and benchmarks need stays here.
outside=(--exclude teegate-tests --exclude teegate-bench --exclude teegate-forge --exclude teegate-load --exclude teegate-speed --exclude teegate-fuzz --exclude teegate-fuzz-engine --exclude teegate-agent-policy)
for crate in $(python3 - <<'PY'
import json, subprocess
found = json.loads(subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"], capture_output=True, check=True).stdout)
print(*(crate["name"] for crate in found["packages"] if crate["publish"] is None))
PY
); do
  listed=$(cargo package --locked --allow-dirty --list -p "$crate" 2>/dev/null)
  for file in README.md LICENSE-MIT LICENSE-APACHE Cargo.toml; do
    grep -qx "$file" <<<"$listed" || { echo "$crate: no $file in its package" >&2; exit 1; }
  done
done
# A fresh clone is clean; a working copy need not be. What is needed was fetched by the build before.
cargo fetch --locked --quiet
# shellcheck disable=SC2086
if ! said=$(cargo package --workspace "${outside[@]}" --locked --offline --allow-dirty $verify 2>&1); then
  echo "$said" >&2
  exit 1
fi
grep -c '^ *Packaged ' <<<"$said" | sed 's/$/ crates packaged/'
