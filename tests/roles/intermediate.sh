# Part of tests/roles/play: a site's own intermediate registry.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

# A site's intermediate registry, as systemd would run it: there is none here, so its command lines are taken
# from the units.
command_of() {
    sed -n "s|%i|$version|g; s/^ExecStart=//p" "/etc/systemd/system/$1"
}

# as_service UNIT: by the user and with the umask of the unit, in the place of this shell.
as_service() {
    local command
    read -ra command < <(command_of "$1")
    umask 077
    exec runuser --user intermediate-registry -- "${command[@]}"
}

serve_intermediate() {
    (as_service intermediate-registry@.service) >"$logs/intermediate-$1.log" 2>&1 &
    serving=$!
}

answers() {
    local tries
    for tries in {1..100}; do
        if curl --silent --fail --cacert "$work/service.pem" "https://service.example.org:5600/healthz" >/dev/null; then
            return 0
        fi
        sleep 0.1
    done
    echo "no answer after $tries tries"
    return 1
}

# The registry itself, not runuser above it.
process_of() {
    pgrep --parent "$1" --full buildset-registry
}

printf '127.0.0.4\tservice.example.org\n' >>/etc/hosts
# A secret is what it is, as Zuul's are: Ansible looks for nothing in it.
unsafe() {
    jq . "$1" | sed -E 's/^( *"(pass|password)": )"/\1!unsafe "/'
}
jq -n '{run_intermediate_registry_users: [
        {name: "zuul", pass: "service $HOME \"{{ nothing }}\" \\ `id` größe\nwriter'"'"'s-password", access: "write"},
        {name: "mirror", pass: ("service-" + "reader-password"), access: "read"}]}' >"$work/service.vars"
unsafe "$work/service.vars" >"$work/service.yaml"
test_playbook intermediate -e "@$work/service.yaml" -e "test_ca=$work/service.pem"
test_playbook intermediate.2 -e "@$work/service.yaml" -e "test_ca=$work/service.pem"
check "a second run of run-intermediate-registry changes nothing" node_changed_nothing "$logs/intermediate.2.log"
check "systemd finds nothing wrong with the intermediate registry's units" quietly systemd-analyze verify \
    "/etc/systemd/system/intermediate-registry@$version.service" \
    /etc/systemd/system/intermediate-registry-prune.{service,timer}
check "systemd takes the units for hardened" quietly systemd-analyze security --offline=true --threshold=25 \
    "/etc/systemd/system/intermediate-registry@$version.service"
serve_intermediate first
check "the intermediate registry starts by its unit's command line" answers
first=$(process_of "$serving")
jq '{auths: {"service.example.org:5600": {auth: ("zuul:" + .run_intermediate_registry_users[0].pass | @base64)}}}' \
    "$work/service.vars" >"$work/service.auth"
jq -n '{auths: {"service.example.org:5600": {auth: ("mirror:service-reader-password" | @base64)}}}' >"$work/reader.auth"
in_service() {
    skopeo copy --quiet --insecure-policy --src-tls-verify=true --dest-cert-dir "$work/certs" --authfile "$work/$1.auth" \
        "oci:$work/sample" docker://service.example.org:5600/demo/kept:1 >>"$logs/service.log" 2>&1
}
mkdir -p "$work/certs"
cp "$work/service.pem" "$work/certs/ca.crt"
check "a user with read access cannot push to the intermediate registry" refused_by in_service reader
check "a user with write access can push to it" in_service service
cp "$work/service.pem" /usr/local/share/ca-certificates/service.crt
update-ca-certificates >/dev/null 2>&1
jq '{container_registry_credentials: {"service.example.org:5600": {username: "zuul", password: .run_intermediate_registry_users[0].pass}}}' \
    "$work/service.vars" >"$work/odd.secret"
unsafe "$work/odd.secret" >"$work/odd.yaml"
new_build odd '{"pipeline": "periodic", "project": {"name": "demo/one", "src_dir": "src/example.org/demo/one"}}' '{
    "mirror_container_images_images": [{"src_repository": "registry.example.org/demo/three", "src_tag": "latest",
        "dest_repository": "service.example.org:5600/demo/odd", "dest_tag": "1", "dest_registry": "service.example.org:5600"}]}'
check "a password with quotes, dollars, braces, lines and letters of any language is used as it is" run_playbook odd \
    "$logs/odd-mirror.log" playbooks/container-image/mirror.yaml -e "@$work/odd.yaml"
serve_intermediate second
second_wrapper=$serving
sleep 1
check "a second one waits for the first" test -n "$(process_of "$second_wrapper")"
kill "$first"
check "the second one takes over from the first" answers
check "what was pushed is there after the replacement" quietly skopeo inspect --raw --cert-dir "$work/certs" \
    --authfile "$work/reader.auth" docker://service.example.org:5600/demo/kept:1
check "pruning runs by its unit's command line beside it" quietly bash -c "$(declare -f command_of as_service)
    version=$version; as_service intermediate-registry-prune.service"
kill "$(process_of "$second_wrapper")"
