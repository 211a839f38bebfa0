#!/usr/bin/env bash
# Every test, the quick ones first. `make test` calls it once scripts/setup.sh has put everything in place.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "the page's own logic"
node --test tests/page/*.test.mjs

step "an RTSP player of others' making, which the whole-system tests drive"
target=${CARGO_TARGET_DIR:-$PWD/target}/retina
cargo build --locked --manifest-path tests/retina/Cargo.toml --target-dir "$target"
export OCELLI_RETINA=$target/debug/retina-player

step "every crate, and the whole system against real cameras and viewers"
cargo test --workspace --locked

step "the ring of pictures, under a model checker"
cargo test -p ocelli-hub --features model --locked ring::model

step "the page in a browser"
# The program that the tests above were built with: building it alone would choose other features of its
# dependencies and compile them all again.
OCELLI_BIN=${OCELLI_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/ocelli} node --test tests/browser/*.test.mjs

step "everything passed"
