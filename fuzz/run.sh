#!/usr/bin/env bash
# Lets libFuzzer search every target, two at a time, and prints what each came to.
#
#   fuzz/run.sh [SECONDS [TARGET...]]     600 seconds each and all targets, unless said otherwise
#
# What it finds grows in target/fuzz-corpus, or in $STOWAGE_FUZZ_CORPUS; inputs that fail are in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-600}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "the seconds are a number from 1 on, not '$seconds'" >&2; exit 2; }
targets=("${@:2}")
((${#targets[@]})) || for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done

missing=()
cargo +nightly --version >/dev/null 2>&1 || missing+=("a nightly toolchain: rustup toolchain install nightly")
cargo fuzz --version >/dev/null 2>&1 || missing+=("cargo-fuzz: cargo install cargo-fuzz --locked")
command -v "${CXX:-c++}" >/dev/null || missing+=("a C++ compiler, of which libFuzzer is made: apt-get install g++")
for target in "${targets[@]}"; do
    [[ -f fuzz_targets/$target.rs ]] || missing+=("the target '$target', which is none of fuzz_targets/")
done
if ((${#missing[@]})); then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 1
fi

export CARGO_PROFILE_RELEASE_LTO=off # seven binaries, and a fuzzer gains nothing from it
corpus=${STOWAGE_FUZZ_CORPUS:-${CARGO_TARGET_DIR:-$(dirname "$PWD")/target}/fuzz-corpus}
logs=$corpus/logs
mkdir -p "$logs"
cargo +nightly fuzz build

# Longest input that is tried, in bytes: what a rule needs to be broken, and no more.
declare -A longest=([authorization]=2048 [configuration]=2048 [dumps]=4096 [manifests]=4096 [paths]=512 [ranges]=1024
    [tokens]=2048)

# search TARGET: one run of libFuzzer; what it finds is written beside the corpus of the checkout, never into it.
search() {
    local target=$1 dictionary=()
    mkdir -p "$corpus/$target"
    [[ ! -f dictionaries/$target.dict ]] || dictionary=("-dict=$PWD/dictionaries/$target.dict")
    # An input that takes 10 s or 1 GiB counts as a fault.
    cargo +nightly fuzz run "$target" "$corpus/$target" "$PWD/corpus/$target" -- -max_total_time="$seconds" \
        -max_len="${longest[$target]:-4096}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=1 \
        "${dictionary[@]}" >"$logs/$target.log" 2>&1
    echo $? >"$logs/$target.exit"
}

# line TARGET: what the log of a target says at its end.
line() {
    local log=$logs/$1.log last
    last=$({ grep -E '^#[0-9]+\s.* cov: ' "$log" || true; } | tail -1)
    figure() { sed -nE "s/.* $1: ([0-9]+).*/\1/p" <<<"$last"; }
    printf '| %s | %s | %s | %s | %s | %s |\n' "$1" \
        "$(sed -nE 's/^stat::number_of_executed_units: +([0-9]+)/\1/p' "$log" | tail -1)" \
        "$(figure cov)" "$(figure ft)" "$(sed -nE 's/.* corp: ([0-9]+).*/\1/p' <<<"$last")" "$(<"$logs/$1.exit")"
}

printf '| target | executions | cov | ft | corpus | exit |\n|---|--:|--:|--:|--:|--:|\n'
status=0
finished=0
next=0
declare -A running=()
while ((finished < ${#targets[@]})); do
    while ((${#running[@]} < 2 && next < ${#targets[@]})); do
        (set +e; search "${targets[next]}") &
        running[$!]=${targets[next]}
        next=$((next + 1))
    done
    wait -n -p done "${!running[@]}" || true
    target=${running[$done]}
    unset "running[$done]"
    finished=$((finished + 1))
    line "$target"
    [[ $(<"$logs/$target.exit") == 0 ]] || {
        status=1
        printf 'a fault in %s, see %s and fuzz/artifacts/%s\n' "$target" "$logs/$target.log" "$target" >&2
    }
done
exit "$status"
