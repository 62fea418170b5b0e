# Shared by the interop tests: sourced, not run.
#
# Each test drives a real client against `stowage serve` on a free loopback port. A test prints every step and what the
# client said, and stops with exit code 1 at the first difference. $STOWAGE names the binary to test; without it, that is the
# newer one of `cargo build --release` and `cargo build --profile ci`.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -z ${STOWAGE:-} ]]; then
    built=${CARGO_TARGET_DIR:-$root/target}
    STOWAGE=$built/release/stowage
    [[ ! $built/ci/stowage -nt $STOWAGE ]] || STOWAGE=$built/ci/stowage
fi
# A Stowage that is installed here has its own settings.
export STOWAGE_CONFIG=/dev/null

umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/stowage-interop.XXXXXX")
data=$tmp/data
server_pid=
cutter_pid=
engine_pid=
scheme=http
log_level=warn # with info, `requests` has something to count

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
web=(curl --silent --show-error --noproxy '*')

# Starts the server; a second start uses the same port and data again.
start_server() {
    [[ -x $STOWAGE ]] || fail "no stowage binary at $STOWAGE: run 'cargo build --profile ci' or set \$STOWAGE"
    "$STOWAGE" serve --listen "$registry" --data-dir "$data" --log-level "$log_level" </dev/null >>"$tmp/server.log" 2>&1 &
    server_pid=$!
    local deadline=$((SECONDS + 60))
    until [[ $("${web[@]}" --output /dev/null --write-out '%{http_code}' "$scheme://$registry/v2/" 2>/dev/null) =~ ^(200|401)$ ]]; do
        kill -0 "$server_pid" 2>/dev/null || fail "stowage serve ended instead of listening"
        ((SECONDS < deadline)) || fail "stowage serve did not answer on $registry within 60 s"
        sleep 0.1
    done
    password=$(<"$data/initial-admin-password")
    printf 'default login admin password %s\n' "$password" >"$tmp/netrc"
    printf '  stowage serves %s://%s\n' "$scheme" "$registry"
}

# Makes a certificate authority, $ca, with a directory that holds nothing else, and a certificate for localhost and 127.0.0.1.
make_certificates() {
    local ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    certificates=$tmp/certificates
    ca=$certificates/ca.crt
    mkdir "$certificates"
    printf 'subjectAltName = DNS:localhost, IP:127.0.0.1\n' >"$tmp/names"
    ok openssl req -x509 "${ec[@]}" -days 2 -subj "/CN=Test CA" -addext basicConstraints=critical,CA:TRUE \
        -keyout "$tmp/ca.key" -out "$ca"
    ok openssl req "${ec[@]}" -subj "/CN=localhost" -keyout "$tmp/tls.key" -out "$tmp/tls.csr"
    ok openssl x509 -req -in "$tmp/tls.csr" -CA "$ca" -CAkey "$tmp/ca.key" -CAcreateserial -days 2 \
        -extfile "$tmp/names" -out "$tmp/tls.crt"
}

# From its next start on, the server speaks TLS and nothing else. It is $registry as before.
use_tls() {
    need openssl
    [[ -s $tmp/tls.crt ]] || make_certificates
    scheme=https
    web+=(--cacert "$ca")
    export STOWAGE__SERVER__TLS__MODE=files STOWAGE__SERVER__TLS__CERT_FILE=$tmp/tls.crt STOWAGE__SERVER__TLS__KEY_FILE=$tmp/tls.key
}

# A command of stowage to the running server, over its admin socket.
stowage() {
    printf '  $ stowage %s\n' "$*" >&2
    "$STOWAGE" "$@" --data-dir "$data"
}

# Makes the user hanna, who may pull and push, and two tokens: $token for both, with $token_id, and $reader to pull alone.
make_people() {
    local made
    hanna_password=correct-horse-$RANDOM$RANDOM
    stowage user add hanna --password-stdin <<<"$hanna_password"
    made=$(stowage token create hanna --name laptop --scopes read_registry,write_registry --expires 1d --json)
    token=$(jq -r .data.secret <<<"$made")
    token_id=$(jq -r .data.id <<<"$made")
    made=$(stowage token create hanna --name reader --scopes read_registry --json)
    reader=$(jq -r .data.secret <<<"$made")
    printf '  hanna has a token to push, %s, and one to pull alone\n' "$token_id"
}

