"""Changes: pushes, votes, submission, and the events of each."""
import json
import os
import re
import subprocess
import sys
import threading
import time
import pathlib

LABELS = {'Code-Review': (-2, 2), 'Verified': (-2, 2), 'Workflow': (-1, 1)}


class Conflict(Exception):
    """What Gerrit answers with 409."""


class Changes:
    def __init__(self, state, repositories, url, emit):
        self.file = state / 'changes.json'
        self.repositories = repositories.resolve()
        self.url = url
        self.emit = emit
        self.lock = threading.RLock()
        state.mkdir(parents=True, exist_ok=True)
        self.all = {int(number): change for number, change in json.loads(self.file.read_text()).items()} if self.file.exists() else {}
        for head in self.repositories.rglob('HEAD'):
            if (head.parent / 'objects').is_dir():
                prepare(head.parent)

    def repository(self, project):
        path = (self.repositories / project.removesuffix('.git')).resolve()
        if self.repositories not in path.parents or not (path / 'HEAD').exists():
            raise KeyError(project)
        return path

    def find(self, identifier):
        """By number, Change-Id or the triplet of project, branch and Change-Id."""
        for change in self.all.values():
            triplet = f'{change["project"]}~{change["branch"]}~{change["id"]}'
            if identifier in (str(change['number']), change['id'], triplet):
                return change
        raise KeyError(identifier)

    def push(self, project, branch, revision, user):
        """One change for each commit that the branch does not have, oldest first."""
        repository = self.repository(project)
        with self.lock:
            new = git(repository, 'rev-list', '--reverse', '--topo-order', revision, f'^refs/heads/{branch}').split()
            known = {patchset['revision'] for change in self.all.values() for patchset in change['patchsets']}
            made = [self.add_patchset(project, branch, commit, user) for commit in new if commit not in known]
            if not made:
                raise Conflict('no new changes')
            self.save()
            for change in made:
                self.event('patchset-created', change, uploader=account(user))
            return [{'number': change['number'], 'url': self.change_url(change), 'subject': change['subject']} for change in made]

    def add_patchset(self, project, branch, commit, user):
        repository = self.repository(project)
        message = git(repository, 'log', '-1', '--format=%B', commit)
        identifiers = re.findall(r'^Change-Id: (I[0-9a-f]{40})\s*$', message, re.M)
        identifier = identifiers[-1] if identifiers else 'I' + commit
        change = next((change for change in self.all.values()
                       if (change['id'], change['project'], change['branch']) == (identifier, project, branch)), None)
        if change is None:
            number = max(self.all, default=0) + 1
            change = self.all[number] = {
                'number': number, 'id': identifier, 'project': project, 'branch': branch, 'status': 'NEW', 'owner': user,
                'created': time.time(), 'patchsets': [], 'approvals': [], 'messages': []}
        if change['status'] != 'NEW':
            raise Conflict(f'change {change["number"]} is closed')
        number = len(change['patchsets']) + 1
        ref = f'refs/changes/{change["number"] % 100:02}/{change["number"]}/{number}'
        git(repository, 'update-ref', ref, commit)
        change['patchsets'].append({
            'number': number, 'revision': commit, 'ref': ref, 'uploader': user, 'created': time.time(),
            'parents': git(repository, 'log', '-1', '--format=%P', commit).split()})
        # Votes are not copied to a new patch set.
        change.update(subject=message.split('\n')[0], message=message + '\n', updated=time.time(), approvals=[])
        return change

    def review(self, change, review, user):
        with self.lock:
            approvals = []
            for label, value in review.get('labels', {}).items():
                if label not in LABELS:
                    raise Conflict(f'no label {label}')
                old = [vote for vote in change['approvals'] if (vote['label'], vote['by']) == (label, user)]
                change['approvals'] = [vote for vote in change['approvals'] if vote not in old]
                if int(value):
                    change['approvals'].append({'label': label, 'value': int(value), 'by': user, 'on': time.time()})
                approvals.append({'type': label, 'description': label, 'value': str(value)}
                                 | ({'oldValue': str(old[0]['value'])} if old else {}))
            votes = ''.join(f' {label}{int(value):+d}' for label, value in review.get('labels', {}).items())
            text = f'Patch Set {len(change["patchsets"])}:{votes}'
            if review.get('message'):
                text += '\n\n' + review['message']
            change['messages'].append({'author': account(user), 'on': time.time(), 'message': text, 'tag': review.get('tag')})
            change['updated'] = time.time()
            self.save()
            self.event('comment-added', change, author=account(user), comment=text, approvals=approvals)
            return {'labels': review.get('labels', {})}

    def submit(self, change, user):
        with self.lock:
            chain = self.chain(change)
            repository, head = self.repository(change['project']), f'refs/heads/{change["branch"]}'
            old, revision = git(repository, 'rev-parse', head), change['patchsets'][-1]['revision']
            new = revision if git(repository, 'merge-base', old, revision) == old else merge(repository, old, revision, change, user)
            git(repository, 'update-ref', head, new, old)
            for merged in chain:
                merged.update(status='MERGED', updated=time.time())
            self.save()
            self.ref_updated(change['project'], head, old, new, user)
            for merged in chain:
                self.event('change-merged', merged, submitter=account(user), newRev=new)

    def chain(self, change):
        """The change and its open parents, which go in with it, oldest first."""
        if change['status'] != 'NEW':
            raise Conflict(f'change is {change["status"]}')
        if not self.submittable(change):
            raise Conflict(f'change {change["number"]} is not submittable')
        parents = change['patchsets'][-1]['parents']
        parent = next((other for other in self.all.values() if other['project'] == change['project']
                       and other['status'] == 'NEW' and other['patchsets'][-1]['revision'] in parents), None)
        return (self.chain(parent) if parent else []) + [change]

    @staticmethod
    def submittable(change):
        votes = {(vote['label'], vote['value']) for vote in change['approvals']}
        return all((label, high) in votes and (label, low) not in votes for label, (low, high) in LABELS.items())

    def abandon(self, change, user):
        with self.lock:
            change.update(status='ABANDONED', updated=time.time())
            self.save()
            self.event('change-abandoned', change, abandoner=account(user), reason='')

    def change_url(self, change):
        return f'{self.url}/c/{change["project"]}/+/{change["number"]}'

    def event(self, kind, change, **more):
        patchset = change['patchsets'][-1]
        self.emit({
            'type': kind, 'project': change['project'], 'refName': f'refs/heads/{change["branch"]}',
            'changeKey': {'id': change['id']},
            'change': {key: change[key] for key in ('project', 'branch', 'id', 'number', 'subject', 'status')}
            | {'owner': account(change['owner']), 'url': self.change_url(change)},
            'patchSet': {key: patchset[key] for key in ('number', 'revision', 'ref', 'parents')}
            | {'uploader': account(patchset['uploader'])},
        } | more)

    def ref_updated(self, project, ref, old, new, user):
        self.emit({'type': 'ref-updated', 'submitter': account(user),
                   'refUpdate': {'oldRev': old, 'newRev': new, 'refName': ref, 'project': project}})

    def save(self):
        new = self.file.with_suffix('.new')
        new.write_text(json.dumps(self.all, indent=1))
        os.replace(new, self.file)


