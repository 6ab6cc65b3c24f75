# Part of tests/roles/play: nodes with a name and with IPv6, and a gate that runs once more.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

# The gate runs once more for the same change, on a node that is known by a name.
printf '127.0.1.1\tnode.example.org\n' >>/etc/hosts
cp "$work/published/work/results.json" "$work/first.results"
new_build named '{"pipeline": "gate", "change": "1003",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "container_build_extra_env": {"BUILDAH_ISOLATION": "chroot"}, "buildset_registry_address": "node.example.org",
    "container_images": [{"context": ".", "repository": "registry.example.org/demo/three", "target": "first",
        "registry": "registry.example.org", "labels": ["run=second"]}]}'
for phase in pre run upload cleanup; do
    check "playbooks/container-image/$phase.yaml of a node with a name ends well" run_playbook named \
        "$logs/named-$phase.log" "playbooks/container-image/$phase.yaml" -e "@$work/final.secret"
    if [ "$phase" = pre ]; then
        check "a registry with a name needs no other" refused_by grep -q zuul-jobs.buildset-registry /etc/hosts
    fi
done
uploaded() { jq -c '{promote_container_image_uploads: .data.zuul.artifacts}' "$1"; }
check "a promotion that expects the first run's image is refused" refused named "$logs/named-first.log" \
    playbooks/container-image/promote.yaml -e "@$work/final.secret" -e "$(uploaded "$work/first.results")"
check "a check of a promotion says what it would do" run_playbook named "$logs/named-checked.log" --check \
    playbooks/container-image/promote.yaml -e "@$work/final.secret" -e "$(uploaded "$work/named/work/results.json")"
check "a check of a promotion promotes nothing" refused_by quietly skopeo inspect --raw docker://registry.example.org/demo/three:latest
check "a promotion that expects the second run's image ends well" run_playbook named "$logs/named-promote.log" \
    playbooks/container-image/promote.yaml -e "@$work/final.secret" -e "$(uploaded "$work/named/work/results.json")"
check "the image of the gate's second run is promoted" same_digest docker://registry.example.org/demo/three:latest \
    "$(jq -r '."registry.example.org/demo/three".latest' "$work/named/work/zuul-images/digests.json")"

# A node and an intermediate registry that have IPv6 only.
ip address add fd00::1/128 dev lo
ip address add fd00::3/128 dev lo
buildset-registry init --root /var/lib/six --host fd00::3 --port 5443 --user zuul --output json >"$work/six.init"
jq -r .connection.cert "$work/six.init" >/usr/local/share/ca-certificates/six.crt
update-ca-certificates >/dev/null 2>&1
buildset-registry serve --root /var/lib/six --listen '[fd00::3]:5443' --detach --output json >"$work/six.serve"
jq '{intermediate_registry: .connection | {host, port, username, password}}' "$work/six.init" >"$work/six.secret"
new_build six '{"pipeline": "check", "change": "1007",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "container_build_extra_env": {"BUILDAH_ISOLATION": "chroot"}, "buildset_registry_address": "fd00::1",
    "container_images": [{"context": ".", "repository": "registry.example.org/demo/six-by-address", "target": "first"}]}'
for playbook in container-image/{pre,run} buildset-registry/post container-image/cleanup; do
    check "playbooks/$playbook.yaml of a node with IPv6 ends well" run_playbook six "$logs/six-${playbook//\//-}.log" \
        "playbooks/$playbook.yaml" -e "@$work/six.secret"
done
check "an artifact in a registry with IPv6 has a URL that can be parsed" quietly jq -e --arg build "$(jq -r .all.vars.zuul.build "$work/six/inventory.json")" \
    '.data.zuul.artifacts[0].url == "docker://[fd00::3]:5443/registry.example.org/demo/six-by-address:\($build)_latest"' "$work/six/work/results.json"
new_build behind "$(jq -c '{pipeline: "check", change: "1008", project: {name: "demo/one", src_dir: "src/example.org/demo/one"},
    artifacts: .data.zuul.artifacts}' "$work/six/work/results.json")" '{"buildset_registry_address": "fd00::1"}'
check "images are pulled over IPv6" run_playbook behind "$logs/behind-pre.log" playbooks/buildset-registry/pre.yaml -e "@$work/six.secret"
check "a node finds the image in a registry with IPv6" same_digest \
    docker://zuul-jobs.buildset-registry:5000/registry.example.org/demo/six-by-address:latest \
    "$(jq -r '."registry.example.org/demo/six-by-address".latest' "$work/six/work/zuul-images/digests.json")"
check "a registry with IPv6 is cleared away" run_playbook behind "$logs/behind-cleanup.log" playbooks/buildset-registry/cleanup.yaml
check "its name is gone" refused_by grep -q zuul-jobs.buildset-registry /etc/hosts
