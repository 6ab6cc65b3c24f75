"""Credentials of an untrusted project, handed to the site's playbooks by pass-to-parent; and those of the site."""
from .common import built, uploaded_digest


def play(site, report):
    """check refuses a job with a secret, before anything runs; a project without one takes the site's jobs"""
    project = site.file_of('example/app', '.zuul.d/images.yaml')
    change = site.review.propose('example/app', 'Upload in check', {
        '.zuul.d/images.yaml': project.replace('jobs: [app-build-image]', 'jobs: [app-upload-image]')})
    report.equal('check votes against it', change.await_vote(), -1)
    report.check('it says why', 'does not allow post-review job' in change.messages()[-1], change.messages()[-1])
    report.equal('nothing ran', site.zuul.builds(change=change.number), [])
    change.abandon()

    change = site.review.propose('example/plain', 'Publish', {'plain': 'of this change\n'})
    change.approve()
    report.check(f'gate merges {change}', change.await_merge(), change.messages()[-1])
    gate = site.zuul.build(pipeline='gate', change=change.number)
    report.equal("promote with the site's secret succeeds", site.zuul.build(pipeline='promote', change=change.number)['result'], 'SUCCESS')
    published = site.images.digest('registry.example.org/demo/plain:latest')
    report.equal('what the gate uploaded is published', published, uploaded_digest(gate))
    report.equal('it is what the gate built', published, site.images.digest(built(gate)))
