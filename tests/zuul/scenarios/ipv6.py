"""A node and its registry that have an IPv6 address only."""
import json

from .common import built


def play(site, report):
    """a registry at an IPv6 address is built to and read from"""
    change = site.review.propose('example/ipv6', 'Over IPv6', {'ipv6': 'of this change\n'})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    build = site.zuul.build(pipeline='check', change=change.number)
    pushed = json.loads((site.job_folder(build) / 'zuul-images-push.json').read_text())
    report.check('the image came from the registry at its address', '[fd77::17]:5000' in json.dumps(pushed), pushed['images'])
    alias = 'docker://zuul-jobs.buildset-registry:5000/registry.example.org/demo/ipv6:latest'
    report.check('the node pushed to it by its alias', alias in site.log_of(build), alias)
    report.equal('its image is what it built', site.images.texts(built(build)), {'ipv6': 'of this change\n'})
    change.abandon()
