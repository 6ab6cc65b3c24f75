"""Changes that merge at once; a promote pipeline that keeps only the running and the newest, and one that keeps all."""
from zuul_api import eventually

from .common import SEVERAL, answering, in_pipeline, uploaded_digest

# Where the job several-wait waits.
PORT = 7902
PROJECT = 'example/several'


def play(site, report):
    """a promotion that a supercedent pipeline drops can be enqueued, one that would move a tag back is refused"""
    first = site.review.propose(PROJECT, 'The first image', {'one/text': 'of the first change\n', 'three/text-1': '1\n', 'waits': 'yes\n'})
    dropped = site.review.propose(PROJECT, 'The second image', {'two/text': 'of the second change\n', 'three/text-2': '2\n'})
    last = site.review.propose(PROJECT, 'The first image again', {'one/text': 'of the third change\n', 'three/text-3': '3\n'}, on_top_of=first)
    for change in (first, dropped, last):
        change.approve()
        # Or Zuul might take the last, which lies on the first, before the one between.
        eventually(f'{change} in the gate', lambda change=change: in_pipeline(site, 'gate', change))
    eventually('the end of what the first change holds back', lambda: ended(site, (dropped, last)), seconds=600)
    with answering(PORT):
        for change in (first, dropped, last):
            report.check(f'gate merges {change}', change.await_merge(), change.messages()[-1])
    uploads = {change: uploaded_digest(site.zuul.build(pipeline='gate', change=change.number, result='SUCCESS', job_name=job))
               for change, job in ((first, 'several-upload-one'), (dropped, 'several-upload-two'), (last, 'several-upload-one'))}
    for change in (first, last):
        report.equal(f'promote of {change} succeeds', site.zuul.build(pipeline='promote', change=change.number)['result'], 'SUCCESS')
    report.equal('the tag has the image of the last change', site.images.digest(f'{SEVERAL}-one:latest'), uploads[last])
    report.equal('the change between was dropped', site.zuul.builds(pipeline='promote', change=dropped.number), [])
    report.equal('a serial pipeline drops none', [
        site.zuul.build(pipeline='promote-serial', change=change.number)['result'] for change in (first, dropped, last)], ['SUCCESS'] * 3)
    report.equal('its tag has the image of all three changes', site.images.texts(f'{SEVERAL}-three:latest'), {
        'text': 'on main\n', 'text-1': '1\n', 'text-2': '2\n', 'text-3': '3\n'})
    report.equal("the dropped change's image waits", site.images.tags(f'{SEVERAL}-two'), [f'change_{dropped.number}_latest'])

    site.operate('enqueue', 'promote', PROJECT, '--change', f'{dropped.number},1')
    report.equal('enqueued by hand it is promoted', site.zuul.build(pipeline='promote', change=dropped.number)['result'], 'SUCCESS')
    report.equal('its tag has its image', site.images.digest(f'{SEVERAL}-two:latest'), uploads[dropped])
    site.operate('enqueue', 'promote', PROJECT, '--change', f'{first.number},1')
    refused = site.zuul.build(pipeline='promote', change=first.number, result='FAILURE')
    report.check('promote of the first change is refused by now, and says why',
                 f'of change {last.number},1, which merged after change {first.number},1' in site.log_of(refused))
    report.equal('the tag still has the image of the last change', site.images.digest(f'{SEVERAL}-one:latest'), uploads[last])
    site.operate('enqueue', 'promote-back', PROJECT, '--change', f'{first.number},1')
    moved = site.zuul.build(pipeline='promote-back', change=first.number)
    report.equal('a job that may move back promotes it', moved['result'], 'SUCCESS')
    report.equal('the tag has the image of the first change', site.images.digest(f'{SEVERAL}-one:latest'), uploads[first])


def ended(site, changes):
    """Whether all jobs of these changes have succeeded in the gate."""
    found = in_pipeline(site, 'gate', *changes)
    return len(found) == len(changes) and all(job['result'] == 'SUCCESS' for item in found for job in item['jobs'])
