#!/usr/bin/env bash
# cosign: an image signed and attested with a key pair and verified, as tags and as referrers, copied with its signatures,
# cleaned; over plain HTTP and over TLS. Needs cosign, crane, jq, openssl and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need cosign crane jq curl

log_level=info
export DOCKER_CONFIG=$tmp/docker COSIGN_PASSWORD=keep-it COSIGN_YES=true TUF_ROOT=$tmp/tuf
app=$registry/team/app
http=(--allow-http-registry)

# login USER PASSWORD
login() { ok cosign login "$registry" --username "$1" --password-stdin <<<"$2"; }
# No transparency log and no authorities here: nothing but the registry and the key.
sign() { ok cosign sign --key "$tmp/mine.key" --tlog-upload=false "${http[@]}" "$@"; }
verify_any=(--insecure-ignore-tlog --private-infrastructure --trusted-root "$tmp/trusted-root.json")
verify=(cosign verify --key "$tmp/mine.pub" "${verify_any[@]}")

step "two key pairs, an image and a registry"
printf '  cosign %s\n' "$(cosign version --json 2>/dev/null | jq -r .gitVersion)"
start_server
make_people
ok cosign trusted-root create --out "$tmp/trusted-root.json"
for key in mine other; do
    ok cosign generate-key-pair --output-key-prefix "$tmp/$key"
done
random_file 1 "$tmp/file"
tar -c --owner=0 --group=0 --numeric-owner -C "$tmp" file >"$tmp/layer.tar"
login hanna "$hanna_password"
ok crane append --oci-empty-base --new_layer "$tmp/layer.tar" --new_tag "$app:1"
image=$app@$(crane digest "$app:1")

step "nothing with a wrong password"
login hanna "not-$hanna_password"
refused cosign sign --key "$tmp/mine.key" --tlog-upload=false "${http[@]}" "$image"
said 'unauthorized'

step "sign and verify, by token: the signature is a tag"
login hanna "$token"
refused "${verify[@]}" "${http[@]}" "$image"
said 'no signatures found|no matching signatures'
sign "$image"
tag=$(cosign triangulate "${http[@]}" "$image")
same "place of the signature" "$app:sha256-${image##*:}.sig" "$tag"
ok "${verify[@]}" "${http[@]}" "$image"
same "digest that is signed" "${image#*@}" \
    "$(grep '^\[' "$tmp/said" | jq -r '.[0].critical.image["docker-manifest-digest"]')"
refused cosign verify --key "$tmp/other.pub" "${verify_any[@]}" "${http[@]}" "$image"
said 'invalid signature|no matching signatures'

step "a second signature moves the tag"
before=$(crane digest "$tag")
sign --annotations by=second "$image"
[[ $(crane digest "$tag") != "$before" ]] || fail "the tag was not moved"
ok "${verify[@]}" "${http[@]}" --annotations by=second "$image"
refused "${verify[@]}" "${http[@]}" --annotations by=another "$image"

step "an attestation and a bill of materials"
printf '{"made": "here"}\n' >"$tmp/predicate.json"
printf '{"SPDXID": "SPDXRef-DOCUMENT", "spdxVersion": "SPDX-2.3"}\n' >"$tmp/sbom.json"
ok cosign attest --key "$tmp/mine.key" --tlog-upload=false "${http[@]}" --type custom --predicate "$tmp/predicate.json" "$image"
ok cosign verify-attestation --key "$tmp/mine.pub" "${verify_any[@]}" "${http[@]}" --type custom "$image"
same "predicate" '{"made":"here"}' "$(grep '^{' "$tmp/said" | jq -r .payload | base64 -d | jq -c '.predicate.Data | fromjson')"
ok cosign attach sbom --type spdx --input-format json --sbom "$tmp/sbom.json" "${http[@]}" "$image"
cosign download sbom "${http[@]}" "$image" >"$tmp/sbom" 2>"$tmp/said" || fail "no bill of materials: $(<"$tmp/said")"
cmp "$tmp/sbom" "$tmp/sbom.json" || fail "the bill of materials came back with other bytes"

step "copied with all of that to another repository"
ok cosign copy "${http[@]}" "$app:1" "$registry/other/copy:1"
ok "${verify[@]}" "${http[@]}" "$registry/other/copy:1"
same "what is attached to the copy" "$(crane ls "$app" | grep -F .)" "$(crane ls "$registry/other/copy" | grep -F .)"

step "sign and verify as a referrer"
ok crane copy "$app:1" "$registry/team/referred:1"
referred=$registry/team/referred@${image#*@}
COSIGN_EXPERIMENTAL=1 sign --registry-referrers-mode=oci-1-1 "$referred"
same "tags" 1 "$(crane ls "$registry/team/referred" | paste -sd ' ')"
same "types of the referrers" application/vnd.dev.cosign.artifact.sig.v1+json \
    "$(fetch "team/referred/referrers/${image#*@}" | jq -r '.manifests[].artifactType')"
COSIGN_EXPERIMENTAL=1 ok "${verify[@]}" "${http[@]}" --experimental-oci11 "$referred"

step "sign and verify as a bundle, a referrer too"
ok crane copy "$app:1" "$registry/team/bundled:1"
bundled=$registry/team/bundled@${image#*@}
sign --new-bundle-format "$bundled"
same "types of the referrers" application/vnd.dev.sigstore.bundle.v0.3+json \
    "$(fetch "team/bundled/referrers/${image#*@}" | jq -r '.manifests[].artifactType')"
ok "${verify[@]}" "${http[@]}" --new-bundle-format "$bundled"
ok cosign tree "${http[@]}" "$image"
said 'Signatures for an image'

step "a token to pull alone verifies and does not sign, and a revoked token does nothing"
login hanna "$reader"
ok "${verify[@]}" "${http[@]}" "$image"
# The same signature again would be no push.
refused cosign sign --key "$tmp/mine.key" --tlog-upload=false "${http[@]}" --annotations by=reader "$image"
said 'unauthorized|denied'
login hanna "$token"
revoke_token
refused "${verify[@]}" "${http[@]}" "$image"
said 'unauthorized'

step "over TLS: verify, sign, and clean"
stop_server
use_tls
start_server
http=()
login admin "$password"
refused "${verify[@]}" "$image"
said 'certificate|speaks TLS'
http=(--registry-cacert "$ca")
ok "${verify[@]}" "${http[@]}" "$image"
sign "$registry/other/copy@${image#*@}"
ok "${verify[@]}" "${http[@]}" "$registry/other/copy:1"
ok cosign clean --force "${http[@]}" "$image"
refused "${verify[@]}" "${http[@]}" "$image"
said 'no signatures found|no matching signatures'
ok "${verify[@]}" "${http[@]}" "$registry/other/copy:1"

step "the server stops"
stop_server
check_store
