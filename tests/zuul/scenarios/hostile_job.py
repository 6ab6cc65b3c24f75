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
    report.equal('no published file of any job holds a password', site.files_with_passwords(log.parent), [])
    report.equal('no file of a node holds one', [
        file for node in site.nodes() for place in PLACES_OF_NODES for file in site.files_with_passwords(node / place)], [])
    report.equal('nothing that Zuul keeps of builds holds one', site.secrets.named_in(str(site.zuul.builds(limit=500))), [])
    report.equal('no process had one among its arguments', site.secrets.seen_in_processes(), [])
    change.abandon()
