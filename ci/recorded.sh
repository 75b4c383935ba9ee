#!/usr/bin/env bash
# Prints where cargo keeps the source of the crates that carry recorded hardware evidence, one `NAME DIRECTORY` a line.
# The crates are pinned in Cargo.lock; cargo checks their digests and downloads them when they are not there yet.
# Nothing is copied: the folders are read where they are.
#
#   ci/recorded.sh              both crates
#   ci/recorded.sh dcap-qvl     the folder of one, alone on the line
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
metadata=$(mktemp)
trap 'rm -f -- "$metadata"' EXIT
cargo metadata --locked --format-version 1 >"$metadata"

python3 - "$metadata" "$@" <<'PYTHON'
import json, os, sys

with open(sys.argv[1], encoding="utf-8") as file:
    packages = json.load(file)["packages"]
wanted = sys.argv[2:] or ["sev", "dcap-qvl"]
for name in wanted:
    folders = [os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == name and p["source"]]
    if len(folders) != 1:
        sys.exit(f"recorded.sh: Cargo.lock holds {len(folders)} packages named {name}, expected one")
    print(folders[0] if len(wanted) == 1 else f"{name} {folders[0]}")
PYTHON
