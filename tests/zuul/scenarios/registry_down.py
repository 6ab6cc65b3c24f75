"""The final registry is down while a change is promoted."""
from .common import APP, ensure_published, uploaded_digest


def play(site, report):
    """promotion fails with words that an operator understands, and succeeds when it is enqueued again"""
    ensure_published(site)
    before = site.images.digest(f'{APP}:latest')
    change = site.review.propose('example/app', 'While the registry is down', {'greeting': 'late\n'})
    change.approve()
    report.check(f'gate merges {change}', change.await_merge(), change.messages()[-1])
    site.stop_distribution()
    failed = site.zuul.build(pipeline='promote', change=change.number)
    report.equal('promote fails while the registry is down', failed['result'], 'FAILURE')
    log = site.log_of(failed)
    report.check('its log names the registry and what became of the connection',
                 any('distribution.example.org' in line and 'refused' in line.lower() for line in log.splitlines()), log[-2000:])
    site.start_distribution()
    report.equal('nothing was published', site.images.digest(f'{APP}:latest'), before)

    site.operate('enqueue', 'promote', change.project, '--change', f'{change.number},1')
    again = site.zuul.build(pipeline='promote', change=change.number, result='SUCCESS')
    report.equal('promote succeeds when it is enqueued again', again['result'], 'SUCCESS')
    gate = site.zuul.build(pipeline='gate', change=change.number, job_name='app-upload-image')
    report.equal('what the gate uploaded is published', site.images.digest(f'{APP}:latest'), uploaded_digest(gate))
