# Part of tests/roles/play: the published upload job with what other jobs of its buildset and upstream's roles do.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

# Any job of the buildset can write to its registry.
consumer_overwrites_the_image() {
    local image=registry.example.org/demo/three:latest
    skopeo copy --quiet --insecure-policy "docker://zuul-jobs.buildset-registry:5000/$image" "oci:$work/three"
    buildah bud --quiet --no-cache --target first --tag overwriting tests/roles/content >>"$logs/sample.log" 2>&1
    in_buildset containers-storage:localhost/overwriting "$image"
    check "push fails for an image that a consumer overwrote" \
        refused published "$logs/overwritten-push.log" playbooks/buildset-registry/post.yaml -e "@$work/intermediate.secret"
    check "upload fails for an image that a consumer overwrote" \
        refused published "$logs/overwritten-upload.log" playbooks/container-image/upload.yaml -e "@$work/final.secret"
    in_buildset "oci:$work/three" "$image"
}

# says PATTERN LOG PLAYBOOK [ARGUMENT]...: the published build's playbook fails and says so.
says() {
    local pattern=$1
    shift
    if run_playbook published "$@"; then return 1; fi
    grep -q "$pattern" "$1"
}

# checked_only LOG PLAYBOOK [ARGUMENT]...: in Ansible's check mode it ends well and changes nothing.
checked_only() {
    state_of_published >"$work/before-check"
    run_playbook published "$@" --check || return 1
    state_of_published | quietly diff "$work/before-check" -
}

state_of_published() {
    tests/roles/files-of-clients
    find /root "$work/published/work" '(' -name .cache -o -name .cargo -o -path /root/go -o -name .ansible -o -name .pyenv -o -name logs -o -name serve.log ')' -prune \
        -o -printf '%p %m %s\n' | sort
    pgrep --full '/buildset-registry serve'
    skopeo list-tags docker://registry.example.org/demo/three 2>/dev/null || echo no tags
}

# Upstream's roles share images through a tunnel to the buildset registry.
as_upstream_calls_it() {
    local home=$work/upstream image=registry.example.org/demo/tunnelled:1
    mkdir -p "$home/.docker" /etc/docker/certs.d/127.0.0.1:15000
    jq -r .cert "$work/published/work/zuul-images/connection.json" >/etc/docker/certs.d/127.0.0.1:15000/ca.crt
    jq -s '{auths: {"127.0.0.1:15000": {auth: (.[0] | "\(.username):\(.password)" | @base64)}}} * .[1]' \
        "$work/published/work/zuul-images/connection.json" "$work/intermediate.auth" >"$home/.docker/config.json"
    target/tools/bin/socat TCP-LISTEN:15000,bind=127.0.0.1,fork,reuseaddr TCP:127.0.1.1:5000 2>"$logs/socat.log" &
    check "plain skopeo pulls into our registry through a tunnel as upstream's role calls it" quietly env HOME="$home" \
        skopeo --insecure-policy copy --retry-times 3 --all "docker://intermediate.example.org:5443/registry.example.org/demo/ahead:${ahead}_latest" \
        "docker://127.0.0.1:15000/$image"
    check "plain skopeo pushes from our registry through a tunnel as upstream's role calls it" quietly env HOME="$home" \
        skopeo --insecure-policy copy --all "docker://127.0.0.1:15000/$image" \
        "docker://intermediate.example.org:5443/registry.example.org/demo/tunnelled:${ahead}_1"
    check "an image that went through a tunnel both ways is what it was" same_digest \
        "docker://zuul-jobs.buildset-registry:5000/$image" "$digest"
    kill $!
    rm -r /etc/docker/certs.d
}

# The published upload job by itself, where no ancestor runs a registry: it gets one of its own.
new_build published '{"pipeline": "gate", "change": "1003",
    "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "container_build_extra_env": {"BUILDAH_ISOLATION": "chroot"},
    "container_images": [{"context": ".", "repository": "registry.example.org/demo/three", "target": "first",
        "registry": "registry.example.org"}]}'
tests/roles/files-of-clients >"$work/files-before"
for phase in pre run upload cleanup; do
    if [ "$phase" = upload ]; then
        consumer_overwrites_the_image
        as_upstream_calls_it
        check "an upload without its secret says which one is missing" says \
            'missing required arguments: container_registry_credentials' "$logs/no-secret.log" playbooks/container-image/upload.yaml
        check "an upload with half a login says which half is missing" says 'password' "$logs/half-secret.log" \
            playbooks/container-image/upload.yaml -e '{"container_registry_credentials": {"registry.example.org": {"username": "publisher"}}}'
    fi
    check "a check of playbooks/container-image/$phase.yaml changes nothing" checked_only "$logs/checked-$phase.log" \
        "playbooks/container-image/$phase.yaml" -e "@$work/final.secret" -e zuul_success=True
    check "playbooks/container-image/$phase.yaml of the published upload job ends well" run_playbook published \
        "$logs/published-$phase.log" "playbooks/container-image/$phase.yaml" -e "@$work/final.secret" -e zuul_success=True
done
tests/roles/files-of-clients >"$work/files-after"
check "the clean-up leaves the node's clients as they were" quietly diff "$work/files-before" "$work/files-after"
check "its image is in the final registry under the temporary tag" \
    quietly skopeo inspect --raw docker://registry.example.org/demo/three:change_1003_latest
check "its registry is not returned to child jobs" \
    quietly jq -e '.secret_data == {}' "$work/published/work/results.json"
