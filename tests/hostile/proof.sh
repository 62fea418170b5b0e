#!/usr/bin/env bash
# The hostile suite alone and in a release build, with the times of the honest client judged as well: 99 of 100 of its
# requests within a second beside every load. Prints a table; fails if a test does. Run nothing else meanwhile.
# proof.sh [FILTER...]: only the tests whose names hold one of these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
STOWAGE_PROOF=1 cargo test --release --no-fail-fast --test hostile -- --test-threads 1 --nocapture "$@" >"$log" 2>&1 ||
    code=$?

grep -o 'row {.*}' "$log" | sed 's/^row //' | python3 -c '
import json, sys

columns = [("attack", "{:58}"), ("accepted", "{:>11}"), ("limited", "{:>8}"), ("honest p99, ms", "{:>15}"), ("peak, MiB", "{:>10}")]
print("".join(form.format(name) for name, form in columns))
for line in sys.stdin:
    row = json.loads(line)
    accepted = "{accepted}/{connections}".format(**row)
    cells = [row["attack"], accepted, row["limited"], row["honest_p99_ms"], row["peak_mib"]]
    print("".join(form.format(cell) for cell, (_, form) in zip(cells, columns)))
'
printf '\n'
grep -E '^test result|^test .* FAILED|^error' "$log" || true
grep -A1 'panicked at' "$log" | grep -vE '^--|stack backtrace' || true
exit "$code"
