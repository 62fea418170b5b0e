#!/usr/bin/env bash
# helm: login by password and by token, charts pushed, pulled, found by a range of versions and as a dependency; over plain
# HTTP and over TLS. Needs helm, jq, openssl and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need helm jq curl

log_level=info
export HELM_CONFIG_HOME=$tmp/helm-config HELM_CACHE_HOME=$tmp/helm-cache HELM_DATA_HOME=$tmp/helm-data
unset HELM_REGISTRY_CONFIG KUBECONFIG
charts=oci://$registry/team/charts
http=(--plain-http)

# login USER PASSWORD
login() { ok helm registry login "$registry" "${http[@]}" --username "$1" --password-stdin <<<"$2"; }
no_login() { refused helm registry login "$registry" "${http[@]}" --username "$1" --password-stdin <<<"$2"; }

# same_chart FILE: it is one of those that were pushed, byte for byte.
same_chart() { same "bytes of ${1##*/}" "$(sha256 <"$tmp/made/${1##*/}")" "$(sha256 <"$1")"; }

step "charts and a registry"
printf '  helm %s\n' "$(helm version --short)"
start_server
make_people
(cd "$tmp" && ok helm create app)
random_file 1 "$tmp/app/files.bin"
mkdir "$tmp/made" "$tmp/got"
for version in 1.0.0 1.2.0 2.0.0 1.2.0+build.5; do
    ok helm package "$tmp/app" --version "$version" --destination "$tmp/made"
done

step "nothing without a login, nothing with a wrong password"
refused helm push "${http[@]}" "$tmp/made/app-1.0.0.tgz" "$charts"
said 'unauthorized'
no_login hanna "not-$hanna_password"
said 'unauthorized|invalid_grant'

step "push and pull, by password"
login hanna "$hanna_password"
for version in 1.0.0 1.2.0; do
    ok helm push "${http[@]}" "$tmp/made/app-$version.tgz" "$charts"
    pushed=$(sed -n 's/^Digest: //p' "$tmp/said")
    same "digest that helm reckons" "$(digest_of team/charts/app "$version")" "$pushed"
done
same "type of the config" application/vnd.cncf.helm.config.v1+json \
    "$(fetch team/charts/app/manifests/1.0.0 --header 'Accept: */*' | jq -r .config.mediaType)"
ok helm pull "${http[@]}" "$charts/app" --version 1.0.0 --destination "$tmp/got"
same_chart "$tmp/got/app-1.0.0.tgz"

step "push by token, and a version with a plus"
ok helm registry logout "$registry"
refused helm pull "${http[@]}" "$charts/app" --version 1.2.0 --destination "$tmp/got"
said 'unauthorized'
login hanna "$token"
for version in 2.0.0 1.2.0+build.5; do
    ok helm push "${http[@]}" "$tmp/made/app-$version.tgz" "$charts"
done
same "tags" '["1.0.0","1.2.0","1.2.0_build.5","2.0.0"]' "$(fetch team/charts/app/tags/list | jq -c .tags)"
ok helm pull "${http[@]}" "$charts/app" --version 1.2.0+build.5 --destination "$tmp/got"
same_chart "$tmp/got/app-1.2.0+build.5.tgz"

step "a range of versions, and the newest"
ok helm pull "${http[@]}" "$charts/app" --version '~1.0' --destination "$tmp/got"
ok helm pull "${http[@]}" "$charts/app" --destination "$tmp/got"
same_chart "$tmp/got/app-2.0.0.tgz"
ok helm show chart "${http[@]}" "$charts/app" --version '>=1.1 <2'
said '^version: 1\.2\.0'
ok helm template mine "${http[@]}" "$charts/app" --version 1.0.0
said 'helm.sh/chart: app-1.0.0'

step "a chart that is signed brings its provenance"
printf 'provenance of app 1.0.0\n' >"$tmp/made/app-1.0.0.tgz.prov"
ok helm push "${http[@]}" "$tmp/made/app-1.0.0.tgz" "oci://$registry/team/signed"
ok helm pull "${http[@]}" "oci://$registry/team/signed/app" --version 1.0.0 --prov --destination "$tmp/got"
same_chart "$tmp/got/app-1.0.0.tgz.prov"

step "a token to pull alone does that, and a revoked token nothing"
login hanna "$reader"
ok helm show chart "${http[@]}" "$charts/app" --version 2.0.0
refused helm push "${http[@]}" "$tmp/made/app-1.0.0.tgz" "oci://$registry/team/refused"
said 'unauthorized|denied|403 Forbidden'
revoke_token
no_login hanna "$token"

step "over TLS"
stop_server
use_tls
start_server
http=()
no_login hanna "$hanna_password"
said 'certificate'
http=(--ca-file "$ca")
login hanna "$hanna_password"
ok helm pull "${http[@]}" "$charts/app" --version 2.0.0 --destination "$tmp/got"
same_chart "$tmp/got/app-2.0.0.tgz"
ok helm push "${http[@]}" "$tmp/made/app-1.2.0.tgz" "oci://$registry/team/tls"
same "digest that helm reckons" "$(digest_of team/tls/app 1.2.0)" "$(sed -n 's/^Digest: //p' "$tmp/said")"
rm "$tmp"/got/*
ok helm pull "${http[@]}" "oci://$registry/team/tls/app" --destination "$tmp/got"
same_chart "$tmp/got/app-1.2.0.tgz"

step "as a dependency of another chart"
(cd "$tmp" && ok helm create parent)
printf 'dependencies:\n  - name: app\n    version: ^1.0.0\n    repository: %s\n' "$charts" >>"$tmp/parent/Chart.yaml"
SSL_CERT_FILE=$ca ok helm dependency update "$tmp/parent"
same_chart "$(find "$tmp/parent/charts" -name '*.tgz')"

step "the server stops"
stop_server
check_store
