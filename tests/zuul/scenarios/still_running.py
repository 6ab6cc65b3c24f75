"""A change ahead whose image is not built yet, and jobs for which Zuul does not wait."""
from zuul_api import eventually

from .common import answering, built

# Where the job slow-build-image waits.
PORT = 7904
PROJECT = 'example/slow'


def play(site, report):
    """a build of a change ahead that still runs is waited for, and no longer than the job says"""
    ahead = site.review.propose(PROJECT, 'Build slowly', {'slow': 'slow\n'})
    eventually('its build', lambda: site.zuul.builds(change=ahead.number), seconds=120)
    behind = site.review.propose(PROJECT, 'Lie on it', {'derived/derived': 'on it\n'}, on_top_of=ahead)
    impatient = site.zuul.build(change=behind.number, job_name='slow-build-impatient-image')
    report.equal('the job that waits for 2 s fails before its run', impatient['result'], 'RETRY_LIMIT')
    said = f'slow-build-image of change {ahead.number},1 of {PROJECT} '
    log = site.log_of(impatient)
    report.check('it says for what it waited', said in log and 'still runs after 2 s' in log, log[-2000:])
    report.equal('that still runs', site.zuul.builds(complete='true', change=ahead.number), [])
    eventually('the other job', lambda: site.zuul.builds(change=behind.number, job_name='slow-build-derived-image'), seconds=300)
    with answering(PORT):
        patient = site.zuul.build(change=behind.number, job_name='slow-build-derived-image')
    report.equal('the other job succeeds', patient['result'], 'SUCCESS')
    slow = site.zuul.build(change=ahead.number)
    report.check('it began while the build ahead ran', patient['start_time'] < slow['end_time'] < patient['end_time'], [slow, patient])
    report.equal('its image lies on what that built', site.images.texts(built(patient)), {'slow': 'slow\n', 'derived': 'on it\n'})
    for change in (behind, ahead):
        change.abandon()
