"""The registry's job fails in its pre-run, and Zuul runs it again."""
from zuul_api import comes, eventually

from .common import answering, built

# Where the registry's job waits.
PORT = 7903
PROJECT = 'example/retried'
JOB = 'retried-buildset-registry'


def play(site, report):
    """a registry whose job is retried serves its buildset, and the first one is gone"""
    node = site.node_alone()
    change = site.review.propose(PROJECT, 'Try again', {'retried': 'of this change\n'})
    first = eventually('the first registry', lambda: node.registries(), seconds=300)
    site.zuul.build(change=change.number, job_name=JOB)
    # The next try is on its way, and comes there much later.
    with answering(PORT):
        second = eventually('the next registry', lambda: set(node.registries()) - set(first) and node.registries(), seconds=300)
        report.equal('it is the only one on its node', len(second), 1)
        report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    tries = [build['result'] for build in site.zuul.builds(change=change.number, job_name=JOB)]
    report.check('the registry job was retried', tries[0] == 'SUCCESS' and set(tries[1:]) == {'RETRY'}, tries)
    build = site.zuul.build(change=change.number, job_name='retried-build-image')
    report.equal('the image is what was built', site.images.texts(built(build)), {'retried': 'of this change\n'})
    report.check('no registry is left on the node', comes(lambda: not node.registries(), seconds=120))
    report.check('none of its files is', comes(lambda: not (node.root / 'root/buildset_registry').exists()))
    change.abandon()
