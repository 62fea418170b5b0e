#!/usr/bin/env bash
# skopeo: a multi-platform index there and back, between repositories, listed, deleted, and converted to Docker's format; with a
# password and with a token; over plain HTTP and over TLS. Needs skopeo, jq, openssl and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need skopeo jq curl

export REGISTRY_AUTH_FILE=$tmp/auth.json
copy=(skopeo --insecure-policy copy --src-tls-verify=false --dest-tls-verify=false)
plain=(--tls-verify=false)

# Two layouts must hold the same blobs, byte for byte.
same_blobs() {
    diff -r "$1/blobs" "$2/blobs" >"$tmp/said" 2>&1 || fail "the blobs of ${1#"$tmp/"} and ${2#"$tmp/"} differ: $(<"$tmp/said")"
    printf '  same %s blobs in %s and %s\n' "$(find "$2/blobs" -type f | wc -l)" "${1#"$tmp/"}" "${2#"$tmp/"}"
}

raw_digest() { printf 'sha256:%s' "$(skopeo inspect "${plain[@]}" --raw "docker://$1" | sha256)"; }

step "an index of three platforms in an OCI layout"
mkdir -p "$layout/blobs/sha256"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
make_layer common 300
make_layer amd64 40
make_layer arm64 50
make_layer armv7 60
amd64=$(make_image '{"architecture":"amd64","os":"linux"}' common amd64)
arm64=$(make_image '{"architecture":"arm64","os":"linux"}' common arm64)
armv7=$(make_image '{"architecture":"arm","os":"linux","variant":"v7"}' common armv7)
jq -n '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: $ARGS.positional,
        annotations: {"org.example.note": "the index too"}}' --jsonargs "$amd64" "$arm64" "$armv7" >"$tmp/index"
index=$(add_blob "$tmp/index" application/vnd.oci.image.index.v1+json)
jq -n --argjson index "$index" --argjson single "$amd64" \
    '{schemaVersion: 2, manifests: [
        ($index + {annotations: {"org.opencontainers.image.ref.name": "all"}}),
        ($single + {annotations: {"org.opencontainers.image.ref.name": "amd64"}})]}' >"$layout/index.json"
index_digest=$(jq -r .digest <<<"$index")
find "$layout/blobs" -type f -printf '  %s bytes  sha256:%f\n'

step "a registry"
start_server
make_people
app=$registry/team/app

step "nothing without a login, nothing with a wrong password"
refused "${copy[@]}" --all "oci:$layout:all" "docker://$app:1"
said 'unauthorized|denied|authentication required'
refused skopeo login "${plain[@]}" --username admin --password-stdin "$registry" <<<"not-$password"
said 'unauthorized|incorrect|invalid username|denied'

step "login"
ok skopeo login "${plain[@]}" --username hanna --password-stdin "$registry" <<<"$hanna_password"

step "push of the whole index"
ok "${copy[@]}" --all --preserve-digests "oci:$layout:all" "docker://$app:1"
skopeo inspect "${plain[@]}" --raw "docker://$app:1" >"$tmp/raw"
cmp "$tmp/raw" "$layout/blobs/sha256/${index_digest#sha256:}" || fail "the index came back with other bytes"
same "digest of the index" "$index_digest" "$(raw_digest "$app:1")"
same "index by digest" "$index_digest" "$(raw_digest "$app@$index_digest")"

step "pull into a new layout"
ok "${copy[@]}" --all --preserve-digests "docker://$app:1" "oci:$tmp/pulled:all"
same_blobs "$layout" "$tmp/pulled"

step "inspect picks the platform"
ok skopeo --override-os linux --override-arch arm64 inspect "${plain[@]}" "docker://$app:1"
same "architecture" arm64 "$(jq -r .Architecture "$tmp/said")"
same "layers" "$(cat "$tmp/common.json" "$tmp/arm64.json" | jq -r .digest)" "$(jq -r '.Layers[]' "$tmp/said")"

step "copy to another repository, by token, mounts the four layers"
ok skopeo login "${plain[@]}" --username hanna --password-stdin "$registry" <<<"$token"
skopeo --debug --insecure-policy copy --src-tls-verify=false --dest-tls-verify=false --all --preserve-digests \
    "docker://$app:1" "docker://$registry/other/copy:1" >"$tmp/said" 2>&1 || fail "exit code $?: $(grep -v level=debug "$tmp/said")"
