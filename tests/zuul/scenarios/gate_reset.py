"""The gate is reset while a change behind uploads."""
from zuul_api import comes, eventually

from .common import APP, BASE, answering, ensure_published, in_pipeline, uploaded_digest

# Where the job base-test-late waits.
PORT = 7901
PROGRAM = 'upload-with-temp-tag'


def play(site, report):
    """an upload that is under way is stopped with its build, and the next one counts"""
    ensure_published(site)
    published = site.images.texts(f'{BASE}:latest')['base-change']
    failing = site.review.propose('example/base', 'Fail late', {'base-change': 'fails late\n', 'fails-late': 'yes\n'})
    behind = site.review.propose('example/app', 'Upload slowly', {'greeting': 'behind a reset\n'})
    site.freeze_distribution()
    failing.approve()
    eventually(f'{failing} in the gate', lambda: in_pipeline(site, 'gate', failing))
    behind.approve()
    upload = eventually('the upload', lambda: uploading(site, behind), seconds=600)
    pulled = site.report_of_running(upload, 'pull')
    report.equal("it has the failing change's base image", [change['change'] for change in pulled['ahead'] if change['images']], [str(failing.number)])
    with answering(PORT):
        report.check(f'gate refuses {failing}', not failing.await_merge(), failing.status())
    report.check('the upload is stopped', comes(lambda: not site.processes(PROGRAM, upload)))
    site.thaw_distribution()
    report.check(f'gate merges {behind}', behind.await_merge(), behind.messages()[-1])
    first, second = site.zuul.builds(pipeline='gate', change=behind.number, job_name='app-upload-image')[::-1]
    # Which of the two depends on who is first to say it, the scheduler or the executor.
    report.check('the first upload does not count', first['result'] in ('CANCELED', 'ABORTED') and not first['artifacts'], first)
    report.check('the second has none of it', not (site.job_folder(second) / 'zuul-images-pull.json').exists())
    report.equal('promote succeeds', site.zuul.build(pipeline='promote', change=behind.number)['result'], 'SUCCESS')
    report.equal('what the second uploaded is published', site.images.digest(f'{APP}:latest'), uploaded_digest(second))
    report.equal('it lies on the published base image', site.images.texts(f'{APP}:latest')['base-change'], published)


def uploading(site, change):
    """The build of this change in the gate that uploads."""
    builds = [job['uuid'] for item in in_pipeline(site, 'gate', change) for job in item['jobs'] if job['uuid']]
    return next((build for build in builds if site.processes(PROGRAM, build)), None)
