#!/usr/bin/env bash
# Plants one fault after the other into the server and lets the crash box look for it. Root, on Linux; five minutes.
# STOWAGE_CRASH_ROUNDS=25 cuts on each file system, of the kind STOWAGE_CRASH_CUT=power.
# With CI=true a box that cannot be built here is a failure: rounds that were left out find nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export CI=true
export STOWAGE_CRASH_ROUNDS=${STOWAGE_CRASH_ROUNDS:-25} STOWAGE_CRASH_CUT=${STOWAGE_CRASH_CUT:-power}
failed=0
for mutant in no-blob-sync no-dir-sync commit-first no-commit-sync no-unlink-sync; do
    printf '=== %s\n' "$mutant"
    RUST_BACKTRACE=0 cargo test --quiet --features "mutant-$mutant" --test crash rounds:: 2>&1 |
        grep -E ' rounds with something wrong|the machine lacks|^test result|^error' || failed=1
done
exit "$failed"
