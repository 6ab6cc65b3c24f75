# Functions for bash scripts inside tests/support/isolated: what a site's administrator and Zuul's executor
# prepare. The demo and the role tests share them. Expects the checkout as the working directory.
# shellcheck shell=bash

# The directory that holds everything of this run; nodes share it.
: "${work:?set work to a directory of this run}"

# publish_programs: the executor's programs in /usr/local/bin and what nodes install from in
# /usr/local/share/zuul-images; debug builds, which `cargo test` builds too, or
# those in $programs.
publish_programs() {
    local version arch program share=/usr/local/share/zuul-images
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    arch=$(uname -m)
    mkdir -p "$share"
    for program in buildset-registry certify-rhcc-image image-promoter intermediate-registry-sync upload-with-temp-tag \
        promote-retag publish-image-index; do
        install -m 0755 "${programs:-target/debug}/$program" "/usr/local/bin/$program"
        # Without the debugger's part, a quarter is left to hash and copy.
        if [ -z "${programs:-}" ]; then strip "/usr/local/bin/$program"; fi
        ln -s "/usr/local/bin/$program" "$share/$program-$version-$arch"
    done
    (cd "$share" && sha256sum -- * >SHA256SUMS)
}

# start_registry NAME HOST ADDRESS PORT USER [OPTION]...: a long-lived registry that this machine trusts. Its
# connection is left in $work/NAME.init.
start_registry() {
    local root=/var/lib/$1
    printf '%s\t%s\n' "$3" "$2" >>/etc/hosts
    buildset-registry init --root "$root" --host "$2" --port "$4" --user "$5" "${@:6}" --output json >"$work/$1.init"
    jq -r .connection.cert "$work/$1.init" >"/usr/local/share/ca-certificates/$1.crt"
    buildset-registry serve --root "$root" --listen "$3:$4" --detach --output json >/dev/null
    update-ca-certificates >/dev/null 2>&1
}

# site_secrets: the secrets of the final and the intermediate registry, as variable files.
site_secrets() {
    (
        umask 077
        jq '{intermediate_registry: .connection | {host, port, username, password}}' \
            "$work/intermediate.init" >"$work/intermediate.secret"
        jq '{container_registry_credentials: {(.connection.host): (.connection | {username, password,
            repository: "^registry\\.example\\.org/demo/"})}}' "$work/final.init" >"$work/final.secret"
    )
}

# new_build NAME ZUUL VARIABLES: a build's directory and inventory, as the executor makes them; ZUUL and
# VARIABLES are JSON objects, the first is merged into the `zuul` variable.
new_build() {
    local name=$1 zuul=$2 variables=$3 build uuid
    uuid=$(printf '%s %s' "$name" "$RANDOM" | md5sum | cut -c1-32)
    build=$work/$name
    mkdir -p "$build"/work/{src,logs}
    : >"$build/work/results.json"
    jq -n --arg uuid "$uuid" --arg root "$build" --argjson zuul "$zuul" --argjson variables "$variables" '
        ({
            build: $uuid, tenant: "demo", job: "demo-image", patchset: "1",
            change_url: ("https://review.example.org/c/" + ($zuul.change // "ref")),
            executor: {
                hostname: "executor", work_root: ($root + "/work"), log_root: ($root + "/work/logs"),
                src_root: ($root + "/work/src"), result_data_file: ($root + "/work/results.json")
            }
        } + $zuul) as $zuul | {all: {
            hosts: {node: {ansible_connection: "local", ansible_host: "127.0.1.1"}},
            vars: ({
                ansible_python_interpreter: "/usr/bin/python3",
                zuul: ($zuul + {items: [($zuul | {change, patchset, project})]})
            } + $variables)
        }}' >"$build/inventory.json"
}

# run_playbook NAME LOG PLAYBOOK [ARGUMENT]...: one phase of a build.
run_playbook() {
    local build=$work/$1 log=$2 playbook=$3
    shift 3
    ZUUL_JOBDIR=$build ANSIBLE_NOCOLOR=1 ANSIBLE_PIPELINING=1 \
        ANSIBLE_ROLES_PATH=$PWD/roles ANSIBLE_ACTION_PLUGINS=$PWD/target/tools/zuul-action \
        "${ANSIBLE_PLAYBOOK:-target/tools/bin/ansible-playbook}" --inventory "$build/inventory.json" \
        "$@" "$playbook" >"$log" 2>&1
}
