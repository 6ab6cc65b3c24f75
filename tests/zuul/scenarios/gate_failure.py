"""The base image's change fails in the gate while another project's change is behind it."""
from zuul_api import eventually

from .common import BASE, built, ensure_published, in_pipeline


def play(site, report):
    """what a failing change built reaches neither the changes behind it nor the registry's tags"""
    ensure_published(site)
    before = site.images.digest(f'{BASE}:latest')
    published = site.images.texts(f'{BASE}:latest')['base-change']
    failing = site.review.propose('example/base', 'Fail after the upload', {'base-change': 'fails\n', 'gate-fails': 'yes\n'})
    behind = site.review.propose('example/app', 'Behind it', {'greeting': 'behind\n'})
    failing.approve()
    eventually(f'{failing} in the gate', lambda: in_pipeline(site, 'gate', failing))
    behind.approve()

    report.check(f'gate refuses {failing}', not failing.await_merge(), failing.status())
    report.check(f'gate merges {behind}', behind.await_merge(), behind.messages()[-1])
    rerun = site.zuul.build(pipeline='gate', change=behind.number, job_name='app-upload-image', result='SUCCESS')
    report.equal('the change behind is built on the published base image', site.images.texts(built(rerun))['base-change'], published)
    report.equal('nothing of the failing change is published', site.images.digest(f'{BASE}:latest'), before)
    report.equal('it is not promoted', site.zuul.builds(pipeline='promote', change=failing.number), [])
    leaked = f'change_{failing.number}_latest'
    report.check('its temporary tag is left behind', leaked in site.images.tags(BASE), site.images.tags(BASE))
    site.operate('enqueue-ref', 'periodic-sweep', 'example/base', '--ref', 'refs/heads/main')
    for job, decision in (('base-sweep-tags', 'kept'), ('base-sweep-new-tags', 'deleted')):
        swept = site.zuul.build(pipeline='periodic-sweep', project='example/base', job_name=job)
        report.equal(f'{job} succeeds', swept['result'], 'SUCCESS')
        report.equal('what it does with the temporary tag', decision_on(site, swept, leaked), decision)
    report.check('the sweep removes the temporary tag', leaked not in site.images.tags(BASE), site.images.tags(BASE))
    report.equal('the sweep leaves the published image', site.images.digest(f'{BASE}:latest'), before)


def decision_on(site, sweep, tag):
    """What our sweep did with a tag of the base image."""
    swept = site.report_of(sweep, f'remove-registry-tag-{BASE.replace("/", "_")}')
    return next((entry['decision'] for entry in swept['tags'] if entry['tag'] == tag), None)
