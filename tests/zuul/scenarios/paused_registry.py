"""A registry job that pauses, a producer, consumers, and a consumer that also builds, in one buildset; and a change behind."""
import re

from zuul_api import eventually

from .common import built

REGISTRY_JOB = 'example-buildset-registry'
PRODUCERS = ['suite-build-image', 'suite-build-derived-image']
CONSUMERS = ['suite-test-image', 'suite-test-derived-image']
IMAGES = {f'registry.example.org/demo/{name}:latest' for name in ('suite', 'suite-derived')}
TEXTS = {'suite': 'the suite of this change\n', 'derived': 'derived\n'}


def play(site, report):
    """every job of a buildset finds its images in the registry that a paused job runs, and so do those of a change behind"""
    change = site.review.propose('example/suite', 'Say who I am', {'suite': TEXTS['suite']})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    first = builds_of(site, change)
    see_one_buildset(site, report, first)
    see_own_artifacts(site, report, first)

    change.recheck()
    second = eventually('its second buildset', lambda: ended_after(site, change, first), seconds=600)
    see_change_behind(site, report, change, second)
    change.abandon()


def see_one_buildset(site, report, builds):
    report.equal('every job ran to its end', {name: build['result'] for name, build in builds.items()},
                 dict.fromkeys([REGISTRY_JOB, *PRODUCERS, *CONSUMERS], 'SUCCESS'))
    registry = builds[REGISTRY_JOB]
    report.check('the registry job ends last', all(build['end_time'] <= registry['end_time'] for build in builds.values()),
                 {name: build['end_time'] for name, build in builds.items()})
    for consumer in CONSUMERS:
        report.check(f'{consumer} reads the image of this change', 'the suite of this change' in site.log_of(builds[consumer]))
    report.equal('a consumer that builds lies on it', site.images.texts(built(builds['suite-build-derived-image'])), TEXTS)


def see_own_artifacts(site, report, builds):
    """Zuul hands over what the own buildset returned more than once; each is taken once."""
    consumer = builds['suite-test-derived-image']
    handed = re.search('Zuul handed over: ([^"\n]*)', site.log_of(consumer))[1].split()
    own = {f'docker://{built(builds[producer])}' for producer in PRODUCERS}
    report.check('Zuul hands its own images to a consumer more than once', set(handed) == own and len(handed) > len(own), handed)
    pulled = site.report_of(consumer, 'pull')
    report.equal('each is pulled once', sorted(f'docker://{image["from"]}' for image in pulled['images']), sorted(own))
    report.check('and left as it is', all(image['kept'] or not image['changed'] for image in pulled['images']), pulled['images'])


def see_change_behind(site, report, change, newest):
    behind = site.review.propose('example/behind', 'On it', {'behind': 'behind it\n'}, depends_on=change)
    jobs = site.file_of('example/behind', '.zuul.yaml')
    alone = site.review.propose('example/behind', 'On it, and asking nobody', {'.zuul.yaml': without_api(jobs)}, depends_on=change)
    report.equal(f'check of {behind} succeeds', behind.await_vote(), 1)
    builds = builds_of(site, behind)
    pulled = site.report_of(builds[REGISTRY_JOB], 'pull')
    report.equal('its registry job pulled each image of the change ahead once', sorted(image['name'] for image in pulled['images']), sorted(IMAGES))
    report.equal('of its newest buildset', [set(ahead['builds']) for ahead in pulled['ahead']], [{newest[job]['uuid'] for job in PRODUCERS}])
    report.equal('its image lies on them', site.images.texts(built(builds['behind-build-image'])), TEXTS | {'behind': 'behind it\n'})

    report.equal(f'check of {alone}, which asks no API, fails', alone.await_vote(), -1)
    builds = builds_of(site, alone)
    report.equal('its registry runs', builds[REGISTRY_JOB]['result'], 'SUCCESS')
    report.check('to which Zuul hands nothing', not (site.job_folder(builds[REGISTRY_JOB]) / 'zuul-images-pull.json').exists())
    log = site.log_of(builds['behind-build-image'])
    report.check('so there is nothing to build on', 'registry.example.org/demo/suite-derived:latest: manifest unknown' in log
                 or 'initializing source docker://registry.example.org/demo/suite-derived:latest' in log, log[-2000:])
    for one in (behind, alone):
        one.abandon()


def without_api(jobs):
    """As they are where a site does not say where Zuul's API is."""
    listed = f'        - {REGISTRY_JOB}\n        - behind-build-image\n'
    asking_nobody = ':\n            vars:\n              pull_from_intermediate_registry_api: ""\n'
    if listed not in jobs:
        raise LookupError(jobs)
    return jobs.replace(listed, listed.replace('\n', asking_nobody))


def builds_of(site, change):
    """Those of its newest buildset, by their jobs."""
    builds = site.zuul.builds(pipeline='check', change=change.number)
    return {build['job_name']: build for build in reversed(builds) if build['buildset']['uuid'] == builds[0]['buildset']['uuid']}


def ended_after(site, change, before):
    """The builds of its newest buildset, where it is another, and every one has ended."""
    builds = builds_of(site, change)
    ended = len(builds) == len(before) and all(build['result'] for build in builds.values())
    return builds if ended and builds[REGISTRY_JOB]['uuid'] != before[REGISTRY_JOB]['uuid'] else None
