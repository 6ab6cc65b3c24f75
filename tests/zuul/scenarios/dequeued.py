"""A change is dequeued while its registry job is paused; the nodes are static."""
from zuul_api import eventually

from .common import in_pipeline

PROJECT = 'example/suite'


def play(site, report):
    """a dequeued build leaves nothing on its nodes, and the next one runs there"""
    change = site.review.propose(PROJECT, 'Dequeue me', {'suite': 'dequeued\n'})
    eventually('the paused registry job', lambda: paused(site, change), seconds=300)
    report.check('a registry runs on a node', site.files_on_nodes_of(PROJECT, 'buildset_registry'), 'none')
    site.operate('dequeue', 'check', PROJECT, '--change', f'{change.number},1')
    eventually('the end of the buildset', lambda: not in_pipeline(site, 'check', change), seconds=120)
    for what, files in (('no registry is left on a node', ['buildset_registry']),
                        ('no node knows its address', ['hosts', 'zuul-jobs.buildset-registry'])):
        # The clean-up goes on when the buildset has left the pipeline.
        report.check(what, eventually(what, lambda files=files: not site.files_on_nodes_of(PROJECT, *files), seconds=120))
    change.recheck()
    report.equal(f'check of {change} succeeds when it is run again', change.await_vote(), 1)
    change.abandon()


def paused(site, change):
    return any(job['name'] == 'example-buildset-registry' and job.get('paused')
               for item in in_pipeline(site, 'check', change) for job in item['jobs'])