def account(name):
    return {'name': name, 'username': name, 'email': f'{name}@localhost'}


def git(repository, *arguments, **more):
    return subprocess.run(['git', '-C', repository, *arguments], check=True, text=True,
                          stdout=subprocess.PIPE, **more).stdout.strip()


def merge(repository, old, revision, change, user):
    tree = subprocess.run(['git', '-C', repository, 'merge-tree', '--write-tree', old, revision], stdout=subprocess.PIPE, text=True)
    if tree.returncode:
        raise Conflict('merge conflict')
    person = {f'GIT_{role}_{key}': value for role in ('AUTHOR', 'COMMITTER')
              for key, value in (('NAME', user), ('EMAIL', f'{user}@localhost'))}
    return git(repository, 'commit-tree', tree.stdout.split('\n')[0], '-p', old, '-p', revision,
               '-m', f'Merge "{change["subject"]}"', env=dict(os.environ, **person))


def prepare(repository):
    git(repository, 'config', 'http.receivepack', 'true')
    git(repository, 'config', 'receive.procReceiveRefs', 'refs/for')
    git(repository, 'config', 'uploadpack.allowAnySHA1InWant', 'true')
    hook = repository / 'hooks/proc-receive'
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nexec {sys.executable} {pathlib.Path(__file__).with_name("hook.py")}\n')
    hook.chmod(0o755)
