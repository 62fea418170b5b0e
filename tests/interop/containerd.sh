#!/usr/bin/env bash
# containerd's ctr with a containerd of its own: an index of two platforms pushed, pulled, mounted, a fetch that is cut and
# resumed, with a password and with a token; over plain HTTP and over TLS. Needs root, containerd, ctr, jq, openssl, python3
# and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need containerd ctr jq curl
((EUID == 0)) || fail "only root can start containerd"

log_level=info
app=$registry/team/app
http=(--plain-http)
export CONTAINERD_ADDRESS=$tmp/containerd.sock CONTAINERD_NAMESPACE=interop CONTAINERD_SNAPSHOTTER=native
containerd_pid=

start_containerd() {
    cat >"$tmp/containerd.toml" <<END
version = 2
root = "$tmp/containerd"
state = "$tmp/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$CONTAINERD_ADDRESS"
END
    containerd --config "$tmp/containerd.toml" </dev/null >"$tmp/containerd.log" 2>&1 &
    containerd_pid=$!
    await_start "$containerd_pid" "$tmp/containerd.log" ctr version
    printf '  containerd %s\n' "$(sed -n '/Server/,$ s/.*Version: *//p' "$tmp/said")"
}

stop_more() { [[ -z $containerd_pid ]] || end_process "$containerd_pid" || true; }

# push USER PASSWORD IMAGE [LOCAL]
push() { ok ctr images push "${http[@]}" --user "$1:$2" "${@:3}" | grep -v '|'; } # without the progress bars
# pull USER PASSWORD IMAGE
pull() { ok ctr images pull "${http[@]}" --all-platforms --user "$1:$2" "$3" | grep -v '|'; }
target() { ctr images list "name==$1" | awk 'NR == 2 { print $3 }'; }
# Nothing is left of any image.
forget_all() {
    ctr images list --quiet | xargs -r ctr images remove --sync >/dev/null
    same "blobs that are left" 0 "$(ctr content list --quiet | wc -l)"
}

# Every blob of the layout is there, byte for byte.
same_blobs() {
    local blob
    for blob in "$layout"/blobs/sha256/*; do
        ctr content get "sha256:${blob##*/}" | cmp - "$blob" || fail "${blob##*/} came back with other bytes"
    done
    printf '  same %s blobs\n' "$(find "$layout/blobs" -type f | wc -l)"
}

step "an index of two platforms in a layout, imported"
start_containerd
mkdir -p "$layout/blobs/sha256"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
make_layer common 12000
make_layer amd64 40
make_layer arm64 50
amd64=$(make_image '{"architecture":"amd64","os":"linux"}' common amd64)
arm64=$(make_image '{"architecture":"arm64","os":"linux"}' common arm64)
index_type=application/vnd.oci.image.index.v1+json
jq -n --arg type "$index_type" '{schemaVersion: 2, mediaType: $type, manifests: $ARGS.positional}' \
    --jsonargs "$amd64" "$arm64" >"$tmp/index"
index=$(add_blob "$tmp/index" "$index_type")
digest=$(jq -r .digest <<<"$index")
jq -n --argjson index "$index" --arg name "$app:1" \
    '{schemaVersion: 2, manifests: [$index + {annotations: {"io.containerd.image.name": $name}}]}' >"$layout/index.json"
tar -c -C "$layout" . >"$tmp/layout.tar"
ok ctr images import --no-unpack --all-platforms "$tmp/layout.tar"
same "digest of the image" "$digest" "$(target "$app:1")"

step "a registry: nothing without a login, nothing with a wrong password"
start_server
make_people
refused ctr images push "${http[@]}" "$app:1"
said 'unauthorized|authorization failed|denied'
refused ctr images push "${http[@]}" --user "hanna:not-$hanna_password" "$app:1"
said 'unauthorized|authorization failed|401 Unauthorized|denied'

step "push by password"
push hanna "$hanna_password" "$app:1"
same "digest of the index" "$digest" "$(digest_of team/app 1)"
forget_all

step "pull by token"
pull hanna "$token" "$app:1"
same "digest of the image" "$digest" "$(target "$app:1")"
same_blobs
ok ctr images check "name==$app:1"
said 'complete'

step "another repository gets the blobs mounted"
push hanna "$token" "$registry/other/copy:1" "$app:1"
same "digest of the copy" "$digest" "$(digest_of other/copy 1)"
same "number of mounts" 5 "$(requests '^POST /v2/other/copy/.*mount=.* 201 hanna')"
same "number of blobs uploaded to the copy" 0 "$(requests '^PUT /v2/other/copy/blobs/')"

step "pull by digest"
forget_all
pull hanna "$token" "$app@$digest"
same_blobs

step "a fetch that is cut and resumed"
forget_all
start_cutter 5000000 1
ok ctr content fetch "${http[@]}" --all-platforms --user "hanna:$token" "$cut_registry/team/app:1" | grep -v '|'
stop_cutter 1
same "number of resumptions" 1 "$(requests '^GET /v2/team/app/blobs/.* 206 hanna')"
same_blobs

step "a token to pull alone does that, and a revoked token nothing"
pull hanna "$reader" "$app:1"
refused ctr images push "${http[@]}" --user "hanna:$reader" "$registry/team/refused:1" "$app:1"
said 'unexpected status: 403 Forbidden'
revoke_token
refused ctr images pull "${http[@]}" --user "hanna:$token" "$app:1"
said 'unexpected status: 401 Unauthorized'

step "over TLS, with the authority in a directory of hosts"
stop_server
use_tls
start_server
mkdir -p "$tmp/hosts/$registry"
hosts_toml=$tmp/hosts/$registry/hosts.toml
printf 'server = "https://%s"\n[host."https://%s"]\n' "$registry" "$registry" >"$hosts_toml"
refused ctr images pull --hosts-dir "$tmp/hosts" --user "hanna:$hanna_password" "$app:1"
said 'certificate'
printf '  ca = "%s"\n' "$ca" >>"$hosts_toml"
http=(--hosts-dir "$tmp/hosts") # with --tlscacert this ctr would still speak HTTP to a loopback address
forget_all
pull hanna "$hanna_password" "$app:1"
same_blobs
push hanna "$hanna_password" "$registry/team/tls:1" "$app:1"
same "digest of the index" "$digest" "$(digest_of team/tls 1)"

step "the server stops"
stop_server
check_store
