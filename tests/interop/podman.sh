#!/usr/bin/env bash
# podman: login by password and by token, images built and imported, pushed, pulled, mounted, a manifest list of two platforms,
# searched, and a pull that is cut; over plain HTTP and over TLS. Needs root, podman, jq, openssl, python3 and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need podman jq curl
((EUID == 0)) || fail "only root can run podman like this"

log_level=info
own_containers
app=$registry/team/app
tls=(--tls-verify=false)
login() { ok podman login "${tls[@]}" --username "$1" --password-stdin "$registry" <<<"$2"; }
no_login() { refused podman login "${tls[@]}" --username "$1" --password-stdin "$registry" <<<"$2"; }
image_id() { podman image inspect --format '{{.Id}}' "$1"; }

# push IMAGE REPOSITORY TAG: and the digest is that of the bytes.
push() {
    ok podman push "${tls[@]}" --digestfile "$tmp/digest" "$1" "docker://$registry/$2:$3"
    same "digest that podman reckons" "$(digest_of "$2" "$3")" "$(<"$tmp/digest")"
}

forget() {
    podman image rm --force "$1" >/dev/null
    if podman image exists "$1"; then fail "the local image $1 is still there"; fi
}

# same_file IMAGE FILE: the image has the file as it went in.
same_file() {
    local container
    container=$(podman create --network none "$1" /none)
    podman cp "$container:/$2" "$tmp/got"
    podman rm "$container" >/dev/null
    cmp "$tmp/got" "$tmp/context/$2" || fail "$2 came back with other bytes"
    printf '  same file %s\n' "$2"
}

step "images and a registry"
podman version --format '  podman {{.Client.Version}}'
start_server
make_people
mkdir "$tmp/context"
random_file 5 "$tmp/context/first"
random_file 1 "$tmp/context/second"
printf 'FROM scratch\nCOPY first /\nCOPY second /\nENV MADE_FOR=stowage\n' >"$tmp/context/Containerfile"
for arch in amd64 arm64; do
    ok podman build --layers=false --platform "linux/$arch" --tag "made:$arch" --manifest both "$tmp/context"
done
tar -c -C "$tmp/context" second >"$tmp/second.tar"
ok podman import "$tmp/second.tar" imported:1
app_id=$(image_id made:amd64)
imported_id=$(image_id imported:1)

step "nothing without a login, nothing with a wrong password"
refused podman push "${tls[@]}" made:amd64 "docker://$app:1"
said 'unauthorized|denied|authentication required'
no_login hanna "not-$hanna_password"
said 'invalid username|unauthorized|incorrect'

step "push by password"
login hanna "$hanna_password"
push made:amd64 team/app 1
push imported:1 team/imported 1
ok podman push "${tls[@]}" --format v2s2 made:amd64 "docker://$app:docker"
same "type of the manifest" application/vnd.docker.distribution.manifest.v2+json \
    "$(fetch team/app/manifests/docker --header 'Accept: */*' | jq -r .mediaType)"

step "a list of both platforms"
ok podman manifest push "${tls[@]}" --all --digestfile "$tmp/digest" both "docker://$app:both"
same "digest that podman reckons" "$(digest_of team/app both)" "$(<"$tmp/digest")"
same "platforms" "amd64 arm64" "$(fetch team/app/manifests/both --header 'Accept: */*' | jq -r '[.manifests[].platform.architecture] | sort | join(" ")')"

step "pull by tag and by digest, by token"
login hanna "$token"
digest=$(digest_of team/app 1)
forget "$app_id"
forget "$imported_id"
ok podman pull "${tls[@]}" "docker://$app:1"
same "image id" "$app_id" "$(image_id "$app:1")"
same_file "$app:1" first
forget "$app_id"
ok podman pull "${tls[@]}" "docker://$app@$digest"
same "image id" "$app_id" "$(image_id "$app@$digest")"
ok podman pull "${tls[@]}" "docker://$registry/team/imported:1"
same "image id" "$imported_id" "$(image_id "$registry/team/imported:1")"
same_file "$registry/team/imported:1" second

ok podman pull "${tls[@]}" --platform linux/arm64 "docker://$app:both"
same "platform" arm64 "$(podman image inspect --format '{{.Architecture}}' "$app:both")"
same_file "$app:both" first

step "another repository gets the layer mounted"
push "$app@$digest" other/copy 1
mounts=$(requests '^POST /v2/other/copy/.*mount=.* 201 hanna')
same "number of mounts" 1 "$mounts"
same "digest of the copy" "$digest" "$(digest_of other/copy 1)"

step "a pull that is cut"
forget "$(image_id "$app:both")"
forget "$app_id"
start_cutter 3000000 1
ok podman login "${tls[@]}" --username hanna --password-stdin "$cut_registry" <<<"$token"
refused podman pull "${tls[@]}" "docker://$cut_registry/team/app:1" # Debian's podman does not resume
said 'unexpected EOF|connection reset'
ok podman pull "${tls[@]}" "docker://$cut_registry/team/app:1"
stop_cutter 1
same "image id" "$app_id" "$(image_id "$cut_registry/team/app:1")"
same_file "$cut_registry/team/app:1" first

step "a token to pull alone does that, and a revoked token nothing"
login hanna "$reader"
ok podman pull "${tls[@]}" "docker://$app:1"
refused podman push "${tls[@]}" "$app:1" "docker://$registry/team/refused:1"
said 'unauthorized|denied|authentication required'
revoke_token
no_login hanna "$token"
said 'invalid username|unauthorized|incorrect'

step "searched: tags in pages, and repositories"
login hanna "$hanna_password"
many_tags team/app 1 1100
podman search "${tls[@]}" --list-tags --limit 5000 --format json "docker://$app" >"$tmp/found"
same "number of tags" 1103 "$(jq '.[0].Tags | length' "$tmp/found")"
same "repositories" "$registry/team/app $registry/team/imported" \
    "$(podman search "${tls[@]}" --format json "$registry/team" | jq -r '[.[].Name] | sort | join(" ")')"

step "over TLS"
stop_server
use_tls
start_server
tls=()
no_login hanna "$hanna_password"
said 'certificate'
tls=(--cert-dir "$certificates")
login hanna "$hanna_password"
push "$app:1" team/tls 1
forget "$app_id"
ok podman pull "${tls[@]}" "docker://$registry/team/tls:1"
same "image id" "$app_id" "$(image_id "$registry/team/tls:1")"
same_file "$registry/team/tls:1" second
ok podman manifest create again
ok podman manifest add "${tls[@]}" --all again "docker://$app:both"
ok podman manifest push "${tls[@]}" --all again "docker://$registry/team/tls:both"
same "platforms" 2 "$(fetch team/tls/manifests/both --header 'Accept: */*' | jq '.manifests | length')"
ok podman logout "$registry"
refused podman pull "${tls[@]}" "docker://$app:1"
said 'unauthorized|denied|authentication required'

step "the server stops"
stop_server
check_store
