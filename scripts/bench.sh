#!/usr/bin/env bash
# Ocelli beside the kernel's own price and other servers. `make bench ARGS="--rounds 1 --rows cpu-100"`.
# Other servers join by the path of their program: GO2RTC=/path MEDIAMTX=/path make bench.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked -p ocelli -p ocelli-load
target=${CARGO_TARGET_DIR:-$PWD/target}
export OCELLI_BIN=${OCELLI_BIN:-$target/release/ocelli} OCELLI_LOAD=${OCELLI_LOAD:-$target/release/ocelli-load}
exec python3 bench/bench.py "$@"
