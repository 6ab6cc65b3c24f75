# Part of tests/roles/play: the docker family with a real engine and a builder of buildx.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

# Images only: no container runs, so no network of its own is needed.
start_docker() {
    mkdir -p /srv/docker
    # As systemd does by the drop-in.
    grep -qx 'EnvironmentFile=/etc/docker/zuul-images-proxy.env' \
        /etc/systemd/system/docker.service.d/zuul-images-proxy.conf || return 1
    (
        set -a
        # shellcheck source=/dev/null
        . /etc/docker/zuul-images-proxy.env
        exec dockerd --data-root /srv/docker/data --exec-root /srv/docker/exec --host "$DOCKER_HOST" \
            --pidfile /srv/docker/pid --iptables=false --bridge=none --storage-driver vfs
    ) >"$logs/dockerd.log" 2>&1 &
    engine_answers "$logs/dockerd.log"
}

start_builder() {
    local tries
    mkdir -p /root/.docker/cli-plugins
    ln -s "$PWD/target/tools/bin/buildx" /root/.docker/cli-plugins/docker-buildx
    target/tools/bin/buildkitd --config /etc/buildkit/buildkitd.toml --addr tcp://127.0.0.1:1234 --root /srv/buildkit \
        --oci-worker-snapshotter native \
        >"$logs/buildkitd.log" 2>&1 &
    docker buildx create --name site --driver remote tcp://127.0.0.1:1234 >"$logs/buildx.log" 2>&1
    for tries in {1..100}; do
        if docker buildx inspect --bootstrap site >>"$logs/buildx.log" 2>&1; then return 0; fi
        sleep 0.3
    done
    echo "buildkitd does not answer after $tries tries; see $logs/buildkitd.log"
    return 1
}

# The same with a real docker engine, started after its configuration was written, as a restart does.
ln -sf "$PWD"/target/tools/bin/{containerd*,docker*,runc} /usr/local/bin/
export DOCKER_HOST=unix:///srv/docker/docker.sock
# To a loopback address docker does not speak TLS when it pushes an index.
ip address add 192.0.2.1/32 dev lo
new_build docker '{"pipeline": "gate", "change": "1004",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "container_command": "docker", "buildset_registry_address": "192.0.2.1",
    "buildset_registry_proxy_registries": ["registry.example.org"], "buildset_registry_docker_proxy": true,
    "container_images": [{"context": ".", "repository": "registry.example.org/demo/four", "target": "first",
        "container_filename": "Containerfile", "registry": "registry.example.org"},
        {"context": ".", "repository": "registry.example.org/demo/six", "target": "first", "tags": ["latest", "stable"],
        "container_filename": "Containerfile", "registry": "registry.example.org", "arch": ["linux/arm64", "linux/amd64"]}]}'
for phase in pre run upload; do
    check "playbooks/container-image/$phase.yaml with docker ends well" run_playbook docker \
        "$logs/docker-$phase.log" "playbooks/container-image/$phase.yaml" -e "@$work/final.secret" -e zuul_success=True
    if [ "$phase" = pre ]; then check "the docker engine takes its configuration" start_docker; fi
done
check "docker's image is in the final registry with the digest of the build" same_digest \
    docker://registry.example.org/demo/four:change_1004_latest \
    "$(jq -r '."registry.example.org/demo/four".latest' "$work/docker/work/zuul-images/digests.json")"
for tag in latest stable; do
    check "docker's image of two platforms is in the final registry with the digest of the build as $tag" same_digest \
        "docker://registry.example.org/demo/six:change_1004_$tag" \
        "$(jq -r --arg tag "$tag" '."registry.example.org/demo/six"[$tag]' "$work/docker/work/zuul-images/digests.json")"
done
check "docker builds one index of both platforms" platforms_are docker://registry.example.org/demo/six:change_1004_stable amd64 arm64
in_buildset "oci:$work/sample" demo/speculative:1
check "the docker engine pulls a speculative image of docker.io by its own name" quietly docker pull demo/speculative:1
in_buildset "oci:$work/sample" registry.example.org/demo/speculative:1
check "the docker engine pulls a speculative image of another registry by its own name" \
    quietly docker pull registry.example.org/demo/speculative:1
