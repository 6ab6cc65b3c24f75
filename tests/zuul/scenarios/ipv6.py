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
    report.equal('its image is what it built', site.images.texts(built(build)), {'ipv6': 'of this change\n'})
    change.abandon()
