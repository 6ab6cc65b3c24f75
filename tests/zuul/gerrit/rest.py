"""Gerrit's documents: what its REST interface says of a change."""
import datetime
import re

from changes import LABELS, Conflict, account, git


def detail(changes, change):
    repository = changes.repository(change['project'])
    revisions = {patchset['revision']: {
        'kind': 'REWORK', '_number': patchset['number'], 'created': stamp(patchset['created']), 'ref': patchset['ref'],
        'uploader': account(patchset['uploader']), 'files': {},
        'commit': {'subject': change['subject'], 'parents': [{'commit': parent} for parent in patchset['parents']],
                   'message': git(repository, 'log', '-1', '--format=%B', patchset['revision']) + '\n'},
    } for patchset in change['patchsets']}
    return {
        'id': f'{change["project"]}~{change["branch"]}~{change["id"]}', 'project': change['project'], 'branch': change['branch'],
        'hashtags': [], 'change_id': change['id'], 'subject': change['subject'], 'status': change['status'],
        'created': stamp(change['created']), 'updated': stamp(change['updated']), '_number': change['number'],
        'owner': account(change['owner']), 'labels': labels(change), 'revisions': revisions, 'requirements': [],
        'current_revision': change['patchsets'][-1]['revision'], 'work_in_progress': False,
        'submit_type': 'MERGE_IF_NECESSARY', 'submittable': changes.submittable(change), 'submit_requirements': [],
        'messages': [{'author': message['author'], 'date': stamp(message['on']), 'message': message['message'],
                      'tag': message['tag']} for message in change['messages']],
    }


def labels(change):
    documents = {}
    for name, (low, high) in LABELS.items():
        votes = [vote for vote in change['approvals'] if vote['label'] == name]
        document = documents[name] = {
            'all': [account(vote['by']) | {'value': vote['value'], 'date': stamp(vote['on'])} for vote in votes],
            'values': {str(value): '' for value in range(low, high + 1)}, 'default_value': 0}
        for vote in votes:
            if vote['value'] == low:
                document.update(rejected=account(vote['by']), blocking=True)
            elif vote['value'] == high:
                document['approved'] = account(vote['by'])
    return documents


def files(changes, change, revision, parent):
    repository = changes.repository(change['project'])
    what = ['diff', f'{revision}^{parent}', revision] if parent else ['show', '--format=', revision]
    listed = git(repository, what[0], '--name-status', '--no-renames', *what[1:])
    lines = (line.split('\t', 1) for line in listed.splitlines())
    return {'/COMMIT_MSG': {'status': 'A'}} | {name: {'status': status[0]} for status, name in lines}


def related(changes, change, revision):
    """The open changes of the same project that this one lies on, and that lie on it."""
    same = [other for other in changes.all.values() if other['project'] == change['project']]
    places = {patchset['revision']: (other, patchset) for other in same for patchset in other['patchsets']}
    _, me = places[revision]
    children = [(other, other['patchsets'][-1]) for other in same if revision in other['patchsets'][-1]['parents']]
    parents = [places[parent] for parent in me['parents'] if parent in places]
    return {'changes': [{
        'project': other['project'], 'change_id': other['id'], '_change_number': other['number'],
        '_revision_number': patchset['number'], '_current_revision_number': len(other['patchsets']),
        'status': other['status'],
        'commit': {'commit': patchset['revision'], 'subject': other['subject'],
                   'parents': [{'commit': parent} for parent in patchset['parents']]},
    } for other, patchset in children + parents]}


def query(changes, text):
    """The part of Gerrit's search that Zuul uses; what it does not know it refuses."""
    text = text.strip()
    if text.startswith('(') and text.endswith(')'):
        found = [change for part in text[1:-1].split(' OR ') for change in query(changes, part)]
        return list({change['number']: change for change in found}.values())
    found = list(changes.all.values())
    for key, braced, quoted, plain in re.findall(r'(\w+):(?:\{([^}]*)\}|"([^"]*)"|(\S+))', text):
        value = braced or quoted or plain
        if key not in MATCHES:
            raise Conflict(f'query operator not known: {key}')
        found = [change for change in found if MATCHES[key](change, value)]
    return found


STATUS = {'open': 'NEW', 'new': 'NEW', 'merged': 'MERGED', 'abandoned': 'ABANDONED'}
MATCHES = {
    'change': lambda change, value: value in (
        str(change['number']), change['id'], f'{change["project"]}~{change["branch"]}~{change["id"]}'),
    'message': lambda change, value: value in change['message'],
    'project': lambda change, value: value == change['project'],
    'branch': lambda change, value: value == change['branch'],
    'status': lambda change, value: STATUS[value] == change['status'],
    'is': lambda change, value: STATUS[value] == change['status'],
}


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime('%Y-%m-%d %H:%M:%S.000000000')