check "playbooks/container-image/cleanup.yaml with docker ends well" run_playbook docker \
    "$logs/docker-cleanup.log" playbooks/container-image/cleanup.yaml -e zuul_success=True

# The docker family, whose images are in Docker Hub: here a registry that has its name.
start_registry hub registry-1.docker.io 127.0.0.5 443 publisher
jq '{docker_credentials: .connection | {username, password, repository: "^demo/"}}' "$work/hub.init" >"$work/hub.secret"
new_build hub '{"pipeline": "gate", "change": "1005",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "promote_container_image_keep_temporary_tags": true, "zuul_images_require_digests": true,
    "docker_images": [{"context": ".", "repository": "demo/five", "target": "first", "dockerfile": "Containerfile",
        "tags": ["latest", 1.1]}]}'
for playbook in docker-image/{pre,run} buildset-registry/post docker-image/{upload,promote,cleanup}; do
    check "playbooks/$playbook.yaml with docker_images ends well" run_playbook hub "$logs/hub-${playbook//\//-}.log" \
        "playbooks/$playbook.yaml" -e "@$work/hub.secret" -e "@$work/intermediate.secret" -e zuul_success=True
done
five=$(jq -r '."demo/five"."1.1"' "$work/hub/work/zuul-images/digests.json")
for tag in change_1005_1.1 1.1 latest; do
    check "docker_images have the digest of the build in Docker Hub as $tag" \
        same_digest "docker://registry-1.docker.io/demo/five:$tag" "$five"
done
check "docker_images are shared under the names their job gave them" quietly jq -e '.data.zuul.artifacts
    | map(select(.metadata.type == "container_image") | .name) == ["demo/five:latest", "demo/five:1.1"]' "$work/hub/work/results.json"

# A builder of the site's own, which docker reaches by its plugin buildx; it reads what the node's roles wrote.
new_build builder '{"pipeline": "gate", "change": "1006",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "container_builder": "site",
    "docker_images": [{"context": ".", "repository": "demo/seven", "target": "first", "dockerfile": "Containerfile",
        "tags": ["latest", "stable"], "arch": ["linux/arm64", "linux/amd64"], "labels": ["answer=42"]},
        {"context": ".", "repository": "demo/mirrored", "dockerfile": "Containerfile.mirrored"}]}'
for phase in pre run upload cleanup; do
    if [ "$phase" = run ]; then
        in_buildset "oci:$work/sample" quay.io/org/base:1
        in_buildset "oci:$work/sample" demo/base:1
        check "buildkit takes its configuration" start_builder
    fi
    check "playbooks/docker-image/$phase.yaml with a builder of buildx ends well" run_playbook builder "$logs/builder-$phase.log" \
        "playbooks/docker-image/$phase.yaml" -e "@$work/hub.secret" -e zuul_success=True
done
seven=docker://registry-1.docker.io/demo/seven:change_1006_stable
check "a builder's image has the digest of the build in Docker Hub" same_digest "$seven" \
    "$(jq -r '."demo/seven".stable' "$work/builder/work/zuul-images/digests.json")"
check "a builder finds images of any registry in the buildset registry" quietly skopeo inspect --raw \
    docker://registry-1.docker.io/demo/mirrored:change_1006_latest
check "a builder makes one index of both platforms" platforms_are "$seven" amd64 arm64
check "a builder's image is in the engine for its own platform" \
    test "$(docker image inspect --format '{{.Architecture}} {{.Config.Labels.answer}}' demo/seven:latest)" = \
    "$(docker version --format '{{.Server.Arch}}') 42"

check "the docker engine's proxy is gone" \
    test ! -e /etc/docker/zuul-images-proxy.env -a ! -e /etc/systemd/system/docker.service.d/zuul-images-proxy.conf
