#!/usr/bin/env bash
# PyPI's oras: files pushed whole and in chunks, pulled, attached, listed in pages and deleted, with a password and with a token,
# by its Basic and by its Bearer sign-in; over plain HTTP and over TLS. Needs Python with oras ($ORAS_PYTHON), openssl and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ORAS_PYTHON=${ORAS_PYTHON:-python3}
need "$ORAS_PYTHON" jq curl
"$ORAS_PYTHON" -c 'import oras' 2>/dev/null || fail "$ORAS_PYTHON has no oras: pip install oras"

log_level=info
export DOCKER_CONFIG=$tmp/docker
unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
app=$registry/team/app
work=$tmp/work
mkdir "$work"

# One verb a run, so that each signs in anew: drive.py VERB REGISTRY USER PASSWORD BACKEND ARGUMENT...
# Its Bearer sign-in keeps the first registry token, which a push asks for with too little in it: pushes use the Basic one.
cat >"$tmp/drive.py" <<'END'
import hashlib, os, sys, time
import oras.client, oras.oci

time.sleep = lambda seconds: None  # it tries again after every error, whatever it is

verb, registry, user, password, backend, *rest = sys.argv[1:]
insecure = os.environ["ORAS_SCHEME"] == "http"
client = oras.client.OrasClient(hostname=registry, insecure=insecure, tls_verify=os.environ["ORAS_CA"] or True, auth_backend=backend)
if user:
    client.login(username=user, password=password, hostname=registry, config_path=os.environ["ORAS_CONFIG"])
if verb == "push":
    target, chunked, *files = rest
    answer = client.push(target=target, files=files, do_chunked=chunked == "chunked", chunk_size=4_000_000)
    print(answer.headers["Docker-Content-Digest"])
elif verb == "attach":
    target, subject, *files = rest
    manifest = client.get_manifest(subject)
    answer = client.do_request(f"{client.prefix}://{client.get_container(subject).manifest_url()}", "GET", headers={"Accept": manifest["mediaType"]})
    digest = "sha256:" + hashlib.sha256(answer.content).hexdigest()
    about = oras.oci.Subject(mediaType=manifest["mediaType"], digest=digest, size=len(answer.content))
    answer = client.push(target=target, files=files, subject=about)
    print(answer.headers["OCI-Subject"])
elif verb == "pull":
    print(*client.pull(target=rest[0], outdir=rest[1]), sep="\n")
elif verb == "tags":
    print(*client.get_tags(rest[0], N=int(rest[1]) if rest[1:] else None), sep="\n")
elif verb == "delete":
    print(*client.delete_tags(rest[0], rest[1:]), sep="\n")
END

oras=(timeout 120 "$ORAS_PYTHON" "$tmp/drive.py")
export ORAS_SCHEME=http ORAS_CA='' ORAS_CONFIG=$tmp/auth.json
# run VERB USER PASSWORD BACKEND ARGUMENT...: what it prints is in $tmp/said.
run() {
    printf '  $ oras %s\n' "$1 $2 $4 ${*:5}"
    (cd "$work" && "${oras[@]}" "$1" "$registry" "${@:2}") >"$tmp/said" 2>"$tmp/errors" || { grep -Ev '^( |Traceback)' "$tmp/errors" | tail -n 3 >>"$tmp/said"; return 1; }
}
works() { run "$@" || fail "oras $1: $(<"$tmp/errors")"; }
# fails PATTERN VERB...: with an error like that.
fails() {
    if run "${@:2}"; then fail "this should have been refused: oras $2"; fi
    sed 's/^/    /' "$tmp/said"
    said "$1"
}

# same_pull BACKEND TARGET FILE...: a pull by $1 brings the files as they were.
same_pull() {
    local file target=$2
    works pull hanna "$secret" "$1" "$target" "$tmp/pulled"
    for file in "${@:3}"; do cmp "$work/$file" "$tmp/pulled/$file" || fail "$file came back with other bytes"; done
    printf '  same %s\n' "${*:3}"
    rm -r "$tmp/pulled"
}

step "files and a registry"
"$ORAS_PYTHON" -c 'import oras; print("  oras", oras.__version__)'
start_server
make_people
random_file 1 "$work/one.bin"
random_file 10 "$work/two.bin"
printf 'a note: é ✓\n' >"$work/note.txt"

step "nothing without a login, nothing with a wrong password"
fails 'unauthorized|cannot respond|requires a token|denied' push '' '' token "$app:1" whole one.bin
for backend in basic token; do
    fails 'unauthorized|cannot respond|requires a token|denied' pull hanna "not-$hanna_password" "$backend" "$app:1" "$tmp/pulled"
done

step "push whole and in chunks, by password"
secret=$hanna_password
works push hanna "$secret" token "$app:1" whole one.bin note.txt
same "digest" "$(digest_of team/app 1)" "$(<"$tmp/said")"
works push hanna "$secret" basic "$app:chunks" chunked two.bin
same "digest" "$(digest_of team/app chunks)" "$(<"$tmp/said")"
same "number of chunks" 3 "$(requests '^PATCH /v2/team/app/blobs/uploads/.* 202 hanna')"

step "pull by token, with Basic and with Bearer"
secret=$token
for backend in basic token; do
    same_pull "$backend" "$app:1" one.bin note.txt
    same_pull "$backend" "$app@$(digest_of team/app chunks)" two.bin
done

step "attach, and the list of what is attached"
works attach hanna "$token" basic "$app:attached" "$app:1" note.txt
same "subject that the server saw" "$(digest_of team/app 1)" "$(<"$tmp/said")"
same "referrers" "$(digest_of team/app attached)" \
    "$(fetch "team/app/referrers/$(digest_of team/app 1)" | jq -r '.manifests[].digest')"

step "tags in pages"
many_tags team/app 1 1100
works tags hanna "$token" token "$app"
same "number of tags" 1103 "$(wc -l <"$tmp/said")"
works tags hanna "$token" token "$app" 5
same "five tags" "1 attached chunks n0001 n0002" "$(paste -sd ' ' "$tmp/said")"

step "delete, as the admin alone may"
fails 'unauthorized|cannot respond|requires a token|denied' delete hanna "$token" basic "$app" attached
works delete admin "$password" basic "$app" attached
same "deleted" attached "$(<"$tmp/said")"
fails 'not found' pull hanna "$token" token "$app:attached" "$tmp/pulled"

step "a token to pull alone does that, and a revoked token nothing"
secret=$reader
same_pull token "$app:1" one.bin
fails 'unauthorized|cannot respond|requires a token|denied' push hanna "$reader" basic "$registry/team/refused:1" whole one.bin
revoke_token
fails 'unauthorized|cannot respond|requires a token|denied' pull hanna "$token" token "$app:1" "$tmp/pulled"
fails 'unauthorized|cannot respond|requires a token|denied' pull hanna "$token" basic "$app:1" "$tmp/pulled"

step "over TLS"
stop_server
use_tls
start_server
export ORAS_SCHEME=https
secret=$hanna_password
fails certificate pull hanna "$secret" token "$app:1" "$tmp/pulled"
export ORAS_CA=$ca
same_pull token "$app:1" one.bin note.txt
works push hanna "$secret" basic "$registry/team/tls:1" chunked two.bin
same "digest" "$(digest_of team/tls 1)" "$(<"$tmp/said")"
same_pull token "$registry/team/tls:1" two.bin

step "the server stops"
stop_server
check_store
