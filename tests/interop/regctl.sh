#!/usr/bin/env bash
# regctl: login by password and by token, images, an index, artifacts with a subject and their list, sha512, a download that
# is cut and resumed, pages, deletion; over plain HTTP and over TLS. Needs regctl, jq, openssl, python3 and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need regctl jq curl

log_level=info
export REGCTL_CONFIG=$tmp/regctl.json DOCKER_CONFIG=$tmp/docker
app=$registry/team/app

# login USER PASSWORD
login() { ok regctl registry login "$registry" --user "$1" --pass-stdin <<<"$2"; }

step "a registry"
printf '  regctl %s\n' "$(regctl version --format '{{.VCSTag}}')"
start_server
make_people
mkdir "$tmp/rootfs"
random_file 3 "$tmp/rootfs/file"
random_file 1 "$tmp/data.bin"

step "nothing without a login, nothing with a wrong password"
ok regctl registry set "$registry" --tls disabled --skip-check
refused regctl image create "$app:base"
said 'unauthorized'
refused regctl registry login "$registry" --user hanna --pass-stdin <<<"not-$hanna_password"
said 'unauthorized'

step "push of two platforms, by password"
login hanna "$hanna_password"
for arch in amd64 arm64; do
    ok regctl image create --platform "linux/$arch" "$app:made-$arch"
    ok regctl image mod "$app:made-$arch" --layer-add "dir=$tmp/rootfs" --env MADE_FOR=stowage --create "$app:$arch"
    same "digest that regctl reckons" "$(digest_of team/app "$arch")" "$(regctl image digest "$app:$arch")"
    ok regctl image get-file "$app:$arch" /file "$tmp/file"
    cmp "$tmp/file" "$tmp/rootfs/file" || fail "the file came back with other bytes"
done
ok regctl index create --ref "$app:amd64" --ref "$app:arm64" "$app:1"
index=$(regctl image digest "$app:1")
same "digest of the index" "$index" "$(digest_of team/app 1)"

step "artifacts with a subject, and the list of them"
for type in application/vnd.example.sbom application/vnd.example.note; do
    ok regctl artifact put --artifact-type "$type" --subject "$app:1" --file "$tmp/data.bin" --file-media-type application/octet-stream
done
same "requests for the fallback tag" 0 "$(requests '/manifests/sha256-')"
same "number of referrers" 2 "$(regctl artifact list "$app:1" --format '{{len .Descriptors}}')"
pages=$(requests '^GET /v2/team/app/referrers/.* 200')
((pages > 0)) || fail "the list came without the referrers API"
same "referrers of a type" application/vnd.example.sbom \
    "$(regctl artifact list "$app:1" --filter-artifact-type application/vnd.example.sbom --format '{{range .Descriptors}}{{.ArtifactType}}{{end}}')"
regctl artifact get --subject "$app:1" --filter-artifact-type application/vnd.example.note >"$tmp/got"
cmp "$tmp/got" "$tmp/data.bin" || fail "the artifact came back with other bytes"

step "copy with the referrers to another repository, by token, mounts every blob"
login hanna "$token"
ok regctl image copy --referrers "$app:1" "$registry/other/copy:1"
same "digest of the copy" "$index" "$(regctl image digest "$registry/other/copy:1")"
same "referrers of the copy" "$(regctl artifact list "$app:1" --format '{{range .Descriptors}}{{println .Digest}}{{end}}' | sort)" \
    "$(regctl artifact list "$registry/other/copy:1" --format '{{range .Descriptors}}{{println .Digest}}{{end}}' | sort)"
same "blobs sent to the copy" 0 "$(requests '^(PUT|PATCH) /v2/other/copy/blobs/')"
printf '  %s mounts\n' "$(requests '^POST /v2/other/copy/.*mount=.* 201 hanna')"

step "through a layout on the disk"
ok regctl image copy --referrers "$registry/other/copy:1" "ocidir://$tmp/layout:1"
ok regctl image copy --referrers "ocidir://$tmp/layout:1" "$registry/other/back:1"
same "digest" "$index" "$(regctl image digest "$registry/other/back:1")"

step "an image with sha512 digests"
ok regctl image mod "$app:amd64" --digest-algo sha512 --create "$app:sha512"
sha512=$(regctl image digest "$app:sha512")
same "kind of digest" sha512: "${sha512:0:7}"
same "digest of the bytes" "$sha512" "sha512:$(fetch "team/app/manifests/$sha512" --header 'Accept: */*' | sha512sum | cut -d' ' -f1)"
ok regctl image get-file "$app:sha512" /file "$tmp/file"
cmp "$tmp/file" "$tmp/rootfs/file" || fail "the file came back with other bytes"

step "a blob in chunks, and a download that is cut twice"
random_file 40 "$tmp/large"
large=sha256:$(sha256 <"$tmp/large")
ok regctl registry set "$registry" --blob-max 1000000 --blob-chunk 4000000 --skip-check
same "digest" "$large" "$(regctl blob put "$app" <"$tmp/large")"
start_cutter 10000000 2 # the third time regctl itself would wait for ever
ok regctl registry set "$cut_registry" --tls disabled --skip-check
ok regctl registry login "$cut_registry" --user hanna --pass-stdin <<<"$token"
timeout 60 regctl blob get "$cut_registry/team/app" "$large" >"$tmp/got" || fail "the cut download failed"
stop_cutter 2
cmp "$tmp/got" "$tmp/large" || fail "the blob came back with other bytes"
same "number of resumptions" 2 "$(requests "^GET /v2/team/app/blobs/$large 206")"
rm "$tmp/got" "$tmp/large"

step "a token to pull alone does that, and a revoked token nothing"
login hanna "$reader"
ok regctl image check-base "$app:1" --no-config --base "$app:1"
refused regctl image copy "$app:1" "$registry/other/refused:1"
said 'unauthorized|denied'
revoke_token
refused regctl registry login "$registry" --user hanna --pass-stdin <<<"$token"
said 'unauthorized'

step "lists in pages"
login admin "$password"
many_tags team/app amd64 1100
same "tags" 1106 "$(regctl tag ls "$app" | wc -l)"
same "ten of them" "$(printf 'n%04d\n' {501..510})" "$(regctl tag ls "$app" --limit 10 --last n0500)"
same "repositories" "other/copy team/app" "$(regctl repo ls "$registry" --last other/back | paste -sd ' ')"

step "over TLS, delete too"
stop_server
use_tls
start_server
ok regctl registry set "$registry" --tls enabled --skip-check
refused regctl image digest "$app:1"
said 'certificate'
ok regctl registry set "$registry" --cacert "$(<"$ca")" --skip-check
login admin "$password"
same "digest" "$index" "$(regctl image digest "$app:1")"
ok regctl image copy --referrers "$app:1" "$registry/other/tls:1"
ok regctl image copy --referrers "ocidir://$tmp/layout:1" "$registry/other/tls-pushed:1"
same "digest" "$index" "$(digest_of other/tls-pushed 1)"
ok regctl tag delete "$app:n0001"
refused regctl image digest "$app:n0001"
said 'not found'
ok regctl manifest delete --referrers "$registry/other/tls@$index"
refused regctl image digest "$registry/other/tls:1"
same "digest in the first repository" "$index" "$(regctl image digest "$app:1")"

step "the server stops"
stop_server
check_store
