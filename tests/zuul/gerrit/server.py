"""Gerrit's HTTP side: REST and git, all under /a/ and with a password."""
import base64
import http.server
import json
import os
import re
import subprocess
import traceback
import urllib.parse

import rest
from changes import Conflict, git


def handler(changes, password):
    return type('Handler', (Handler,), {'changes': changes, 'password': password})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    user = '-'

    def handle_any(self):
        data = self.read_body()
        if not self.logged_in():
            return self.answer(401, b'authentication required\n', 'text/plain', {'WWW-Authenticate': 'Basic realm="gerrit"'})
        try:
            self.route(data)
        except KeyError as missing:
            self.answer(404, f'Not found: {missing}\n'.encode(), 'text/plain')
        except Conflict as conflict:
            self.answer(409, f'{conflict}\n'.encode(), 'text/plain')
        except Exception as problem:
            traceback.print_exc()
            self.answer(500, f'{problem!r}\n'.encode(), 'text/plain')

    do_GET = do_POST = do_PUT = handle_any

    def logged_in(self):
        kind, _, value = self.headers.get('Authorization', '').partition(' ')
        user, _, password = base64.b64decode(value).decode().partition(':')
        if kind == 'Basic' and password == self.password:
            self.user = user
            return True
        return False

    def route(self, data):
        path, _, query = self.path.partition('?')
        path = path.removeprefix('/').removeprefix('a/')
        git_request = re.fullmatch(r'(.+?)/(info/refs|git-upload-pack|git-receive-pack)', path)
        if git_request:
            return self.git(urllib.parse.unquote(git_request[1]), git_request[2], query, data)
        wanted = json.loads(data) if data.strip() else {}
        parts = [urllib.parse.unquote(part) for part in path.strip('/').split('/')]
        with self.changes.lock:
            document = self.ask(parts, urllib.parse.parse_qs(query), wanted)
        # The first line keeps browsers from running it.
        self.answer(200, b")]}'\n" + json.dumps(document).encode(), 'application/json')

    def ask(self, parts, query, wanted):
        match parts:
            case ['config', 'server', 'version']:
                return '3.10.0-emulator'
            case ['config', 'server', 'info']:
                return {'change': {}, 'gerrit': {'all_projects': 'All-Projects'}}
            case ['emulator', 'push']:
                return self.changes.push(**wanted)
            case ['projects', project, 'HEAD']:
                return git(self.changes.repository(project), 'symbolic-ref', 'HEAD')
            case ['changes']:
                return [rest.detail(self.changes, change) for change in rest.query(self.changes, query['q'][0])]
            case ['changes', identifier, *rest_of_path]:
                return self.ask_change(self.changes.find(identifier), rest_of_path, query, wanted)
        raise KeyError(self.path)

    def ask_change(self, change, parts, query, wanted):
        match self.command, parts:
            case 'GET', [] | ['detail']:
                return rest.detail(self.changes, change)
            case 'GET', ['submitted_together']:
                return []
            case 'GET', ['revisions', revision, 'related']:
                return rest.related(self.changes, change, known(change, revision))
            case 'GET', ['revisions', revision, 'files']:
                return rest.files(self.changes, change, known(change, revision), query.get('parent', [None])[0])
            case 'POST', ['revisions', _, 'review']:
                return self.changes.review(change, wanted, self.user)
            case 'POST', ['submit']:
                self.changes.submit(change, self.user)
                return rest.detail(self.changes, change)
            case 'POST', ['abandon']:
                self.changes.abandon(change, self.user)
                return rest.detail(self.changes, change)
        raise KeyError(self.path)

    def git(self, project, service, query, data):
        repository = self.changes.repository(project)
        project = str(repository.relative_to(self.changes.repositories))
        before = refs(repository)
        output = subprocess.run(['git', 'http-backend'], input=data, stdout=subprocess.PIPE, check=True, env={
            'PATH': os.environ['PATH'], 'GIT_PROJECT_ROOT': str(self.changes.repositories), 'GIT_HTTP_EXPORT_ALL': '1',
            'PATH_INFO': f'/{project}/{service}', 'QUERY_STRING': query, 'REQUEST_METHOD': self.command,
            'REMOTE_USER': self.user, 'REMOTE_ADDR': self.client_address[0], 'CONTENT_LENGTH': str(len(data)),
            'CONTENT_TYPE': self.headers.get('Content-Type', ''), 'GIT_PROTOCOL': self.headers.get('Git-Protocol', ''),
            'HTTP_CONTENT_ENCODING': self.headers.get('Content-Encoding', ''),
            'EMULATOR_URL': self.changes.url, 'EMULATOR_PASSWORD': self.password, 'EMULATOR_PROJECT': project,
        }).stdout
        head, _, body = output.partition(b'\r\n\r\n')
        headers = dict(line.split(': ', 1) for line in head.decode().split('\r\n'))
        self.answer(int(headers.pop('Status', '200').split()[0]), body, headers.pop('Content-Type'), headers)
        after = refs(repository)
        for ref in sorted(before.keys() | after.keys()):
            if before.get(ref) != after.get(ref):
                self.changes.ref_updated(project, ref, before.get(ref, '0' * 40), after.get(ref, '0' * 40), self.user)

    def answer(self, code, body, kind, headers=None):
        self.send_response(code)
        for name, value in {'Content-Type': kind, 'Content-Length': str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def read_body(self):
        if self.headers.get('Transfer-Encoding') != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        body = b''
        while True:
            length = int(self.rfile.readline().split(b';')[0], 16)
            body += self.rfile.read(length)
            self.rfile.readline()
            if not length:
                return body


def known(change, revision):
    return change['patchsets'][-1]['revision'] if revision == 'current' else revision


def refs(repository):
    listed = git(repository, 'for-each-ref', '--format=%(refname) %(objectname)', 'refs/heads', 'refs/tags')
    return dict(line.split(' ') for line in listed.splitlines())
