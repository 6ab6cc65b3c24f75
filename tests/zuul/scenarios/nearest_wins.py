"""Three changes deep: two of the base image, one on the other, and the image FROM it."""
from .common import built


def play(site, report):
    """of two unmerged base images, the one of the nearest change is built on, though all were proposed at once"""
    first = site.review.propose('example/base', 'Far', {'base-change': 'far\n', 'far': 'far\n'})
    nearest = site.review.propose('example/base', 'Near', {'base-change': 'near\n'}, on_top_of=first)
    last = site.review.propose('example/app', 'On both', {'greeting': 'last\n'}, depends_on=nearest)
    for change in (first, nearest, last):
        report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    checked = site.zuul.build(pipeline='check', change=last.number, job_name='app-build-image')
    report.equal("check builds on the nearest change's image", site.images.texts(built(checked)),
                 {'base-change': 'near\n', 'greeting': 'last\n'})
    for change in (last, nearest, first):
        change.abandon()
