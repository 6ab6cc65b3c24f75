"""A second patch set replaces the first after the first one's upload in the gate."""
from .common import BASE, ensure_published, uploaded_digest


def play(site, report):
    """promotion takes the image of the patch set that merged"""
    ensure_published(site)
    change = site.review.propose('example/base', 'First try', {'gate-fails': 'yes\n'})
    change.approve()
    report.check('gate refuses the first patch set after its upload', not change.await_merge())
    first = uploaded_digest(site.zuul.build(pipeline='gate', change=change.number, patchset=1, job_name='base-upload-image'))
    site.review.propose('example/base', 'Second try', {'base-change': 'second try\n'}, change_id=change.change_id)
    change.approve()
    report.check('gate merges the second patch set', change.await_merge(), change.messages()[-1])
    second = uploaded_digest(site.zuul.build(pipeline='gate', change=change.number, patchset=2, job_name='base-upload-image'))
    promote = site.zuul.build(pipeline='promote', change=change.number)
    report.equal('promote succeeds', promote['result'], 'SUCCESS')
    report.equal('the second patch set is published', site.images.digest(f'{BASE}:latest'), second)
    report.check('its image is another than that of the first', first != second, first)

    # They touch other files, or Zuul itself would find that they conflict.
    site.operate('enqueue', 'promote', change.project, '--change', f'{change.number},1')
    refused = site.zuul.build(pipeline='promote', change=change.number, patchset=1)
    report.equal('promote of the first patch set fails', refused['result'], 'FAILURE')
    report.check('its log says why', f'of change {change.number},2, which merged after change {change.number},1' in site.log_of(refused))
    report.equal('the second patch set is still published', site.images.digest(f'{BASE}:latest'), second)
