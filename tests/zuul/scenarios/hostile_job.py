"""An untrusted job between the trusted playbooks: it plants programs and configuration, and looks for secrets."""
from zuul_site import PLACES_OF_NODES

from .common import built


def play(site, report):
    """an untrusted job neither gets the intermediate registry's password nor has a trusted playbook run what it planted"""
    change = site.review.propose('example/hostile', 'Steal', {'hostile': 'of this change\n'})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    build = site.zuul.build(pipeline='check', change=change.number)
    log = site.job_folder(build)
    report.check('it took along what it found', (log / 'loot/environment').is_file(), sorted(path.name for path in log.iterdir()))
    report.equal('no planted program was run', (log / 'stolen').exists(), False)
    report.equal('its image is what it built', site.images.texts(built(build)), {'hostile': 'of this change\n'})
    in_log, on_node = log / 'canary', site.nodes()[0] / 'tmp/canary'
    for place in (in_log, on_node):
        place.write_text(site.secrets.canary)
    report.equal('no published file of any job holds a password (the canary is found)', site.files_with_passwords(log.parent), [
        f'the canary in {in_log}'])
    report.equal('no file of a node holds one (the canary is found)', [
        file for node in site.nodes() for place in PLACES_OF_NODES for file in site.files_with_passwords(node / place)], [
        f'the canary in {on_node}'])
    report.equal('nothing that Zuul keeps of builds holds one', site.secrets.named_in(str(site.zuul.builds(limit=500))), [])
    report.equal('no process had one among its arguments (the canary is found)', site.secrets.seen_in_processes(), [
        'the canary in the arguments of sh'])
    change.abandon()
