"""A base image, and an image FROM it in another project whose change depends on the base's."""
from images import PLATFORMS

from .common import APP, BASE, built, uploaded_digest

TEXTS = {'base-change': 'of the first change\n', 'greeting': 'of the second change\n'}


def play(site, report):
    """a dependent pair goes through check, gate and promote"""
    first = site.review.propose('example/base', 'Say more in the base image', {'base-change': TEXTS['base-change']})
    report.equal(f'check of {first} succeeds', first.await_vote(), 1)
    second = site.review.propose('example/app', 'Greet', {'greeting': TEXTS['greeting']}, depends_on=first)
    report.equal(f'check of {second} succeeds', second.await_vote(), 1)
    report.equal('the base image of the first change is not published', site.images.digest(f'{BASE}:latest'), None)
    checked = site.zuul.build(pipeline='check', change=second.number, job_name='app-build-image')
    report.equal("check of the second change builds on the first one's unmerged image", site.images.texts(built(checked)), TEXTS)

    first.approve()
    second.approve()
    report.check(f'gate merges {first}', first.await_merge(), first.messages()[-1])
    report.check(f'gate merges {second}', second.await_merge(), second.messages()[-1])
    # The gate has uploaded everything by now; what comes are questions of promotion.
    asked = len(site.requests_to_distribution())
    for change, image, job in ((first, BASE, 'base'), (second, APP, 'app')):
        gate = site.zuul.build(pipeline='gate', change=change.number, job_name=f'{job}-upload-image')
        promote = site.zuul.build(pipeline='promote', change=change.number, job_name=f'{job}-promote-image')
        report.equal(f'promote of {change} succeeds', promote['result'], 'SUCCESS')
        report.equal(f'{image}:latest has the digest that the gate uploaded', site.images.digest(f'{image}:latest'), uploaded_digest(gate))
        report.equal(f'{image}:latest has both platforms', site.images.platforms(f'{image}:latest'), PLATFORMS)
    promoting = site.requests_to_distribution()[asked:]
    report.check('promote writes the final tag', 'PUT /v2/demo/app/manifests/latest' in promoting, promoting)
    report.equal('no blob is read or written meanwhile', [request for request in promoting if '/blobs/' in request], [])
    for architecture in ('amd64', 'arm64'):
        report.equal(f"the published image holds both changes' files for {architecture}",
                     site.images.texts(f'{APP}:latest', architecture), TEXTS)
    report.equal('no temporary tag is left', site.images.tags(BASE), ['latest'])
