"""A base image, and an image FROM it in another project whose change depends on the base's."""
from images import PLATFORMS
from zuul_api import eventually

from .common import APP, BASE, built, in_pipeline, uploaded_digest

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
    eventually('both in the gate', lambda: len(in_pipeline(site, 'gate', first, second)) == 2)
    report.check(f'gate merges {first}', first.await_merge(), first.messages()[-1])
    report.check(f'gate merges {second}', second.await_merge(), second.messages()[-1])
    gates, promotions = {}, {}
    for change, image, job in ((first, BASE, 'base'), (second, APP, 'app')):
        gate = site.zuul.build(pipeline='gate', change=change.number, job_name=f'{job}-upload-image')
        promote = site.zuul.build(pipeline='promote', change=change.number, job_name=f'{job}-promote-image')
        gates[change], promotions[change] = gate, promote
        report.equal(f'promote of {change} succeeds', promote['result'], 'SUCCESS')
        report.equal(f'{image}:latest has the digest that the gate uploaded', site.images.digest(f'{image}:latest'), uploaded_digest(gate))
        report.equal(f'{image}:latest is what the gate built', site.images.digest(f'{image}:latest'), site.images.digest(built(gate)))
        report.equal(f'{image}:latest has both platforms', site.images.platforms(f'{image}:latest'), PLATFORMS)
    report.check('the second was built before the first was promoted', gates[second]['start_time'] < promotions[first]['start_time'])
    for change, name, requests in ((first, 'base', site.requests_to_registry()), (second, 'app', site.requests_to_distribution())):
        promoting = requests[requests.index(f'PUT /v2/demo/{name}/manifests/change_{change.number}_latest') + 1:]
        of_image = [request for request in promoting if f'/v2/demo/{name}/' in request]
        report.check(f'promote writes the final tag of {name}', f'PUT /v2/demo/{name}/manifests/latest' in of_image, of_image)
        report.equal('no blob is read or written after the upload', [request for request in of_image if '/blobs/' in request], [])
    for architecture in ('amd64', 'arm64'):
        report.equal(f"the published image holds both changes' files for {architecture}",
                     site.images.texts(f'{APP}:latest', architecture), TEXTS)
    report.equal('no temporary tag is left', site.images.tags(BASE), ['latest'])
    report.equal('where a registry deletes none, it is the only one', site.images.tags(APP), [f'change_{second.number}_latest', 'latest'])
