"""An untrusted job between the trusted playbooks: it plants programs, configuration and facts, and takes along what it finds."""
from .common import built, uploaded_digest

PROJECT = 'example/hostile'


def play(site, report):
    """an untrusted job neither gets a password of the site nor has a trusted playbook run what it planted"""
    stealing = site.review.propose(PROJECT, 'Steal', {'hostile': 'of this change\n'})
    steering = site.review.propose(PROJECT, 'Steer', {'steer': 'yes\n'})
    uploading = site.review.propose(PROJECT, 'Steal in the gate', {'upload': 'yes\n'})
    uploading.approve()
    see_stealing(site, report, stealing)
    see_steering(site, report, steering)
    see_uploading(site, report, uploading)


def see_stealing(site, report, change):
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    build = site.zuul.build(pipeline='check', change=change.number)
    see_loot(site, report, build)
    report.equal('its image is what it built', site.images.texts(built(build)), {'hostile': 'of this change\n'})
    change.abandon()


def see_steering(site, report, change):
    report.equal(f'check of {change}, whose jobs say where trusted programs are, fails', change.await_vote(), -1)
    for how, job in (('by a variable', 'hostile-steer-image'), ('by a fact in the cache', 'hostile-remember-image')):
        build = site.zuul.build(pipeline='check', change=change.number, job_name=job)
        log = site.log_of(build)
        report.check(f'{how}: it says why', 'is in a directory that jobs can write to' in log, log[-1000:])
        report.equal(f'{how}: its program is not run', (site.job_folder(build) / 'stolen').exists(), False)
    build = site.zuul.build(pipeline='check', change=change.number, job_name='hostile-remember-registry-image')
    # Zuul gives secrets as variables of a group, which give way to facts. The login gives way with the address.
    report.check('a fact in the place of the secret turns the image away', 'no connection to 127.0.0.1:1' in site.log_of(build), site.log_of(build)[-1000:])
    report.equal('and is no artifact of the intermediate registry', build['artifacts'], [])
    change.abandon()


def see_uploading(site, report, change):
    report.check(f'gate merges {change}', change.await_merge(), change.messages()[-1])
    build = site.zuul.build(pipeline='gate', change=change.number)
    see_loot(site, report, build)
    report.equal('what is uploaded is what it built', uploaded_digest(build), site.images.digest(built(build)))


def see_loot(site, report, build):
    log = site.job_folder(build)
    loot = {path.name for path in (log / 'loot').rglob('*')}
    report.check('it took along what it found', {'environment', 'results.json', 'digests.json', 'inventory.yaml'} <= loot, loot)
    report.check('root saw the registry on the node', b'buildset-registry\0serve' in (log / 'seen').read_bytes())
    report.equal('no planted program was run', (log / 'stolen').exists(), False)
