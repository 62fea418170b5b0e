#!/usr/bin/env bash
# The load command, `cargo bench --bench registry`, small: every workload of it against the server, with a token and without a
# failed request. Its rates mean nothing here; docs/performance.md has some. Needs cargo and jq.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need cargo jq

start_server

step "every workload"
target=stowage=$scheme://$registry,user=admin,pass=$password,pid=$server_pid
(cd "$root" && cargo bench --quiet --profile dev --bench registry -- \
    --target "$target" --scale small --json) >"$tmp/report.json" ||
    fail "the command failed: $(<"$tmp/report.json")"
jq -r '.workloads[] | .results[0] as $result |
    "  \(.workload)  \($result.median | floor) \(.unit)  peak of \($result.peak_bytes / 1048576 | floor) MiB"' "$tmp/report.json"
same "number of workloads with a figure" 18 "$(jq '[.workloads[] | select(.results[0].median > 0)] | length' "$tmp/report.json")"
same "number of those with a peak of more than 64 MiB" 0 "$(jq '[.workloads[] | select(.results[0].peak_bytes > 67108864)] | length' "$tmp/report.json")"

stop_server
check_store
