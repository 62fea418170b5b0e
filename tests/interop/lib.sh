# Shared by the interop tests: sourced, not run.
#
# Each test drives a real client against `stowage serve` on a free loopback port. A test prints every step and what the
# client said, and stops with exit code 1 at the first difference. $STOWAGE names the binary to test.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STOWAGE=${STOWAGE:-${CARGO_TARGET_DIR:-$root/target}/release/stowage}

umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/stowage-interop.XXXXXX")
data=$tmp/data
server_pid=

step() { printf '\n== %s\n' "$*"; }

fail() {
    printf '\nFAIL: %s\n' "$*" >&2
    exit 1
}

need() {
    local program
    for program; do
        command -v "$program" >/dev/null || fail "$program is not installed"
    done
}

# same WHAT EXPECTED FOUND
same() {
    [[ $2 == "$3" ]] || fail "$1 differs
  expected: $2
  found:    $3"
    local first=${3%%$'\n'*}
    printf '  same %s: %s\n' "$1" "${first:0:160}"
}

# Runs a command, shows it and what it says, and keeps that in $tmp/said.
show() {
    printf '  $ %s\n' "${*//$tmp/\$tmp}"
    timeout --foreground 600 "$@" 2>&1 | tee "$tmp/said" | sed 's/^/    /'
}

ok() { show "$@" || fail "exit code $?: $*"; }

refused() {
    if show "$@"; then fail "this should have been refused: $*"; fi
}

# The last command shown must have said something that matches a pattern.
said() { grep -Eqi -- "$1" "$tmp/said" || fail "the answer above should say /$1/"; }

sha256() { sha256sum | cut -d' ' -f1; }

# random_file MIB FILE: bytes that do not compress.
random_file() { head -c "$(($1 * 1024 * 1024))" /dev/urandom >"$2"; }

free_port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
    done
    echo "$candidate"
}

port=$(free_port)
registry=127.0.0.1:$port

# Starts the server; a second start uses the same port and data again.
start_server() {
    [[ -x $STOWAGE ]] || fail "no stowage binary at $STOWAGE: run 'cargo build --release' or set \$STOWAGE"
    "$STOWAGE" serve --listen "$registry" --data-dir "$data" --log-level warn </dev/null >>"$tmp/server.log" 2>&1 &
    server_pid=$!
    local deadline=$((SECONDS + 60))
    until [[ $(curl --silent --noproxy '*' --output /dev/null --write-out '%{http_code}' "http://$registry/v2/") =~ ^(200|401)$ ]]; do
        kill -0 "$server_pid" 2>/dev/null || fail "stowage serve ended instead of listening"
        ((SECONDS < deadline)) || fail "stowage serve did not answer on $registry within 60 s"
        sleep 0.1
    done
    password=$(<"$data/initial-admin-password")
    printf 'default login admin password %s\n' "$password" >"$tmp/netrc"
    printf '  stowage serves %s\n' "$registry"
}

# Stops the server the orderly way.
stop_server() {
    local code=0 deadline=$((SECONDS + 30))
    kill -TERM "$server_pid"
    while kill -0 "$server_pid" 2>/dev/null; do
        ((SECONDS < deadline)) || fail "stowage serve still runs 30 s after SIGTERM"
        sleep 0.1
    done
    wait "$server_pid" || code=$?
    server_pid=
    same "exit code of stowage serve after SIGTERM" 0 "$code"
}

# Ends the server without a warning, as a crash does.
kill_server() {
    kill -KILL "$server_pid"
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

check_store() {
    step "the store is whole"
    ok "$STOWAGE" fsck --deep --data-dir "$data"
}

# The body of a path under /v2/ as the admin sees it.
fetch() { curl --silent --show-error --fail --noproxy '*' --netrc-file "$tmp/netrc" "${@:2}" "http://$registry/v2/$1"; }

# A test overrides this to end what else it started.
stop_more() { :; }

finish() {
    local code=$?
    trap - EXIT
    set +e
    if ((code)) && [[ -s $tmp/server.log ]]; then
        printf '\nThe last lines of the server:\n' >&2
        tail -n 40 "$tmp/server.log" >&2
    fi
    [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null
    stop_more
    rm -rf "$tmp"
    ((code)) || printf '\npassed: %s\n' "$(basename "$0")"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
