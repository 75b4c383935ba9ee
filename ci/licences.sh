#!/usr/bin/env bash
# Checks every package of Cargo.lock against ci/deny.toml: licences, bans, sources. Needs only cargo and python3.
# Advisories are not checked here: they change from day to day and need `cargo deny` and the network.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
metadata=$(mktemp)
trap 'rm -f -- "$metadata"' EXIT
cargo metadata --locked --format-version 1 >"$metadata"
python3 ci/licences.py ci/deny.toml "$metadata"
