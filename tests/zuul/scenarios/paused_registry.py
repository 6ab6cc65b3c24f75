"""A registry job that pauses, a producer, a consumer, and a consumer that also builds, in one buildset."""
from .common import built


def play(site, report):
    """every job of a buildset finds its images in the registry that a paused job runs"""
    change = site.review.propose('example/suite', 'Say who I am', {'suite': 'the suite of this change\n'})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    builds = {build['job_name']: build for build in site.zuul.builds(pipeline='check', change=change.number)}
    report.equal('every job ran to its end', {name: build['result'] for name, build in builds.items()}, dict.fromkeys([
        'example-buildset-registry', 'suite-build-image', 'suite-build-derived-image', 'suite-test-image'], 'SUCCESS'))
    registry = builds['example-buildset-registry']
    report.check('the registry job ends last', all(build['end_time'] <= registry['end_time'] for build in builds.values()),
                 {name: build['end_time'] for name, build in builds.items()})
    report.check('a consumer reads the image of this change', 'the suite of this change' in site.log_of(builds['suite-test-image']))
    report.equal('a consumer that builds lies on it', site.images.texts(built(builds['suite-build-derived-image'])),
                 {'suite': 'the suite of this change\n', 'derived': 'derived\n'})
    change.abandon()
