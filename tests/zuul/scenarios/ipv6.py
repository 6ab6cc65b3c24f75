"""A node and its registry that are known by an IPv6 address."""
import json
import re

from .common import built


def play(site, report):
    """a registry at an IPv6 address is built to and read from"""
    change = site.review.propose('example/ipv6', 'Over IPv6', {'ipv6': 'of this change\n'})
    report.equal(f'check of {change} succeeds', change.await_vote(), 1)
    build = site.zuul.build(pipeline='check', change=change.number)
    pushed = json.loads((site.job_folder(build) / 'zuul-images-push.json').read_text())
    report.check('the image came from the registry at its address', '[::1]:5001' in json.dumps(pushed), pushed['images'])
    alias = 'docker://zuul-jobs.buildset-registry:5001/registry.example.org/demo/ipv6:latest'
    log = site.log_of(build)
    report.check('the node pushed to it by its alias', alias in log, alias)
    report.check('which stands for the address', re.search(r'\| ::1\s+zuul-jobs\.buildset-registry', log), log[-3000:])
    report.check('its certificate names both', 'DNS:zuul-jobs.buildset-registry' in log and 'IP Address:0:0:0:0:0:0:0:1' in log, log[-3000:])
    report.check('an engine pulled the image', 'Trying to pull registry.example.org/demo/ipv6:latest' in log, log[-3000:])
    report.equal('which is nowhere else', site.images.digest('registry.example.org/demo/ipv6:latest'), None)
    report.equal('its image is what it built', site.images.texts(built(build)), {'ipv6': 'of this change\n'})
    change.abandon()
