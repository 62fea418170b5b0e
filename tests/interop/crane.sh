#!/usr/bin/env bash
# crane: login by password and by token, images of two platforms in an index, copied with mounts, listed in pages, deleted;
# over plain HTTP and over TLS. Needs crane, jq, openssl and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need crane jq curl

log_level=info
export DOCKER_CONFIG=$tmp/docker
app=$registry/team/app

# make_layer NAME MIB: a tar with one file of random bytes, $tmp/NAME.tar.
make_layer() {
    random_file "$2" "$tmp/$1"
    tar -c --owner=0 --group=0 --numeric-owner -C "$tmp" "$1" >"$tmp/$1.tar"
}

login() { ok crane auth login "$registry" --username "$1" --password-stdin <<<"$2"; }

step "a registry"
printf '  crane %s\n' "$(crane version)"
start_server
make_people
make_layer common 3
make_layer amd64 1
make_layer arm64 2

step "nothing without a login, nothing with a wrong password"
refused crane append --oci-empty-base --new_layer "$tmp/common.tar" --new_tag "$app:1"
said 'unauthorized'
login hanna "not-$hanna_password"
refused crane append --oci-empty-base --new_layer "$tmp/common.tar" --new_tag "$app:1"
said 'unauthorized'
refused crane catalog "$registry"
said 'unauthorized'

step "push of two platforms, by password"
login hanna "$hanna_password"
for arch in amd64 arm64; do
    ok crane append --oci-empty-base --new_layer "$tmp/common.tar" --new_layer "$tmp/$arch.tar" --new_tag "$app:made-$arch"
    ok crane mutate "$app:made-$arch" --set-platform "linux/$arch" --env MADE_FOR=stowage --tag "$app:$arch"
    same "digest that crane reckons" "$(digest_of team/app "$arch")" "$(crane digest "$app:$arch")"
    same "platform" "linux/$arch" "$(crane config "$app:$arch" | jq -r '"\(.os)/\(.architecture)"')"
done
ok crane index append --manifest "$app:amd64" --manifest "$app:arm64" --tag "$app:1"
index=$(crane digest "$app:1")
same "digest of the index" "$index" "$(digest_of team/app 1)"
same "platforms of the index" "linux/amd64 linux/arm64" \
    "$(crane manifest "$app:1" | jq -r '[.manifests[].platform | "\(.os)/\(.architecture)"] | join(" ")')"

step "pull into a layout, and the files are those that went in"
ok crane pull --format=oci "$app:1" "$tmp/layout"
same "index in the layout" "$index" "$(jq -r '.manifests[0].digest' "$tmp/layout/index.json")"
for blob in "$tmp"/layout/blobs/sha256/*; do
    same "bytes of a blob" "${blob##*/}" "$(sha256 <"$blob")"
done
for arch in amd64 arm64; do
    crane export --platform "linux/$arch" "$app:1" "$tmp/exported.tar"
    for file in common "$arch"; do
        tar -xO -f "$tmp/exported.tar" "$file" | cmp - "$tmp/$file" || fail "$file came back with other bytes"
    done
    printf '  same files for linux/%s\n' "$arch"
done

step "copy of both platforms to another repository, by token, mounts the five blobs"
login hanna "$token"
mounts=$(requests '^POST .*mount=.* 201 hanna')
ok crane copy "$app:1" "$registry/other/copy:1"
same "digest of the copy" "$index" "$(crane digest "$registry/other/copy:1")"
same "number of mounts" 5 "$(($(requests '^POST .*mount=.* 201 hanna') - mounts))"
same "number of blobs uploaded to the copy" 0 "$(requests '^PUT /v2/other/copy/blobs/')"
ok crane validate --remote "$registry/other/copy:1"

step "push from the layout, by token"
ok crane push "$tmp/layout" "$registry/other/pushed:1"
same "digest" "$index" "$(crane digest "$registry/other/pushed:1")"

step "a token to pull alone does that"
login hanna "$reader"
ok crane validate --remote "$registry/other/pushed:1"
refused crane copy "$app:1" "$registry/other/refused:1"
said 'unauthorized|denied'

step "a revoked token is refused"
login hanna "$token"
revoke_token
refused crane digest "$app:1"
said 'unauthorized'

step "lists of more than a page"
login admin "$password"
many_tags team/app amd64 1100
same "tags" "$({ printf '%s\n' 1 amd64 arm64 made-amd64 made-arm64 && printf 'n%04d\n' {1..1100}; } | LC_ALL=C sort)" "$(crane ls "$app")"
pages=$(requests '^GET /v2/team/app/tags/list.* 200')
((pages > 1)) || fail "all tags were on one page"
printf '  on %s pages\n' "$pages"
same "repositories" "other/copy other/pushed team/app" "$(crane catalog "$registry" | paste -sd ' ')"

step "over TLS, delete too"
stop_server
use_tls
start_server
refused crane digest "$app:1"
said 'certificate'
export SSL_CERT_FILE=$ca
same "digest" "$index" "$(crane digest "$app:1")"
ok crane copy "$app:1" "$registry/other/tls:1"
same "digest of the copy" "$index" "$(digest_of other/tls 1)"
ok crane push "$tmp/layout" "$registry/other/tls-pushed:1"
ok crane validate --remote "$registry/other/tls-pushed:1"
ok crane delete "$registry/other/copy:1"
refused crane digest "$registry/other/copy:1"
said 'MANIFEST_UNKNOWN|404 Not Found|not found'
ok crane delete "$registry/other/tls@$index"
refused crane digest "$registry/other/tls:1"
same "digest in the first repository" "$index" "$(crane digest "$app:1")"
login hanna "$hanna_password"
refused crane delete "$app:1"
said 'unauthorized|denied'

step "the server stops"
stop_server
check_store
