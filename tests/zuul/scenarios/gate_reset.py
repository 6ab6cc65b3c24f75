"""The gate is reset while a change behind uploads."""
from zuul_api import eventually

from .common import APP, BASE, answering, ensure_published, uploaded_digest

PROGRAM = 'upload-with-temp-tag'


def play(site, report):
    """an upload that is under way is stopped with its build, and the next one counts"""
    ensure_published(site)
    published = site.images.texts(f'{BASE}:latest')['base-change']
    failing = site.review.propose('example/base', 'Fail late', {'base-change': 'fails late\n', 'gate-fails': 'yes\n', 'gate-waits': 'yes\n'})
    behind = site.review.propose('example/app', 'Upload slowly', {'greeting': 'behind a reset\n'})
    site.freeze_distribution()
    failing.approve()
    eventually(f'{failing} in the gate', lambda: site.zuul.items('gate'))
    behind.approve()
    # The job ahead runs the registry that base-test depends on, so it has not uploaded yet.
    report.check('an upload is under way', eventually('the upload', lambda: site.processes(PROGRAM), seconds=600))
    with answering():
        report.check(f'gate refuses {failing}', not failing.await_merge(), failing.status())
    report.check('the upload is stopped', eventually('its end', lambda: not site.processes(PROGRAM)))
    site.thaw_distribution()
    report.check(f'gate merges {behind}', behind.await_merge(), behind.messages()[-1])
    first, second = site.zuul.builds(pipeline='gate', change=behind.number, job_name='app-upload-image')[::-1]
    report.equal('the first upload does not count', (first['result'], first['artifacts']), ('CANCELED', []))
    report.equal('promote succeeds', site.zuul.build(pipeline='promote', change=behind.number)['result'], 'SUCCESS')
    report.equal('what the second uploaded is published', site.images.digest(f'{APP}:latest'), uploaded_digest(second))
    report.equal('it lies on the published base image', site.images.texts(f'{APP}:latest')['base-change'], published)
