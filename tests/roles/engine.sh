# Part of tests/roles/play: the docker family with an engine that keeps its images in containerd, as newer ones do
# unless they are told otherwise. It comes last of the engines, as it takes the place of the other one's programs.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

engine=${XDG_CACHE_HOME:-$HOME/.cache}/zuul-images/docker-trixie

# With the configuration that the roles have left, as a restart takes it.
start_engine() {
    jq -s 'add // {} | .features["containerd-snapshotter"] = true' /etc/docker/daemon.json >/srv/engine/daemon.json
    PATH=$engine/usr/sbin:$engine/usr/bin:$PATH dockerd --config-file /srv/engine/daemon.json --data-root /srv/engine/data \
        --exec-root /srv/engine/exec --host "$DOCKER_HOST" --pidfile /srv/engine/pid --iptables=false --bridge=none \
        --storage-driver native >"$logs/engine.log" 2>&1 &
    engine_answers "$logs/engine.log"
}

keeps_images_in_containerd() {
    docker info --format '{{json .DriverStatus}}' | jq -e 'any(.[]; . == ["driver-type", "io.containerd.snapshotter.v1"])'
}

mkdir -p /srv/engine /etc/docker /root/.docker/cli-plugins
export DOCKER_HOST=unix:///srv/engine/docker.sock
ln -sf "$PWD"/target/tools/bin/runc /usr/local/bin/
ln -sf "$engine"/usr/bin/{containerd*,docker} /usr/local/bin/
ln -sf "$engine/usr/libexec/docker/cli-plugins/docker-buildx" /root/.docker/cli-plugins/docker-buildx
ip address add 192.0.2.2/32 dev lo
new_build engine '{"pipeline": "gate", "change": "1010",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "container_command": "docker", "buildset_registry_address": "192.0.2.2",
    "container_images": [{"context": ".", "repository": "registry.example.org/demo/eight", "target": "first",
        "container_filename": "Containerfile", "registry": "registry.example.org"},
        {"context": ".", "repository": "registry.example.org/demo/nine", "target": "first", "tags": ["latest", "stable"],
        "container_filename": "Containerfile", "registry": "registry.example.org", "arch": ["linux/arm64", "linux/amd64"]}]}'
for phase in pre run upload; do
    check "playbooks/container-image/$phase.yaml with images in containerd ends well" run_playbook engine \
        "$logs/engine-$phase.log" "playbooks/container-image/$phase.yaml" -e "@$work/final.secret" -e zuul_success=True
    if [ "$phase" = pre ]; then
        check "an engine with images in containerd takes its configuration" start_engine
        check "it keeps its images in containerd" quietly keeps_images_in_containerd
    fi
done
for name in eight:latest nine:latest nine:stable; do
    check "$name of this engine is in the final registry with the digest of the build" same_digest \
        "docker://registry.example.org/demo/${name/:/:change_1010_}" "$(jq -r --arg name "${name%:*}" --arg tag "${name#*:}" \
            '."registry.example.org/demo/\($name)"[$tag]' "$work/engine/work/zuul-images/digests.json")"
done
check "this engine builds one index of both platforms" platforms_are docker://registry.example.org/demo/nine:change_1010_stable amd64 arm64