# Ends $token, after a check that it was what the client used.
revoke_token() {
    [[ $(stowage token show "$token_id" --json | jq -r .data.last_used_at) == 20* ]] || fail "the token was never used"
    stowage token revoke "$token_id"
}

# requests PATTERN: how many requests since the first start were like that, each a line 'METHOD URI STATUS PRINCIPAL'.
# The server writes such a line when the answer has ended, and needs $log_level info for it.
requests() {
    sed -En 's/.* stowage::access: request method=([A-Z]+) uri="?([^" ]*)"? status=([0-9]+) .* principal="?([^" ]*)"? .*/\1 \2 \3 \4/p' \
        "$tmp/server.log" | grep -Ec -- "$1" || true
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
fetch() { "${web[@]}" --fail --netrc-file "$tmp/netrc" "${@:2}" "$scheme://$registry/v2/$1"; }

# digest_of REPOSITORY REFERENCE: of a manifest's bytes as they come from the server.
digest_of() { printf 'sha256:%s' "$(fetch "$1/manifests/$2" --header 'Accept: */*' | sha256)"; }

# many_tags REPOSITORY REFERENCE COUNT: gives a manifest the tags n0001, n0002 and so on.
many_tags() {
    local type
    type=$(fetch "$1/manifests/$2" --header 'Accept: */*' --output "$tmp/manifest" --write-out '%{content_type}')
    for ((n = 1; n <= $3; n++)); do
        printf 'url = "%s://%s/v2/%s/manifests/n%04d"\nupload-file = "%s"\n' "$scheme" "$registry" "$1" "$n" "$tmp/manifest"
    done >"$tmp/many"
    "${web[@]}" --fail --netrc-file "$tmp/netrc" --header "Content-Type: $type" --parallel --config "$tmp/many" >"$tmp/said" 2>&1 ||
        fail "not every tag could be made: $(tail -n 3 "$tmp/said")"
}

# start_cutter BYTES TIMES: a way to the registry, $cut_registry, that drops TIMES connections after BYTES of download.
start_cutter() {
    need python3
    local cut_port
    cut_port=$(free_port)
    while [[ $cut_port == "$port" ]]; do cut_port=$(free_port); done
    cut_registry=127.0.0.1:$cut_port
    python3 "$root/tests/interop/cut.py" "$cut_port" "$port" "$1" "$2" >"$tmp/cuts" 2>&1 &
    cutter_pid=$!
    local deadline=$((SECONDS + 30))
    until "${web[@]}" --output /dev/null "$scheme://$cut_registry/v2/" 2>/dev/null; do
        ((SECONDS < deadline)) || fail "no way to the registry: $(<"$tmp/cuts")"
        sleep 0.1
    done
}

# stop_cutter CUTS: and as many there must have been.
stop_cutter() {
    kill "$cutter_pid" 2>/dev/null || true
    wait "$cutter_pid" 2>/dev/null || true
    cutter_pid=
    sed 's/^/    /' "$tmp/cuts"
    same "number of cuts" "$1" "$(grep -c '^cut after' "$tmp/cuts")"
}

# podman and buildah use nothing of what the computer has for them.
own_containers() {
    export TMPDIR=$tmp REGISTRY_AUTH_FILE=$tmp/auth.json CONTAINERS_STORAGE_CONF=$tmp/storage.conf CONTAINERS_CONF=$tmp/containers.conf
    printf '{}' >"$REGISTRY_AUTH_FILE"
    printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$tmp/graph" "$tmp/run" >"$CONTAINERS_STORAGE_CONF"
    printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\ntmp_dir = "%s"\n' "$tmp/libpod" >"$CONTAINERS_CONF"
}

# await_start PID LOG COMMAND...: waits until COMMAND works, as it does once the process is up; else shows its log.
await_start() {
    local pid=$1 log=$2 deadline=$((SECONDS + 60))
    shift 2
    until "$@" >"$tmp/said" 2>&1; do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS >= deadline)); then
            tail -n 20 "$log" >&2
            fail "it did not start, see above: $*"
        fi
        sleep 0.1
    done
}

