"""What a developer does at a Gerrit, by git and REST."""
import base64
import json
import pathlib
import re
import secrets
import subprocess
import tempfile
import urllib.parse
import urllib.request

from zuul_api import eventually

DEVELOPER = 'dev'


class Review:
    def __init__(self, url, password, user=DEVELOPER):
        self.url = url
        self.password = password
        self.login = f'{user}:{password}'

    def version(self):
        return self.ask('config/server/version')

    def propose(self, project, subject, files, depends_on=None, on_top_of=None, change_id=None):
        """Pushes a change on top of the branch or of another change, or a new patch set of one."""
        change_id = change_id or 'I' + secrets.token_hex(20)
        depends = f'Depends-On: {self.url}/c/{depends_on.project}/+/{depends_on.number}\n' if depends_on else ''
        with tempfile.TemporaryDirectory() as folder:
            git = ['git', '-C', folder, '-c', f'user.name={DEVELOPER}', '-c', f'user.email={DEVELOPER}@example.org']
            subprocess.run(['git', 'clone', '--quiet', self.clone_url(project), folder], check=True)
            if on_top_of:
                subprocess.run([*git, 'fetch', '--quiet', 'origin', on_top_of.ref()], check=True)
                subprocess.run([*git, 'reset', '--quiet', '--hard', 'FETCH_HEAD'], check=True)
            for name, text in files.items():
                (pathlib.Path(folder) / name).write_text(text)
            subprocess.run([*git, 'add', '--all'], check=True)
            subprocess.run([*git, 'commit', '--quiet', '-m', f'{subject}\n\n{depends}Change-Id: {change_id}'], check=True)
            said = subprocess.run([*git, 'push', 'origin', 'HEAD:refs/for/main'], check=True, stderr=subprocess.PIPE, text=True).stderr
        return Change(self, project, int(re.findall(r'/\+/(\d+)', said)[-1]), change_id)

    def clone_url(self, project):
        scheme, _, rest = self.url.partition('://')
        return f'{scheme}://{self.login}@{rest}/a/{project}'

    def ask(self, path, document=None, method=None):
        request = urllib.request.Request(
            f'{self.url}/a/{path}', None if document is None else json.dumps(document).encode(),
            {'Authorization': 'Basic ' + base64.b64encode(self.login.encode()).decode(), 'Content-Type': 'application/json'},
            method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            # The first line keeps browsers from running it.
            return json.loads(response.read().decode().partition('\n')[2])


class Change:
    def __init__(self, review, project, number, change_id):
        self.review, self.project, self.number, self.change_id = review, project, number, change_id

    def __str__(self):
        return f'{self.number} of {self.project}'

    def detail(self):
        return self.review.ask(f'changes/{self.number}/detail?' + urllib.parse.urlencode({'o': ['MESSAGES', 'DETAILED_LABELS']}, doseq=True))

    def approve(self):
        self.vote({'Code-Review': 2, 'Workflow': 1})

    def recheck(self):
        self.review.ask(f'changes/{self.number}/revisions/current/review', {'message': 'recheck'})

    def vote(self, labels):
        self.review.ask(f'changes/{self.number}/revisions/current/review', {'labels': labels})

    def abandon(self):
        self.review.ask(f'changes/{self.number}/abandon', {})

    def ref(self):
        document = self.review.ask(f'changes/{self.number}?o=CURRENT_REVISION')
        return document['revisions'][document['current_revision']]['ref']

    def status(self):
        return self.detail()['status']

    def verified(self):
        """Zuul's vote, 0 without one."""
        return next((vote['value'] for vote in self.detail()['labels']['Verified'].get('all', []) if vote.get('username') == 'zuul'), 0)

    def messages(self):
        return [message['message'] for message in self.detail()['messages']]

    def await_vote(self, seconds=600):
        """What Zuul says at the end of a pipeline that votes."""
        return eventually(f'a vote of Zuul on {self}', self.verified, seconds)

    def await_merge(self, seconds=900):
        """Whether it merges before Zuul votes it down."""
        return eventually(f'the merge of {self}', lambda: self.status() == 'MERGED' or self.verified() == -2, seconds) and self.status() == 'MERGED'
