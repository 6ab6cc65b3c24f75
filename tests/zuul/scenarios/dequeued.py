"""A change is dequeued while its registry job is paused; the nodes are static."""
from zuul_api import comes, eventually

from .common import in_pipeline

PROJECT = 'example/suite'


def play(site, report):
    """a dequeued build leaves nothing on its node, and the next one runs there"""
    node = site.node_alone()
    before = node.files()
    change = site.review.propose(PROJECT, 'Dequeue me', {'suite': 'dequeued\n'})
    eventually('the paused registry job', lambda: paused(site, change), seconds=300)
    registry = node.registries()
    report.check('a registry runs on the node', len(registry) == 1, registry)
    left = left_since(node, before)
    report.check('it has files there', 'root/buildset_registry' in left, left)
    site.operate('dequeue', 'check', PROJECT, '--change', f'{change.number},1')
    eventually('the end of the buildset', lambda: not in_pipeline(site, 'check', change), seconds=120)
    # The clean-up goes on when the buildset has left the pipeline.
    report.check('the registry ends', comes(lambda: not node.registries(), seconds=120), registry)
    report.check('no file of the build is left on the node', comes(lambda: not left_since(node, before)), left_since(node, before))

    change.recheck()
    eventually('the paused registry job', lambda: paused(site, change), seconds=300)
    report.check('the next one has a registry of its own on the same node', node.registries() not in ([], registry))
    report.equal(f'check of {change} succeeds when it is run again', change.await_vote(), 1)
    change.abandon()


def left_since(node, before):
    return sorted(node.files() - before)


def paused(site, change):
    return any(job['name'] == 'example-buildset-registry' and job.get('paused')
               for item in in_pipeline(site, 'check', change) for job in item['jobs'])
