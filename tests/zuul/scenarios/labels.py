"""One label for each project, with which Zuul hands over images by itself."""
from .common import built

BASE = 'registry.example.org/demo/labelled-base'


def play(site, report):
    """with labels of their own, projects need not ask Zuul's API"""
    base = site.review.propose('example/labelled-base', 'The base', {'base': 'not merged\n'})
    report.equal(f'check of {base} succeeds', base.await_vote(), 1)
    app = site.review.propose('example/labelled-app', 'On it', {'app': 'on it\n'}, depends_on=base)
    report.equal(f'check of {app} succeeds', app.await_vote(), 1)
    registry = site.zuul.build(pipeline='check', change=app.number, job_name='labelled-app-buildset-registry')
    build = site.zuul.build(pipeline='check', change=app.number, job_name='labelled-app-build-image')
    report.check('the registry job waits for the one that builds', registry['end_time'] >= build['end_time'])
    pulled = site.report_of(registry, 'pull')
    report.check('no question was asked', 'ahead' not in pulled, pulled.get('ahead'))
    report.equal('the image was handed to the registry job', [image['to'].partition('/')[2] for image in pulled['images']], [f'{BASE}:latest'])
    report.equal('check builds on it', site.images.texts(built(build)), {'base': 'not merged\n', 'app': 'on it\n'})
    for change in (app, base):
        change.abandon()
