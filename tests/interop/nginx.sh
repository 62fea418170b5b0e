#!/usr/bin/env bash
# nginx with TLS in front: login, a 200 MB layer there and back by curl and by skopeo, and what the server says its address is.
# Needs nginx, openssl, skopeo, jq and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need nginx openssl skopeo jq curl

nginx_pid=
stop_more() {
    [[ -z $nginx_pid ]] || kill -KILL "$nginx_pid" 2>/dev/null
    if [[ -s $tmp/nginx.log ]]; then
        printf '\nThe last lines of nginx:\n' >&2
        tail -n 20 "$tmp/nginx.log" >&2
    fi
}

public_port=$(free_port)
while [[ $public_port == "$port" ]]; do public_port=$(free_port); done
public=localhost:$public_port

step "a certificate authority and a certificate"
make_certificates

step "nginx as in docs/install.md"
user=
[[ $(id -u) != 0 ]] || user='user root;'
cat >"$tmp/nginx.conf" <<END
$user
daemon off;
worker_processes 1;
pid $tmp/nginx.pid;
error_log $tmp/nginx.log warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $tmp/nginx-body;
    proxy_temp_path $tmp/nginx-proxy;
    fastcgi_temp_path $tmp/nginx-fastcgi;
    uwsgi_temp_path $tmp/nginx-uwsgi;
    scgi_temp_path $tmp/nginx-scgi;
    server {
        listen 127.0.0.1:$public_port ssl;
        server_name localhost;
        ssl_certificate     $tmp/tls.crt;
        ssl_certificate_key $tmp/tls.key;

        client_max_body_size 0;
        location / {
            proxy_pass http://$registry;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 900s;
            proxy_send_timeout 900s;
            proxy_set_header Host \$http_host;
            proxy_set_header X-Forwarded-Proto \$scheme;
            proxy_set_header X-Forwarded-Host \$http_host;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
            proxy_set_header Forwarded "";
        }
    }
}
END
export STOWAGE__SERVER__TRUSTED_PROXIES=127.0.0.1
start_server
nginx -p "$tmp" -c "$tmp/nginx.conf" 2>"$tmp/nginx.said" &
nginx_pid=$!
https=(curl --silent --show-error --noproxy '*' --cacert "$ca")
deadline=$((SECONDS + 30))
until "${https[@]}" --output /dev/null "https://$public/v2/" 2>/dev/null; do
    kill -0 "$nginx_pid" 2>/dev/null || fail "nginx ended: $(<"$tmp/nginx.said")"
    ((SECONDS < deadline)) || fail "nginx did not answer within 30 s"
    sleep 0.1
done

# header NAME FILE: the value of a header among those that curl left in FILE.
header() { awk -v name="$1:" 'tolower($1) == name { sub(/\r$/, ""); print substr($0, length(name) + 2); exit }' "$2"; }

step "the challenge names the proxy, to whom it is trusted"
"${https[@]}" --output /dev/null --dump-header "$tmp/headers" "https://$public/v2/"
realm=$(header www-authenticate "$tmp/headers" | grep -o 'realm="[^"]*"')
same "realm through the proxy" "realm=\"https://$public/token\"" "$realm"
curl --silent --noproxy '*' --output /dev/null --dump-header "$tmp/headers" --interface 127.0.0.2 \
    --header 'X-Forwarded-Proto: https' --header 'X-Forwarded-Host: evil.example' "http://$registry/v2/"
realm=$(header www-authenticate "$tmp/headers" | grep -o 'realm="[^"]*"')
same "realm for a stranger who claims to be a proxy" "realm=\"http://$registry/token\"" "$realm"

step "200 MB by curl"
mebibytes=191
random_file "$mebibytes" "$tmp/layer"
digest=sha256:$(sha256 <"$tmp/layer")
signed=("${https[@]}" --fail --netrc-file "$tmp/netrc")
printf 'machine localhost login admin password %s\n' "$password" >"$tmp/netrc"
"${signed[@]}" --request POST --data '' --output /dev/null --dump-header "$tmp/headers" "https://$public/v2/team/app/blobs/uploads/"
location=$(header location "$tmp/headers")
same "kind of location" "/v2/team/app/blobs/uploads/" "${location:0:27}"
# In chunks of no announced size, as docker sends a layer.
"${signed[@]}" --request PATCH --header 'Content-Type: application/octet-stream' --header 'Transfer-Encoding: chunked' \
    --upload-file "$tmp/layer" --output /dev/null --dump-header "$tmp/headers" "https://$public$location"
location=$(header location "$tmp/headers")
mark='?'
[[ $location != *'?'* ]] || mark='&'
"${signed[@]}" --request PUT --data '' --output /dev/null --dump-header "$tmp/headers" "https://$public$location${mark}digest=$digest"
same "digest of the layer" "$digest" "$(header docker-content-digest "$tmp/headers")"
"${signed[@]}" --output "$tmp/pulled" "https://$public/v2/team/app/blobs/$digest"
cmp "$tmp/layer" "$tmp/pulled" || fail "the layer came back with other bytes"
rm "$tmp/pulled"

step "an image with a layer of 200 MB by skopeo"
export REGISTRY_AUTH_FILE=$tmp/auth.json
mkdir -p "$layout/blobs/sha256"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
mkdir "$tmp/rootfs"
random_file "$mebibytes" "$tmp/rootfs/file"
tar -c --owner=0 --group=0 --numeric-owner -C "$tmp/rootfs" file >"$tmp/layer.tar"
rm -r "$tmp/rootfs"
jq -nc --arg diff "sha256:$(sha256 <"$tmp/layer.tar")" \
    '{architecture: "amd64", os: "linux", config: {}, rootfs: {type: "layers", diff_ids: [$diff]}}' >"$tmp/config"
layer=$(add_blob "$tmp/layer.tar" application/vnd.oci.image.layer.v1.tar)
config=$(add_blob "$tmp/config" application/vnd.oci.image.config.v1+json)
manifest_type=application/vnd.oci.image.manifest.v1+json
jq -nc --arg type "$manifest_type" --argjson config "$config" --argjson layer "$layer" \
    '{schemaVersion: 2, mediaType: $type, config: $config, layers: [$layer]}' >"$tmp/manifest"
manifest=$(add_blob "$tmp/manifest" "$manifest_type")
jq -nc --argjson manifest "$manifest" \
    '{schemaVersion: 2, manifests: [$manifest + {annotations: {"org.opencontainers.image.ref.name": "all"}}]}' >"$layout/index.json"
refused skopeo login --cert-dir "$certificates" --username admin --password-stdin "$public" <<<"not-$password"
ok skopeo login --cert-dir "$certificates" --username admin --password-stdin "$public" <<<"$password"
ok skopeo --insecure-policy copy --preserve-digests --dest-cert-dir "$certificates" "oci:$layout:all" "docker://$public/team/large:1"
ok skopeo --insecure-policy copy --preserve-digests --src-cert-dir "$certificates" "docker://$public/team/large:1" "oci:$tmp/copy:all"
for blob in "$layout"/blobs/sha256/*; do
    cmp "$blob" "$tmp/copy/blobs/sha256/${blob##*/}" || fail "${blob##*/} came back with other bytes"
done

step "nginx wrote no layer to its disk"
# It would have warned of each.
[[ ! -s $tmp/nginx.log ]] || fail "nginx had something to say: $(<"$tmp/nginx.log")"

step "the server stops"
kill -TERM "$nginx_pid"
wait "$nginx_pid" || true
nginx_pid=
stop_server
check_store
