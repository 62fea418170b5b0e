#!/usr/bin/env bash
# docker and a docker engine of its own: login by password and by token, push, pull, mount, a pull that is cut and resumed, a
# server killed in the middle of a push; over plain HTTP and over TLS.
# Needs root (for the engine), docker, dockerd, jq, openssl, python3 and curl. BIG_MIB sets the size of the interrupted push.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

big_mib=${BIG_MIB:-300}
log_level=info

stored_mib() { du -sm --apparent-size "$data" 2>/dev/null | cut -f1; }

no_login() {
    refused docker login --username "$1" --password-stdin "$registry" <<<"$2"
    said 'unauthorized|incorrect|denied'
}

step "a docker engine and a registry"
start_engine
start_server
make_people

step "an image of two layers and an image from a tar"
mkdir "$tmp/context"
random_file 5 "$tmp/context/first"
random_file 3 "$tmp/context/second"
printf 'FROM scratch\nCOPY first /\nCOPY second /\nENV MADE_FOR=stowage\n' >"$tmp/context/Dockerfile"
app=$registry/team/app
base=$registry/base
DOCKER_BUILDKIT=0 ok docker build --quiet --tag "$app:1" "$tmp/context"
tar -c -C "$tmp/context" second | ok docker import - "$base:1"
app_id=$(image_id "$app:1")
base_id=$(image_id "$base:1")
app_saved=$(saved "$app:1")
base_saved=$(saved "$base:1")

step "a push without a login is refused"
refused docker push "$app:1"
said 'no basic auth credentials|unauthorized|denied|authentication required'

step "a login with a wrong password is refused"
no_login admin "not-$password"
no_login hanna "not-$hanna_password"

step "a login with the right password"
docker_login hanna "$registry" "$hanna_password"
said 'Login Succeeded'

step "push"
ok docker push "$app:1"
pushed=$(grep -Eo 'sha256:[0-9a-f]{64}' "$tmp/said" | tail -n 1)
same "digest of the manifest's bytes" "$pushed" \
    "sha256:$(fetch team/app/manifests/1 --header 'Accept: application/vnd.docker.distribution.manifest.v2+json' | sha256)"
same "digest that docker keeps" "$app@$pushed" "$(docker image inspect --format '{{index .RepoDigests 0}}' "$app:1")"
ok docker push "$base:1"

step "pull by tag gives the same image, bit for bit"
forget "$app_id"
ok docker pull "$app:1"
said 'Pull complete'
same "image id" "$app_id" "$(image_id "$app:1")"
same "digest that docker keeps" "$app@$pushed" "$(docker image inspect --format '{{index .RepoDigests 0}}' "$app:1")"
same "docker save" "$app_saved" "$(saved "$app:1")"

step "the image from a tar too, and its file is the one that went in"
forget "$base_id"
ok docker pull "$base:1"
same "image id" "$base_id" "$(image_id "$base:1")"
same "docker save" "$base_saved" "$(saved "$base:1")"
container=$(docker create "$base:1" /none)
same "file in the image" "$(sha256 <"$tmp/context/second")" "$(docker cp "$container:/second" - | tar -xO | sha256)"
docker rm "$container" >/dev/null

step "pull by digest"
forget "$app_id"
ok docker pull "$app@$pushed"
same "image id" "$app_id" "$(image_id "$app@$pushed")"
same "docker save" "$app_saved" "$(saved "$app@$pushed")"

step "a second tag sends no layer again"
ok docker tag "$app@$pushed" "$app:2"
ok docker push "$app:2"
same "number of layers that exist already" 2 "$(grep -c 'Layer already exists' "$tmp/said")"
said "^2: digest: $pushed "

step "another repository gets the layers mounted, by token"
docker_login hanna "$registry" "$token"
ok docker tag "$app:2" "$registry/other/copy:1"
ok docker push "$registry/other/copy:1"
same "number of mounted layers" 2 "$(grep -c 'Mounted from team/app' "$tmp/said")"
forget "$app_id"
ok docker pull "$registry/other/copy:1"
same "image id" "$app_id" "$(image_id "$registry/other/copy:1")"

step "a pull that is cut is resumed"
forget "$app_id"
start_cutter 4000000 1
docker_login hanna "$cut_registry" "$token"
ok docker pull "$cut_registry/team/app:1"
stop_cutter 1
same "image id" "$app_id" "$(image_id "$cut_registry/team/app:1")"
same "number of resumptions" 1 "$(requests '^GET /v2/team/app/blobs/.* 206 hanna')"
same "docker save" "$app_saved" "$(saved "$cut_registry/team/app:1")"

step "a token to pull alone does that, and a revoked token nothing, even where it is signed in"
docker_login hanna "$registry" "$reader"
ok docker pull "$app:1"
refused docker push "$base:1"
said 'unauthorized|denied|authentication required|does not cover'
docker_login hanna "$registry" "$token"
revoke_token
refused docker push "$base:1"
said 'unauthorized|denied|authentication required'
no_login hanna "$token"
docker_login admin "$registry" "$password"

step "a tag that does not exist"
refused docker pull "$app:absent"
said 'manifest unknown|not found'

step "the server is killed in the middle of a push of $big_mib MiB"
random_file "$big_mib" "$tmp/context/big"
tar -c -C "$tmp/context" big | ok docker import - "$registry/team/big:1"
rm "$tmp/context/big"
big_id=$(image_id "$registry/team/big:1")
enough=$(($(stored_mib) + big_mib / 4))
docker push "$registry/team/big:1" >"$tmp/big-push" 2>&1 &
push_pid=$!
until (($(stored_mib) >= enough)); do
    kill -0 "$push_pid" 2>/dev/null || fail "the push ended before a quarter had arrived: $(<"$tmp/big-push")"
    sleep 0.1
done
kill_server
printf '  killed with %s MiB stored\n' "$(stored_mib)"
start_server
code=0
wait "$push_pid" || code=$?
sed 's/^/    /' "$tmp/big-push"
printf '  the interrupted push ended with exit code %s\n' "$code"
((code == 0)) || ok docker push "$registry/team/big:1"
forget "$big_id"
ok docker pull "$registry/team/big:1"
same "image id" "$big_id" "$(image_id "$registry/team/big:1")"

step "what was pushed before the kill is still there"
forget "$app_id"
ok docker pull "$app:1"
same "image id" "$app_id" "$(image_id "$app:1")"
same "docker save" "$app_saved" "$(saved "$app:1")"

step "after a logout a push is refused again"
ok docker logout "$registry"
refused docker push "$app:1"
said 'no basic auth credentials|unauthorized|denied|authentication required'

step "over TLS"
# The engine does not check the certificate of a registry on a loopback address.
stop_server
use_tls
start_server
docker_login hanna "$registry" "$hanna_password"
forget "$app_id"
ok docker pull "$app:1"
same "image id" "$app_id" "$(image_id "$app:1")"
same "docker save" "$app_saved" "$(saved "$app:1")"
ok docker tag "$app:1" "$registry/team/tls:1"
ok docker push "$registry/team/tls:1"
said "^1: digest: $pushed "
same "digest of the manifest's bytes" "$pushed" "$(digest_of team/tls 1)"

step "the server stops"
stop_server
check_store
