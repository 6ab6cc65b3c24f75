#!/usr/bin/python3
"""What the demo measures, prints and checks; called by demo/play.

  report.py mark NAME REGISTRY    remember a registry's counters before a step
  report.py note NAME REGISTRY    and what they grew by in it
  report.py table                 every step, from the programs' reports and the counters
  report.py check                 looks at the result with skopeo and buildah; exit 1 if a check fails

REGISTRY is `final` or the name of a build, whose buildset registry is meant.
"""
import base64
import hashlib
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import time
import urllib.request

WORK = pathlib.Path(os.environ["DEMO_WORK"])
KEEP = pathlib.Path(os.environ["DEMO_KEEP"])
BUILDS = ["check-1001", "check-1002", "gate-1001", "gate-1002"]
PLATFORMS = {"amd64": 62, "arm64": 183}  # e_machine of ELF


def load(path):
    return json.loads(path.read_text())


def connection(registry):
    if registry == "final":
        return load(WORK / "final.init")["connection"]
    return load(WORK / registry / "work/results.json")["secret_data"]["buildset_registry"]


# ---- counters

def counters(registry):
    """Bytes of blobs that came in and went out, and all requests, from the registry itself."""
    c = connection(registry)
    login = base64.b64encode(f"{c['username']}:{c['password']}".encode()).decode()
    request = urllib.request.Request(f"https://{c['host']}:{c['port']}/metrics",
                                     headers={"Authorization": f"Basic {login}"})
    context = ssl.create_default_context(cadata=c["cert"])
    sums = {"in": 0, "out": 0, "requests": 0}
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            metric = re.fullmatch(r"(registry_\w+_total)\{(.*)\} (\S+)(?: \d+)?", line)
            if metric is None:
                continue
            name, labels, value = metric.groups()
            if name == "registry_requests_total":
                sums["requests"] += int(float(value))
            elif name == "registry_blob_bytes_total":
                sums[re.search(r'direction="(\w+)"', labels).group(1)] += int(float(value))
    return sums


def mark(name, registry):
    (WORK / f"{name}.mark").write_text(json.dumps(counters(registry) | {"time": time.time()}))


def note(name, registry):
    before, after = load(WORK / f"{name}.mark"), counters(registry) | {"time": time.time()}
    grown = {key: after[key] - before[key] for key in after}
    (KEEP / f"{name}.counters.json").write_text(json.dumps(grown))


# ---- the table

def place(reference):
    """A registry's role in the demo in place of its address."""
    for host, name in (("intermediate.example.org", "intermediate"), ("registry.example.org", "final")):
        if re.match(rf"(docker://)?{re.escape(host)}[:/]", reference):
            return name
    return "buildset"


def build_row(build):
    grown = load(KEEP / f"{build}.counters.json")
    (repository, tags), = load(WORK / build / "work/zuul-images/digests.json").items()
    base = "Containerfile" if build.endswith("1001") else "1001's image"
    return [build, "build", repository, base, "buildset", tags["latest"], "", "", grown["in"],
            grown["requests"] - 1, grown["time"]]  # one request was our own


def report_rows(build, action):
    path = WORK / build / f"work/logs/zuul-images-{action}.json"
    if not path.exists():
        return
    report = load(path)
    totals = report["totals"]
    # A promotion has no word for blobs in its report: it cannot move any. The counters are asked below.
    sums = [totals.get("blobs_moved", 0), totals.get("blobs_present", 0) + totals.get("blobs_mounted", 0),
            totals.get("bytes_moved", 0), totals["requests"], totals["seconds"]]
    for image in report.get("images", []):
        yield [build, action, image["name"].rsplit(":", 1)[0], place(image["from"]), place(image["to"]),
               image["digest"], *sums]
        sums = [""] * 5
    for image in report.get("promoted", []):
        yield [build, action, image["repository"], image["temporary_tag"], image["tag"], image["digest"], *sums]
        sums = [""] * 5


