"""A tenant that has zuul-jobs, too, whose jobs and roles have the same names."""
from beside import OURS, THEIRS
from zuul_api import comes

from .common import built

JOB = 'build-container-image'


def play(site, report):
    """beside zuul-jobs, our jobs take the place of theirs, or only our roles are taken"""
    for way, owner in enumerate((OURS, THEIRS)):
        site.write_tenant(beside_zuul_jobs=way)
        site.reconfigure()
        ask(site, report, f'way {way + 1} of docs/adopt.md', owner)
    site.write_tenant()
    site.reconfigure()
    ask(site, report, 'without zuul-jobs again', OURS)


def ask(site, report, way, owner):
    report.equal(f'{way}: the job is that of {owner}', owner_of(site, JOB, owner), owner)
    change = site.review.propose('example/beside', 'Whose is it?', {'beside': f'{way}\n'})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    builds = {build['job_name']: build for build in reversed(site.zuul.builds(pipeline='check', change=change.number))}
    report.equal(f'its role is that of {owner}', whose_role(site, builds[JOB]), owner)
    report.equal("the role of the site's job is ours", whose_role(site, builds['beside-build-image']), OURS)
    report.equal('its image is what it built', site.images.texts(built(builds['beside-build-image'])), {'beside': f'{way}\n'})
    change.abandon()


def owner_of(site, job, expected):
    """The web page's server reads a new configuration a little later than the scheduler."""
    def owner():
        return site.zuul.get(f'job/{job}')[0]['source_context']['project']

    comes(lambda: owner() == expected, seconds=30)
    return owner()


def whose_role(site, build):
    """The stand-in's roles say what they are."""
    log = site.log_of(build)
    return THEIRS if f'{JOB} of {THEIRS}' in log else OURS if f'TASK [{JOB} :' in log else log[-1000:]
