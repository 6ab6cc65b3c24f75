"""Credentials of an untrusted project, handed to the site's playbooks by pass-to-parent."""


def play(site, report):
    """check refuses a job with a secret, before anything runs"""
    project = site.file_of('example/app', '.zuul.d/images.yaml')
    change = site.review.propose('example/app', 'Upload in check', {
        '.zuul.d/images.yaml': project.replace('jobs: [app-build-image]', 'jobs: [app-upload-image]')})
    report.equal('check votes against it', change.await_vote(), -1)
    report.check('it says why', 'does not allow post-review job' in change.messages()[-1], change.messages()[-1])
    report.equal('nothing ran', site.zuul.builds(change=change.number), [])
    change.abandon()
