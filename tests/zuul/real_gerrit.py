"""Gerrit itself in place of the stand-in, as `init --batch --dev` makes it; with two accounts and the labels that the
site's pipelines vote on."""
import os
import subprocess

import adoption
from review import DEVELOPER, Review
from zuul_api import eventually

CONFIGURATION = '''\
[gerrit]
  basePath = {repositories}
  canonicalWebUrl = {url}/
[auth]
  type = DEVELOPMENT_BECOME_ANY_ACCOUNT
  gitBasicAuthPolicy = HTTP
[httpd]
  listenUrl = http://127.0.0.1:8080/
[sshd]
  listenAddress = 127.0.0.1:29418
[sendemail]
  enable = false
'''
LABELS = {'Code-Review': 2, 'Verified': 2, 'Workflow': 1}


def start(site, work, log):
    root = work / 'gerrit'
    gerrit = ['java', '-Xmx512m', '-cp', os.environ['gerrit'], 'com.google.gerrit.launcher.GerritLauncher']
    adoption.write(root / 'etc/gerrit.config', CONFIGURATION.format(repositories=work / 'repositories', url=site.review.url))
    with log.open('ab') as said:
        subprocess.run([*gerrit, 'init', '--batch', '--dev', '--no-auto-start', '--site-path', root],
                       check=True, stdout=said, stderr=subprocess.STDOUT)
    # Its pages are not in what is published.
    site.start_service('gerrit', *gerrit, 'daemon', '--headless', '--site-path', root, '--console-log')
    # The account that `--dev` makes.
    admin = Review(site.review.url, 'secret', user='admin')
    eventually('Gerrit', admin.version, seconds=180)
    administrators = admin.ask('groups/Administrators')['id']
    for name, more in ((DEVELOPER, {}), ('zuul', {'ssh_key': (work / 'tls/gerrit.pub').read_text()})):
        admin.ask(f'accounts/{name}', {'name': name, 'email': f'{name}@example.org', 'http_password': site.review.password,
                                       'groups': ['Administrators'], **more}, method='PUT')
    everything = 'projects/All-Projects'
    for label, most in LABELS.items():
        if label != 'Code-Review':
            values = {str(value): str(value) for value in range(-most, most + 1)}
            admin.ask(f'{everything}/labels/{label}', {'values': values, 'function': 'NoBlock'}, method='PUT')
        admin.ask(f'{everything}/submit_requirements/{label}', {
            'name': label, 'submittability_expression': f'label:{label}=MAX AND -label:{label}=MIN'}, method='PUT')
    admin.ask(f'{everything}/access', {'add': access(administrators)})


def access(group):
    """What the group may do beside what administrators may anyway."""
    allow = {'action': 'ALLOW'}
    return {
        'refs/heads/*': {'permissions': {f'label-{label}': {'label': label, 'rules': {group: {**allow, 'min': -most, 'max': most}}}
                                         for label, most in LABELS.items()}},
        'refs/tags/*': {'permissions': {'create': {'rules': {group: allow}}}},
        'GLOBAL_CAPABILITIES': {'permissions': {'streamEvents': {'rules': {group: allow}}}},
    }
