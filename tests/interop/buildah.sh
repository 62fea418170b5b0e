#!/usr/bin/env bash
# buildah: images from scratch with layers of two platforms, login by password and by token, pushed, pulled, used as a base,
# mounted; over plain HTTP and over TLS. Needs root, buildah, jq, openssl and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need buildah jq curl
((EUID == 0)) || fail "only root can run buildah like this"

log_level=info
own_containers
export BUILDAH_ISOLATION=chroot
app=$registry/team/app
tls=(--tls-verify=false)

login() { ok buildah login "${tls[@]}" --username "$1" --password-stdin "$registry" <<<"$2"; }
no_login() { refused buildah login "${tls[@]}" --username "$1" --password-stdin "$registry" <<<"$2"; }

# make_image BASE ARCHITECTURE FILE NAME: BASE with one file more.
make_image() {
    local container
    container=$(buildah from "${tls[@]}" --pull-always --arch "$2" "$1")
    buildah copy "$container" "$tmp/$3" / >/dev/null
    buildah config --arch "$2" --env MADE_FOR=stowage "$container"
    ok buildah commit --rm "$container" "$4"
}

# push IMAGE REPOSITORY TAG: and the digest is that of the bytes.
push() {
    ok buildah push "${tls[@]}" --digestfile "$tmp/digest" "$1" "docker://$registry/$2:$3"
    same "digest that buildah reckons" "$(digest_of "$2" "$3")" "$(<"$tmp/digest")"
}

# same_files IMAGE FILE...: the image has the files as they went in, and no other.
same_files() {
    local container root file image=$1
    shift
    container=$(buildah from "$image")
    root=$(buildah mount "$container")
    for file; do cmp "$root/$file" "$tmp/$file" || fail "$file came back with other bytes"; done
    same "files of the image" "$*" "$(find "$root" -type f -printf '%f\n' | sort | paste -sd ' ')"
    buildah rm "$container" >/dev/null
}

forget_all() { ok buildah rmi --all --force; }

step "an image of a file and a registry"
buildah version --json | jq -r '"  buildah " + .version'
start_server
make_people
random_file 5 "$tmp/first"
random_file 1 "$tmp/second"
for arch in amd64 arm64; do
    make_image scratch "$arch" first "localhost/base:$arch"
done

step "nothing without a login, nothing with a wrong password"
refused buildah push "${tls[@]}" localhost/base:amd64 "docker://$app:1"
said 'unauthorized|denied|authentication required'
no_login hanna "not-$hanna_password"
said 'invalid username|unauthorized|incorrect'

step "push by password, an index of both platforms too"
login hanna "$hanna_password"
push localhost/base:amd64 team/base amd64
ok buildah manifest create both localhost/base:amd64 localhost/base:arm64
ok buildah manifest push "${tls[@]}" --all --digestfile "$tmp/digest" both "docker://$registry/team/base:both"
same "digest that buildah reckons" "$(digest_of team/base both)" "$(<"$tmp/digest")"
ok buildah push "${tls[@]}" --format docker localhost/base:amd64 "docker://$registry/team/base:docker"
same "type of the manifest" application/vnd.docker.distribution.manifest.v2+json \
    "$(fetch team/base/manifests/docker --header 'Accept: */*' | jq -r .mediaType)"

step "pull by token, of the platform that was asked for"
login hanna "$token"
forget_all
for arch in amd64 arm64; do
    ok buildah pull "${tls[@]}" --policy always --arch "$arch" "docker://$registry/team/base:both"
    same "architecture" "$arch" "$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' "$registry/team/base:both")"
    same_files "$registry/team/base:both" first
done

step "an image upon it, whose base is mounted"
make_image "$registry/team/base:both" amd64 second localhost/upon:1
push localhost/upon:1 team/upon 1
same "number of layers" 2 "$(fetch team/upon/manifests/1 --header 'Accept: */*' | jq '.layers | length')"
same "number of mounts" 1 "$(requests '^POST /v2/team/upon/.*mount=.* 201 hanna')"
forget_all
ok buildah pull "${tls[@]}" "docker://$registry/team/upon:1"
same_files "$registry/team/upon:1" first second

step "a token to pull alone does that, and a revoked token nothing"
login hanna "$reader"
ok buildah pull "${tls[@]}" "docker://$registry/team/base@$(digest_of team/base amd64)"
refused buildah push "${tls[@]}" "$registry/team/upon:1" "docker://$registry/team/refused:1"
said 'unauthorized|denied|authentication required'
revoke_token
no_login hanna "$token"
said 'invalid username|unauthorized|incorrect'
refused buildah pull "${tls[@]}" --policy always --creds "hanna:$token" "docker://$registry/team/upon:1"
said 'invalid username|unauthorized|denied'

step "over TLS"
stop_server
use_tls
start_server
tls=()
no_login hanna "$hanna_password"
said 'certificate'
tls=(--cert-dir "$certificates")
login hanna "$hanna_password"
push "$registry/team/upon:1" team/tls 1
same "digest" "$(digest_of team/upon 1)" "$(digest_of team/tls 1)"
forget_all
ok buildah pull "${tls[@]}" "docker://$registry/team/tls:1"
same_files "$registry/team/tls:1" first second
make_image "$registry/team/base:both" arm64 second localhost/arm:1
push localhost/arm:1 team/tls arm
ok buildah logout "$registry"
refused buildah pull "${tls[@]}" "docker://$app:1"
said 'unauthorized|denied|authentication required'

step "the server stops"
stop_server
check_store
