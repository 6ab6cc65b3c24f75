"""An untrusted job between the trusted playbooks: it plants programs and configuration, and looks for secrets."""
from zuul_site import LOGS, PLACES_OF_NODES

from .common import built


def play(site, report):
    """an untrusted job neither gets the intermediate registry's password nor has a trusted playbook run what it planted"""
    change = site.review.propose('example/hostile', 'Steal', {'hostile': 'of this change\n'})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    build = site.zuul.build(pipeline='check', change=change.number)
    log = site.job_folder(build)
    loot = {path.name for path in (log / 'loot').rglob('*')}
    report.check('it took along what it found', {'environment', 'results.json', 'digests.json', 'inventory.yaml'} <= loot, loot)
    report.check('root saw the registry on the node', b'buildset-registry\0serve' in (log / 'seen').read_bytes())
    report.equal('no planted program was run', (log / 'stolen').exists(), False)
    report.equal('its image is what it built', site.images.texts(built(build)), {'hostile': 'of this change\n'})
    change.abandon()
    steering = site.review.propose('example/hostile', 'Steer', {'steer': 'yes\n'})
    report.equal(f'check of {steering}, whose job says where trusted programs are, fails', steering.await_vote(), -1)
    steered = site.zuul.build(pipeline='check', change=steering.number)
    report.check('it says why', 'is in a directory that jobs can write to' in site.log_of(steered), site.log_of(steered)[-1000:])
    report.equal('its program is not run', (site.job_folder(steered) / 'stolen').exists(), False)
    steering.abandon()

    in_log, on_node = log / 'canary', site.nodes()[0] / 'tmp/canary'
    for place in (in_log, on_node):
        place.write_text(site.secrets.canary)
    report.equal('no published file of any job holds a password (the canary is found)', site.files_with_passwords(log.parent), [
        f'the canary in {in_log}'])
    report.equal('no file of a node holds one (the canary is found)', [
        file for node in site.nodes() for place in PLACES_OF_NODES for file in site.files_with_passwords(node / place)], [
        f'the canary in {on_node}'])
    report.equal("none of Zuul's own logs holds one", site.files_with_passwords(LOGS), [])
    report.equal('nothing that Zuul keeps of builds holds one', site.secrets.named_in(str(site.zuul.builds(limit=500))), [])
    report.equal('no process had one in its arguments or environment (the canary is found)', site.secrets.seen_in_processes(), [
        'the canary in what was said to sh'])