def table():
    rows = []
    for build in BUILDS:
        rows += report_rows(build, "pull")
        rows.append(build_row(build))
        for action in ("upload", "push"):
            rows += report_rows(build, action)
    for change in ("1001", "1002"):
        rows += report_rows(f"promote-{change}", "promote")
    header = ["build", "step", "image", "from", "to", "digest", "moved", "reused", "bytes", "requests", "seconds"]
    cells = [header] + [
        [b, s, image.split("/", 1)[1], f, t, digest[7:19], str(m), str(r),
         f"{size:,}" if size != "" else "", str(q), f"{sec:.2f}" if sec != "" else ""]
        for b, s, image, f, t, digest, m, r, size, q, sec in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.rjust(w) if i > 5 else cell.ljust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


# ---- the checks

def run(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


def raw(reference, certificate=None):
    """The bytes under a name, as skopeo gets them."""
    trust = ["--cert-dir", certificate] if certificate else []
    return run("skopeo", "inspect", "--raw", *trust, f"docker://{reference}")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def buildset(build, image):
    """The same image in the buildset registry of a build, and the folder that makes skopeo trust that."""
    c = connection(build)
    folder = WORK / f"{build}.certs"
    folder.mkdir(exist_ok=True)
    (folder / "ca.crt").write_text(c["cert"])
    return f"{c['host']}:{c['port']}/registry.example.org/demo/{image}", str(folder)


def children(index):
    return {m["platform"]["architecture"]: m["digest"] for m in json.loads(index)["manifests"]}


def layers(repository, index, certificate=None):
    return {arch: [layer["digest"] for layer in json.loads(raw(f"{repository}@{child}", certificate))["layers"]]
            for arch, child in children(index).items()}


def files(image, arch):
    """Pulls with buildah and reads from the mounted file system."""
    container = run("buildah", "from", "--pull-always", "--platform", f"linux/{arch}", image).decode().strip()
    try:
        root = pathlib.Path(run("buildah", "mount", container).decode().strip())
        read = {name: (root / name).read_bytes() for name in ("etc/base-change", "etc/greeting") if (root / name).exists()}
        with (root / "bin/busybox").open("rb") as program:
            read["machine"] = int.from_bytes(program.read(20)[18:], "little")
        return read
    finally:
        run("buildah", "rm", container)


def checks():
    final = "registry.example.org/demo"
    indexes = {}
    for change, image in (("1001", "base"), ("1002", "app")):
        published = indexes[image] = raw(f"{final}/{image}:latest")
        repository, certificate = buildset(f"gate-{change}", image)
        tested = raw(f"{repository}:latest", certificate)
        yield f"{image}:latest is byte for byte what the gate of {change} built", published == tested
        recorded = load(WORK / f"gate-{change}/work/zuul-images/digests.json")[f"{final}/{image}"]["latest"]
        yield f"{image}:latest has the digest that the gate of {change} recorded", digest_of(published) == recorded
        yield f"{image}:latest has both platforms", set(children(published)) == set(PLATFORMS)
        tags = json.loads(run("skopeo", "list-tags", f"docker://{final}/{image}"))["Tags"]
        yield f"{image} keeps no temporary tag", tags == ["latest"]
        grown = load(KEEP / f"promote-{change}.counters.json")
        yield (f"promote of {change} moved no blob byte, by the final registry's own counters",
               grown["in"] == grown["out"] == 0 < grown["requests"])
    base, app = (layers(f"{final}/{image}", indexes[image]) for image in ("base", "app"))
    yield ("1002's published image lies on 1001's, layer by layer and on both platforms",
           all(app[arch][:len(base[arch])] == base[arch] for arch in PLATFORMS))
    repository, certificate = buildset("check-1001", "base")
    proposed = layers(repository, raw(f"{repository}:latest", certificate), certificate)
    repository, certificate = buildset("check-1002", "app")
    on_top = layers(repository, raw(f"{repository}:latest", certificate), certificate)
    yield ("check of 1002 was built on the image of 1001's check, which was never published",
           all(on_top[arch][:len(proposed[arch])] == proposed[arch] != base[arch] for arch in PLATFORMS))
    for arch, machine in PLATFORMS.items():
        read = files(f"{final}/app:latest", arch)
        yield (f"buildah pulls app:latest for {arch} and finds both changes' files",
               read.get("etc/base-change") == b"base image of change 1001, built for gate-1001\n"
               and read.get("etc/greeting") == b"application of change 1002, built for gate-1002\n")
        yield f"its busybox is a program for {arch}", read["machine"] == machine
    secrets = [connection(name)["password"].encode() for name in ["final", *BUILDS]]
    secrets.append(load(WORK / "intermediate.init")["connection"]["password"].encode())
    logs = b"".join(path.read_bytes() for path in [*KEEP.glob("*.log"), *WORK.glob("*/work/logs/*.json")])
    yield "no password is in any log or report", len(logs) > 0 and not any(secret in logs for secret in secrets)


def check():
    passed = failed = 0
    try:
        for name, ok in checks():
            print(f"{'ok  ' if ok else 'FAIL'}  {name}")
            passed, failed = passed + bool(ok), failed + (not ok)
    except (subprocess.CalledProcessError, OSError, KeyError, ValueError) as error:
        said = getattr(error, "stderr", None) or b""
        print(f"FAIL  the next check could not be made: {error!r}\n{said.decode(errors='replace')}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    {"mark": mark, "note": note, "table": table, "check": check}[sys.argv[1]](*sys.argv[2:])
