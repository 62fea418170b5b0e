#!/usr/bin/env python3
"""Garbage collection of Stowage and of distribution (github.com/distribution/distribution), one after the
other, on the same content: `garbage.py STOWAGE REGISTRY DIR`.

Both get 10 repositories with 1,000 images each. An image has a layer of its own. One in ten images is
deleted by its digest. Then `registry garbage-collect` runs while its server is stopped, as its documentation
demands, and `stowage gc run --empty-trash --wait` while its server works and a client pushes a blob every 5
ms. DIR must be empty. The results are a table; docs/performance.md has one.
"""

import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time

REPOSITORIES, IMAGES, DELETED, PORT = 10, 1000, 10, 5990
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Client:
    def __init__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT)

    def send(self, method, path, body=b"", media_type="application/octet-stream"):
        self.connection.request(method, path, body=body, headers={"Content-Type": media_type})
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status in (201, 202), (method, path, answer.status)
        return answer

    def blob(self, repository, content, media_type):
        """Pushes a blob in two requests, which both registries understand. Returns its descriptor."""
        digest = digest_of(content)
        location = self.send("POST", f"/v2/{repository}/blobs/uploads/").headers["location"]
        location = location[location.index("/v2/") :]
        separator = "&" if "?" in location else "?"
        self.send("PUT", f"{location}{separator}digest={digest}", content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def image(self, repository, number, config):
        layer = self.blob(repository, f"{repository} {number} ".encode() * 50, LAYER)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        body = json.dumps(manifest).encode()
        self.send("PUT", f"/v2/{repository}/manifests/t{number}", body, MANIFEST)
        return digest_of(body)


def fill():
    client = Client()
    for repository in (f"team/app-{number}" for number in range(REPOSITORIES)):
        config = client.blob(repository, b"{}", CONFIG)
        images = [client.image(repository, number, config) for number in range(IMAGES)]
        for digest in images[::DELETED]:
            client.send("DELETE", f"/v2/{repository}/manifests/{digest}")


def files(directory):
    return sum(len(names) for _, _, names in os.walk(directory))


def serve(command, environment, log):
    server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    for _ in range(100):
        time.sleep(0.1)
        try:
            http.client.HTTPConnection("127.0.0.1", PORT).connect()
            return server
        except OSError:
            pass
    sys.exit(f"{command[0]} does not start: {log.name}")


def pushes(over, seconds):
    client = Client()
    while not over.is_set():
        begun = time.monotonic()
        client.blob("team/live", os.urandom(500), LAYER)
        seconds.append(time.monotonic() - begun)
        time.sleep(0.005)


def distribution(registry, directory, log):
    data, settings = os.path.join(directory, "distribution"), os.path.join(directory, "config.yml")
    with open(settings, "w", encoding="utf-8") as file:
        storage = {"filesystem": {"rootdirectory": data}, "delete": {"enabled": True}}
        http_settings = {"addr": f"127.0.0.1:{PORT}"}
        json.dump({"version": "0.1", "storage": storage, "http": http_settings}, file)
    # Without this it tries to send traces to a server that is not there.
    environment = {"OTEL_TRACES_EXPORTER": "none"}
    server = serve([registry, "serve", settings], environment, log)
    fill()
    server.terminate()
    server.wait()
    blobs = os.path.join(data, "docker/registry/v2/blobs")
    before, begun = files(blobs), time.monotonic()
    collect = [registry, "garbage-collect", "--delete-untagged", settings]
    subprocess.run(collect, check=True, env={**os.environ, **environment}, stdout=log, stderr=log)
    took = time.monotonic() - begun
    removed = before - files(blobs)
    print(f"| distribution | {took:.1f} s | {removed} (manifests are files) | not possible |")


def stowage(program, directory, log):
    data = os.path.join(directory, "stowage")
    environment = {"STOWAGE_CONFIG": "/dev/null", "STOWAGE__STORAGE__MIN_FREE": "0"}
    arguments = ["serve", "--open", "--listen", f"127.0.0.1:{PORT}", "--data-dir", data]
    server = serve([program, *arguments], environment, log)
    fill()
    over, seconds = threading.Event(), []
    pusher = threading.Thread(target=pushes, args=(over, seconds))
    pusher.start()
    begun = time.monotonic()
    run = [program, "gc", "run", "--empty-trash", "--wait", "--json", "--data-dir", data]
    done = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    took = time.monotonic() - begun
    over.set()
    pusher.join()
    server.terminate()
    server.wait()
    longest = max(seconds) * 1000
    blobs = done["data"]["result"]["blobs"]
    print(f"| Stowage | {took:.1f} s | {blobs} | {len(seconds)}, the longest {longest:.0f} ms |")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, registry, directory = sys.argv[1:]
    print("| | garbage collection | files removed | pushes meanwhile |\n|---|--:|--:|---|")
    with open(os.path.join(directory, "log"), "w", encoding="utf-8") as log:
        distribution(registry, directory, log)
        stowage(program, directory, log)


main()
