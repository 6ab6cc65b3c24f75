"""Passwords of the site in what all scenarios left, hostile-job among them."""
from node import PLACES
from zuul_site import LOGS


def play(site, report):
    """no password is in a published log, on a node, in Zuul's own logs and records, or was in a list of processes"""
    in_log, on_node = site.job_logs() / 'canary', site.nodes()[0].root / 'tmp/canary'
    for place in (in_log, on_node):
        place.write_text(site.secrets.canary)
    report.equal('no published file of any job holds a password (the canary is found)', site.files_with_passwords(site.job_logs()), [
        f'the canary in {in_log}'])
    report.equal('no file of a node holds one (the canary is found)', [
        file for node in site.nodes() for place in PLACES for file in site.files_with_passwords(node.root / place)], [
        f'the canary in {on_node}'])
    report.equal("none of Zuul's own logs holds one", site.files_with_passwords(LOGS), [])
    report.equal('nothing that Zuul keeps of builds holds one', site.secrets.named_in(str(site.zuul.builds(limit=500))), [])
    report.equal('no process had one in its arguments or environment (the canary is found)', site.secrets.seen_in_processes(), [
        'the canary in what was said to sh'])
