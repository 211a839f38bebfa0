#!/usr/bin/env bash
# Everything that reads the code without running it. `scripts/lint.sh quick` keeps to formatting and clippy.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "formatting"
cargo fmt --all --check
cargo fmt --manifest-path tests/retina/Cargo.toml --check

step "clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings
[ "${1:-}" != quick ] || exit 0

step "documentation"
# Read by those who work on it, private items included, so a link to one is a good link.
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items --locked

step "each crate alone"
for manifest in crates/*/Cargo.toml; do
  name=$(sed -n 's/^name *= *"\(.*\)"/\1/p' "$manifest" | head -n 1)
  cargo check --quiet --locked -p "$name"
done

step "types of the page"
tests/node_modules/.bin/tsc --project tests/tsconfig.json

step "licences, sources and known vulnerabilities"
command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
cargo deny --locked check --hide-inclusion-graph licenses bans sources
if cargo deny fetch db; then
  cargo deny --locked check --hide-inclusion-graph advisories
else
  echo "lint: the advisory database could not be fetched: known vulnerabilities were NOT checked" >&2
fi

step "clean"
