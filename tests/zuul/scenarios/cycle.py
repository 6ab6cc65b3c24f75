"""Two changes that depend on each other."""
from .common import SEVERAL, uploaded_digest

PROJECT = 'example/several'


def play(site, report):
    """changes in a cycle are uploaded together, and each is promoted"""
    one = site.review.propose(PROJECT, 'Half', {'one/text': 'of a cycle\n'})
    two = site.review.propose(PROJECT, 'The other half', {'two/text': 'of a cycle\n'}, depends_on=one)
    site.review.propose(PROJECT, 'Half', {'one/text': 'of a cycle\n'}, depends_on=two, change_id=one.change_id)
    for change in (one, two):
        change.approve()
    for change, name in ((one, 'one'), (two, 'two')):
        report.check(f'gate merges {change}', change.await_merge(), change.messages()[-1])
        gate = site.zuul.build(pipeline='gate', change=change.number, job_name=f'several-upload-{name}')
        promote = site.zuul.build(pipeline='promote', change=change.number)
        report.equal(f'promote of {change} succeeds', promote['result'], 'SUCCESS')
        report.equal('its image is published', site.images.digest(f'{SEVERAL}-{name}:latest'), uploaded_digest(gate))
    report.equal('both were one item of the gate', len({build['buildset']['uuid'] for build in site.zuul.builds(
        pipeline='gate', change=[one.number, two.number], result='SUCCESS')}), 1)