# end_process PID: asks it to end and waits; false when it had to be killed after ten seconds.
end_process() {
    kill -TERM "$1" 2>/dev/null
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1"
    return 1
}

# A docker engine of the test's own.
start_engine() {
    need docker dockerd jq curl
    ((EUID == 0)) || fail "only root can start a docker engine"
    unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
    export DOCKER_HOST=unix://$tmp/docker.sock DOCKER_CONFIG=$tmp/docker-config
    dockerd --data-root "$tmp/engine" --exec-root "$tmp/exec" --host "$DOCKER_HOST" --pidfile "$tmp/engine.pid" \
        --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs </dev/null >"$tmp/engine.log" 2>&1 &
    engine_pid=$!
    await_start "$engine_pid" "$tmp/engine.log" docker version
    docker version --format '  client {{.Client.Version}}, engine {{.Server.Version}}'
}

stop_engine() {
    if [[ -z $engine_pid ]] || end_process "$engine_pid"; then return 0; fi
    [[ ! -s $tmp/exec/containerd/containerd.pid ]] || kill -KILL "$(<"$tmp/exec/containerd/containerd.pid")"
}

image_id() { docker image inspect --format '{{.Id}}' "$1"; }

# What `docker save` writes for an image: every file with its hash.
saved() {
    rm -rf "$tmp/saved"
    mkdir "$tmp/saved"
    docker save "$(image_id "$1")" | tar -x -C "$tmp/saved"
    (cd "$tmp/saved" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# Removes an image by id, and so all its tags and layers.
forget() {
    show docker image rm --force "$1" | tail -n 1
    if docker image inspect "$1" >/dev/null 2>&1; then fail "the local image $1 is still there"; fi
}

docker_login() { ok docker login --username "$1" --password-stdin "$2" <<<"$3"; }

# An OCI layout, made by hand: what goes in is known to the byte.
layout=$tmp/layout

# add_blob FILE MEDIA_TYPE: moves a file into the layout and prints its descriptor.
add_blob() {
    local hex
    hex=$(sha256 <"$1")
    jq -nc --arg type "$2" --arg hex "$hex" --argjson size "$(stat -c %s "$1")" \
        '{mediaType: $type, digest: "sha256:\($hex)", size: $size}'
    mv "$1" "$layout/blobs/sha256/$hex"
}

# make_layer NAME KIB: a layer with one file, as NAME.tar.gz; its descriptor in NAME.json, its uncompressed digest in NAME.diff.
make_layer() {
    mkdir "$tmp/rootfs"
    head -c "$(($2 * 1024))" /dev/urandom >"$tmp/rootfs/$1"
    tar -c --owner=0 --group=0 --numeric-owner -C "$tmp/rootfs" "$1" >"$tmp/$1.tar"
    rm -r "$tmp/rootfs"
    printf 'sha256:%s' "$(sha256 <"$tmp/$1.tar")" >"$tmp/$1.diff"
    gzip -n "$tmp/$1.tar"
    add_blob "$tmp/$1.tar.gz" application/vnd.oci.image.layer.v1.tar+gzip >"$tmp/$1.json"
}

# make_image PLATFORM_JSON LAYER...: prints the descriptor of the image's manifest.
make_image() {
    local platform=$1 layer config
    shift
    for layer; do jq -n --rawfile diff "$tmp/$layer.diff" '$diff'; done |
        jq -sc --argjson platform "$platform" \
            '$platform + {config: {Env: ["MADE_FOR=stowage"]}, rootfs: {type: "layers", diff_ids: .},
             history: map({created_by: "interop test"})}' >"$tmp/config"
    config=$(add_blob "$tmp/config" application/vnd.oci.image.config.v1+json)
    for layer; do cat "$tmp/$layer.json"; done |
        jq -s --argjson config "$config" \
            '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: .,
             annotations: {"org.example.note": "kept byte for byte: é ✓"}}' >"$tmp/manifest"
    add_blob "$tmp/manifest" application/vnd.oci.image.manifest.v1+json | jq -c --argjson platform "$platform" '. + {platform: $platform}'
}

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
    [[ -z $cutter_pid ]] || kill -KILL "$cutter_pid" 2>/dev/null
    stop_engine
    stop_more
    rm -rf "$tmp"
    ((code)) || printf '\npassed: %s\n' "$(basename "$0")"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
