# Part of tests/roles/play: a site that runs zuul-registry as its buildset registry.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

# A site that has not changed over: its buildset registry is zuul-registry with a certificate as upstream's role makes it.
mkdir -p "$work/zuul-registry"
openssl req -x509 -nodes -newkey rsa:2048 -days 365 -subj /CN=127.0.0.6 \
    -addext subjectAltName=DNS:zuul-jobs.buildset-registry,DNS:127.0.0.6,IP:127.0.0.6,IP:127.0.0.1 \
    -keyout "$work/zuul-registry/cert.key" -out "$work/zuul-registry/cert.pem" 2>"$logs/openssl.log"
jq -n --arg root "$work/zuul-registry" '{registry: {address: "127.0.0.6", port: 5000, "public-url": "https://127.0.0.6:5000",
    "tls-cert": ($root + "/cert.pem"), "tls-key": ($root + "/cert.key"), secret: "its-secret",
    users: [{name: "zuul", pass: "Upstreams:.,password", access: "write"}],
    storage: {driver: "filesystem", root: ($root + "/storage")}}}' >"$work/zuul-registry/registry.yaml"
target/tools/bin/zuul-registry -c "$work/zuul-registry/registry.yaml" serve >"$logs/zuul-registry.log" 2>&1 &
zuul_registry=$!
jq -n --rawfile cert "$work/zuul-registry/cert.pem" '{buildset_registry: {host: "127.0.0.6", port: 5000, username: "zuul",
    password: "Upstreams:.,password", cert: $cert}}' >"$work/upstream.secret"
new_build upstream "$(jq -c '{pipeline: "check", change: "1009", project: {name: "demo/one", src_dir: "src/example.org/demo/one"},
    artifacts: .data.zuul.artifacts}' "$work/six/work/results.json")" '{
    "container_build_extra_env": {"BUILDAH_ISOLATION": "chroot"},
    "container_images": [{"context": ".", "repository": "registry.example.org/demo/upstream", "target": "first"}]}'
for playbook in buildset-registry/pre container-image/run buildset-registry/{post,cleanup}; do
    check "playbooks/$playbook.yaml with zuul-registry as the buildset registry ends well" run_playbook upstream \
        "$logs/upstream-${playbook//\//-}.log" "playbooks/$playbook.yaml" -e "@$work/six.secret" -e "@$work/upstream.secret"
done
in_zuul_registry() {
    skopeo copy --quiet --insecure-policy --src-cert-dir "$work/zuul-registry/certs" "docker://127.0.0.6:5000/$1" "oci:$work/$2"
}
mkdir "$work/zuul-registry/certs"
cp "$work/zuul-registry/cert.pem" "$work/zuul-registry/certs/ca.crt"
check "our pull role fills a zuul-registry" in_zuul_registry registry.example.org/demo/six-by-address:latest from-zuul-registry
check "our push role takes from a zuul-registry what was built" quietly jq -e --argjson digests \
    "$(cat "$work/upstream/work/zuul-images/digests.json")" '.data.zuul.artifacts[0].metadata.digest
    == $digests["registry.example.org/demo/upstream"].latest' "$work/upstream/work/results.json"
kill "$zuul_registry"
