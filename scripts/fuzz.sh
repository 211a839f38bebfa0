#!/bin/sh
# Runs every fuzz target for a while: scripts/fuzz.sh [seconds each, default 60].
# What it finds is written to fuzz/artifacts/; run one again with
#   RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET fuzz/artifacts/TARGET/crash-…
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/.."

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

# The sanitizers need options that the stable compiler takes only when told to.
export RUSTC_BOOTSTRAP=1

for target in $(cargo fuzz list); do
    echo "fuzzing $target for $seconds s"
    # Real pictures and small configurations as seeds where there are any; what is found goes to the corpus.
    corpus="fuzz/corpus/$target"
    mkdir -p "$corpus"
    case $target in
        jpeg_* | mjpeg_* | multipart_*) seeds=crates/media/testdata ;;
        configuration) seeds=examples ;;
        annexb_*) seeds=crates/media/testdata/annexb ;;
        rtsp_*) seeds=crates/proto/testdata/rtsp ;;
        *) seeds= ;;
    esac
    [ -d "$seeds" ] || seeds=
    cargo fuzz run "$target" "$corpus" $seeds -- -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=1024 -print_final_stats=1
done