same "number of mounts" 4 "$(grep -c 'mount OK' "$tmp/said")"
same "digest of the copy" "$index_digest" "$(raw_digest "$registry/other/copy:1")"
ok "${copy[@]}" --all --preserve-digests "docker://$registry/other/copy:1" "oci:$tmp/pulled-copy:all"
same_blobs "$layout" "$tmp/pulled-copy"

step "one platform under a tag of its own"
ok "${copy[@]}" --preserve-digests "oci:$layout:amd64" "docker://$app:only-amd64"
same "digest of the manifest" "$(jq -r .digest <<<"$amd64")" "$(raw_digest "$app:only-amd64")"

step "list of tags"
ok skopeo list-tags "${plain[@]}" "docker://$app"
same "tags" '["1","only-amd64"]' "$(jq -c '.Tags | sort' "$tmp/said")"

step "conversion to Docker's format"
docker_type=application/vnd.docker.distribution.manifest.v2+json
ok "${copy[@]}" --format v2s2 "oci:$layout:amd64" "docker://$registry/team/converted:1"
skopeo inspect "${plain[@]}" --raw "docker://$registry/team/converted:1" >"$tmp/raw"
same "media type" "$docker_type" "$(jq -r .mediaType "$tmp/raw")"
same "layers" "$(cat "$tmp/common.json" "$tmp/amd64.json" | jq -r .digest)" "$(jq -r '.layers[].digest' "$tmp/raw")"
ok "${copy[@]}" "docker://$registry/team/converted:1" "dir:$tmp/converted"
cmp "$tmp/raw" "$tmp/converted/manifest.json" || fail "the converted manifest came back with other bytes"
for digest in $(jq -r '.config.digest, .layers[].digest' "$tmp/raw"); do
    same "bytes of a blob" "$digest" "sha256:$(sha256 <"$tmp/converted/${digest#sha256:}")"
done

step "a token to pull alone does that, and a revoked token nothing"
ok "${copy[@]}" --all --src-creds "hanna:$reader" "docker://$app:1" "oci:$tmp/pulled-reader:all"
refused "${copy[@]}" --all --dest-creds "hanna:$reader" "oci:$layout:all" "docker://$registry/team/refused:1"
said 'unauthorized|denied'
revoke_token
refused skopeo inspect "${plain[@]}" "docker://$app:1"
said 'unauthorized|invalid username|denied'
refused skopeo login "${plain[@]}" --username hanna --password-stdin "$registry" <<<"$token"
said 'unauthorized|incorrect|invalid username|denied'

step "delete, as the admin alone may"
refused skopeo delete "${plain[@]}" --creds "hanna:$hanna_password" "docker://$app:1"
said 'unauthorized|denied'
ok skopeo login "${plain[@]}" --username admin --password-stdin "$registry" <<<"$password"
ok skopeo delete "${plain[@]}" "docker://$app:1"
refused skopeo inspect "${plain[@]}" "docker://$app:1"
said 'manifest unknown|not found'
refused skopeo inspect "${plain[@]}" "docker://$app@$index_digest"
said 'manifest unknown|not found'
ok skopeo list-tags "${plain[@]}" "docker://$app"
same "tags" '["only-amd64"]' "$(jq -c .Tags "$tmp/said")"
same "digest in the other repository" "$index_digest" "$(raw_digest "$registry/other/copy:1")"
ok "${copy[@]}" --all --preserve-digests "docker://$registry/other/copy:1" "oci:$tmp/pulled-later:all"
same_blobs "$layout" "$tmp/pulled-later"

step "push again what was deleted"
ok "${copy[@]}" --all --preserve-digests "oci:$layout:all" "docker://$app:1"
same "digest of the index" "$index_digest" "$(raw_digest "$app:1")"

step "over TLS"
stop_server
use_tls
start_server
copy=(skopeo --insecure-policy copy --src-cert-dir "$certificates" --dest-cert-dir "$certificates")
plain=(--cert-dir "$certificates")
refused skopeo login --username hanna --password-stdin "$registry" <<<"$hanna_password"
said 'certificate'
ok skopeo login "${plain[@]}" --username hanna --password-stdin "$registry" <<<"$hanna_password"
ok "${copy[@]}" --all --preserve-digests "docker://$app:1" "oci:$tmp/pulled-tls:all"
same_blobs "$layout" "$tmp/pulled-tls"
ok "${copy[@]}" --all --preserve-digests "oci:$layout:all" "docker://$registry/team/tls:1"
same "digest of the index" "$index_digest" "$(raw_digest "$registry/team/tls:1")"

step "the server stops"
stop_server
check_store
