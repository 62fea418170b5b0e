#!/usr/bin/env bash
# docker against a registry whose disk of 64 MiB is full: what docker says, a pull, a delete, and a push when there is room.
# Needs root (for the engine and a file system), docker, dockerd, mkfs.ext4, jq and curl.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need mkfs.ext4
log_level=info
disk=$tmp/disk
data=$disk/data

stop_more() {
    if mountpoint -q "$disk"; then umount "$disk" || umount --lazy "$disk"; fi
}

# Leaves no free byte on the disk. The kernel gives some back with a moment's delay.
fill_disk() {
    for _ in 1 2 3; do
        dd if=/dev/zero of="$disk/filler" bs=4k oflag=append conv=notrunc,fsync status=none 2>/dev/null || true
    done
    sleep 1.1 # the server asks the file system at most once a second
    same "bytes free on the disk" 0 "$(stat --file-system --format %a "$disk")"
}

refused_push() {
    local since=$SECONDS
    refused docker push "$1"
    said "disk is full|less than storage.min_free"
    said "free some space"
    same "number of waits of docker" 0 "$(grep -c 'Retrying in' "$tmp/said" || true)"
    printf '  docker said so within %s s\n' "$((SECONDS - since))"
    ((SECONDS - since < 10)) || fail "docker went on trying"
}

step "a registry on a disk of 64 MiB"
truncate -s 64M "$tmp/image"
mkfs.ext4 -q -b 4096 -m 0 "$tmp/image"
mkdir "$disk"
mount -o loop "$tmp/image" "$disk"
start_engine
start_server
docker_login admin "$registry" "$password"

step "two images are there before the disk is full"
mkdir "$tmp/context"
for name in kept deleted refused; do
    random_file 2 "$tmp/context/$name"
    tar -c -C "$tmp/context" "$name" | ok docker import - "$registry/team/$name:1"
done
kept_id=$(image_id "$registry/team/kept:1")
kept_saved=$(saved "$registry/team/kept:1")
ok docker push "$registry/team/kept:1"
ok docker push "$registry/team/deleted:1"

step "a push to the full disk is refused at once, with the reason and what to do"
fill_disk
refused_push "$registry/team/refused:1"

step "a tag of what is there already is refused in the same words"
ok docker tag "$registry/team/kept:1" "$registry/team/kept:2"
refused_push "$registry/team/kept:2"

step "a pull works, and a login"
docker_login admin "$registry" "$password"
forget "$kept_id"
ok docker pull "$registry/team/kept:1"
same "image id" "$kept_id" "$(image_id "$registry/team/kept:1")"
same "docker save" "$kept_saved" "$(saved "$registry/team/kept:1")"

step "a delete works"
stowage tag delete team/deleted:1 --yes
refused docker pull "$registry/team/deleted:1"
said 'manifest unknown|not found'
stowage repo delete team/deleted --yes

step "a restart on the full disk"
stop_server
start_server
ok docker pull "$registry/team/kept:1"
refused_push "$registry/team/refused:1"

step "with room again the same push is taken, without a restart"
rm "$disk/filler"
for _ in {1..50}; do
    show docker push "$registry/team/refused:1" && break
    sleep 0.2
done
said '^1: digest: sha256:'
refused_id=$(image_id "$registry/team/refused:1")
forget "$refused_id"
ok docker pull "$registry/team/refused:1"
same "image id" "$refused_id" "$(image_id "$registry/team/refused:1")"

step "the server stops"
stop_server
check_store
