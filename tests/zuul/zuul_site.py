"""The site: Zuul's services, and the adoption of zuul-images as README.md and docs/adopt.md print it."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import yaml

import adoption
import beside
import processes
import real_gerrit
from beside import OURS, THEIRS
from images import Images
from node import Node
from review import Review
from secrets_watch import Secrets
from zuul_api import ZuulApi, eventually

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path('/srv/zuul')
LOGS = HERE.parents[1] / 'target/zuul-e2e'

CONFIG = 'example/project-config'
# Where images are published: in our registry, and in Debian's docker-registry, which can delete no tag.
REGISTRY = 'registry.example.org'
DISTRIBUTION = 'distribution.example.org'
# The projects of the demo, as the README prints a project, and where each publishes its image.
PRINTED = {'base': REGISTRY, 'app': DISTRIBUTION}
PROJECTS = [*PRINTED, *adoption.OF_SITE]

# The node of the label debian-alone.
ALONE = '10.77.0.17'


class Site:
    tenant_name = 'example'

    def __init__(self):
        self.zuul_programs = pathlib.Path(os.environ['zuul']) / 'bin'
        self.zuul = ZuulApi('http://zuul.example.org:9000', self.tenant_name)
        self.review = Review('http://review.example.org:8080', 'throw-away')
        pages = adoption.blocks('README.md') + adoption.blocks('docs/adopt.md')
        self.pages = [block for block in pages if block.heading != beside.HEADING]
        self.beside = [block for block in pages if block.heading == beside.HEADING]
        self.passwords = {
            REGISTRY: self.connection('registry')['password'],
            DISTRIBUTION: (WORK / 'distribution/login').read_text().splitlines()[0],
        }
        logins = {
            **{host: ('publisher', password) for host, password in self.passwords.items()},
            'intermediate.example.org:5000': ('zuul', self.connection('intermediate')['password']),
        }
        self.images = Images(WORK / 'auth.json', logins)
        self.secrets = Secrets(logins)

    def start(self):
        self.secrets.watch_processes()
        self.write_tenant()
        for project in (CONFIG, OURS, THEIRS, *(f'example/{name}' for name in PROJECTS)):
            self.create(project)
        if os.environ.get('GERRIT') == 'real':
            real_gerrit.start(self, WORK, LOGS / 'gerrit.log')
        else:
            self.start_stand_in_of_gerrit()
        eventually('the review system', self.review.version)
        for service in ('scheduler', 'web', 'executor', 'launcher'):
            self.start_service(service, self.zuul_programs / f'zuul-{service}', '-f', '-d', '-c', WORK / 'etc/zuul.conf')
        eventually('Zuul', self.zuul.is_up, seconds=180)
        self.adopt()

    def start_stand_in_of_gerrit(self):
        self.start_service('gerrit', self.zuul_programs / 'python', HERE / 'gerrit', '--state', WORK / 'gerrit',
                           '--repositories', WORK / 'repositories', '--url', self.review.url, '--ssh-port', '29418',
                           '--password', self.review.password, '--zuul-key', WORK / 'tls/gerrit.pub', '--host-key', WORK / 'tls/host')

    def adopt(self):
        """Secrets can be encrypted only once Zuul has the projects' keys."""
        with self.pushed(CONFIG, 'Adopt zuul-images') as config:
            adoption.write_config_project(self.pages, config)
            jobs = config / 'zuul.d/container-images.yaml'
            jobs.write_text(self.for_this_site(jobs.read_text(), CONFIG, self.connection('intermediate')['password']))
            login = (HERE / 'site/site-registry.yaml').read_text()
            (config / 'zuul.d/site-registry.yaml').write_text(self.for_this_site(login, CONFIG, self.passwords[REGISTRY]))
        for name in PROJECTS:
            with self.pushed(f'example/{name}', 'Build an image') as folder:
                if name in PRINTED:
                    self.write_printed_project(name, folder)
                else:
                    shutil.copytree(HERE / 'site' / name, folder, dirs_exist_ok=True)
                    jobs = folder / '.zuul.yaml'
                    jobs.write_text(self.for_this_site(jobs.read_text(), f'example/{name}', self.passwords[REGISTRY]))
        self.reconfigure()

    def reconfigure(self):
        before = self.zuul.tenant_state()
        subprocess.run([self.zuul_programs / 'zuul-scheduler', '-c', WORK / 'etc/zuul.conf', 'full-reconfigure'], check=True)
        eventually('the new configuration', lambda: self.zuul.tenant_state() != before, seconds=120)
        errors = self.zuul.get('config-errors')
        if errors:
            raise RuntimeError(f'Zuul does not take the configuration: {json.dumps(errors, indent=1)}')

    def write_printed_project(self, name, folder):
        """A project as the README prints it, that builds an image of the demo."""
        registry = PRINTED[name]
        text = adoption.project_of_demo(self.pages, name, registry)
        adoption.write(folder / '.zuul.d/images.yaml', self.for_this_site(text, f'example/{name}', self.passwords[registry]))
        shutil.copytree(adoption.CHECKOUT / 'demo' / name, folder, dirs_exist_ok=True)
        shutil.copytree(HERE / 'site' / name, folder, dirs_exist_ok=True)
        if name == 'base':
            for architecture in ('amd64', 'arm64'):
                shutil.copy(adoption.CHECKOUT / f'target/demo/busybox-{architecture}', folder)

    def for_this_site(self, text, project, secret):
        """What is printed with dots and the example's addresses, as it is here."""
        text = text.replace('https://zuul.example.org', self.zuul.url)
        return re.sub(r'!encrypted/pkcs1-oaep\n +- \.\.\.', lambda _: self.encrypt(project, secret), text)

    def operate(self, verb, pipeline, project, *what):
        """Enqueues or dequeues a change or ref, as an operator does with zuul-client."""
        token = subprocess.run([
            self.zuul_programs / 'zuul-admin', '-c', WORK / 'etc/zuul.conf', 'create-auth-token', '--auth-config', 'zuul_operator',
            '--tenant', self.tenant_name, '--user', 'operator', '--expires-in', '600',
        ], text=True, check=True, stdout=subprocess.PIPE).stdout.strip().removeprefix('Bearer ')
        subprocess.run([
            self.zuul_programs / 'zuul-client', '--zuul-url', self.zuul.url, '--auth-token', token,
            verb, '--tenant', self.tenant_name, '--pipeline', pipeline, '--project', project, *what,
        ], check=True)

    def encrypt(self, project, secret):
        # It uses openssl, which is talkative.
        with (LOGS / 'zuul-client.log').open('a') as log:
            printed = subprocess.run([
                self.zuul_programs / 'zuul-client', '--zuul-url', self.zuul.url, 'encrypt', '--tenant', self.tenant_name,
                '--project', project, '--secret-name', 'secret', '--field-name', 'field',
            ], input=secret, text=True, check=True, stdout=subprocess.PIPE, stderr=log).stdout
        _, _, value = printed.partition('!encrypted/pkcs1-oaep')
        chunks = [''.join(chunk.split()) for chunk in re.split(r'^ *- ', value, flags=re.M)[1:]]
        return f'!encrypted/pkcs1-oaep {json.dumps(chunks)}'

    def write_tenant(self, beside_zuul_jobs=None):
        """Beside zuul-jobs, too, in one of the ways that are printed."""
        tenant = yaml.safe_load(adoption.tenant(self.pages))
        listed = tenant[0]['tenant']['source']['gerrit']
        listed['untrusted-projects'] = [entry for entry in listed['untrusted-projects'] if entry != 'example/tool']
        if beside_zuul_jobs is not None:
            beside.take_tenant(listed['untrusted-projects'], self.beside, beside_zuul_jobs)
        listed['untrusted-projects'] += [f'example/{name}' for name in PROJECTS]
        adoption.write(WORK / 'main.yaml', yaml.safe_dump(tenant))

    def create(self, project):
        """A project as it is before the adoption."""
        subprocess.run(['git', 'init', '--quiet', '--bare', '--initial-branch=main', WORK / 'repositories' / project], check=True)
        with self.pushed(project, 'Begin') as folder:
            if project == OURS:
                adoption.write_own_project(folder)
            elif project == THEIRS:
                beside.write_stand_in_of_zuul_jobs(folder)
            elif project == CONFIG:
                shutil.copytree(HERE / 'site/config', folder, dirs_exist_ok=True)
                providers = folder / 'zuul.d/providers.yaml'
                providers.write_text(providers.read_text().replace('nodes: []', f'nodes: {json.dumps(nodes())}'))
            else:
                adoption.write(folder / 'README', f'{project}\n')

    @contextlib.contextmanager
    def pushed(self, project, subject):
        """A folder with a project's files; what is changed there is pushed without a review."""
        with tempfile.TemporaryDirectory() as folder:
            git = ['git', '-C', folder, '-c', 'user.name=site', '-c', 'user.email=site@example.org']
            subprocess.run(['git', 'clone', '--quiet', WORK / 'repositories' / project, folder], check=True, stderr=subprocess.DEVNULL)
            yield pathlib.Path(folder)
            subprocess.run([*git, 'add', '--all', '--force', '.'], check=True)
            subprocess.run([*git, 'commit', '--quiet', '-m', subject], check=True)
            subprocess.run([*git, 'push', '--quiet', 'origin', 'HEAD:refs/heads/main'], check=True)

    @staticmethod
    def start_service(name, *command):
        with (LOGS / f'{name}.log').open('ab') as log:
            service = subprocess.Popen([str(word) for word in command], stdout=log, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        (WORK / f'run/{name}.pid').write_text(str(service.pid))

    @staticmethod
    def connection(name):
        return json.loads((WORK / f'{name}.init').read_text())['connection']

    @staticmethod
    def job_logs():
        """The published logs: one folder for each build."""
        return WORK / 'logs'

    def job_folder(self, build):
        return self.job_logs() / build['uuid']

    def report_of(self, build, program):
        """What one of our programs reported to a build."""
        return json.loads((self.job_folder(build) / f'zuul-images-{program}.json').read_text())

    @staticmethod
    def report_of_running(build, program):
        """The same, while the build runs; `build` is its UUID."""
        return json.loads((WORK / 'builds' / build / f'work/logs/zuul-images-{program}.json').read_text())

    def log_of(self, build):
        return (self.job_folder(build) / 'job-output.txt').read_text()

    @staticmethod
    def file_of(project, name):
        return subprocess.run(['git', '-C', WORK / 'repositories' / project, 'show', f'main:{name}'], check=True,
                              text=True, stdout=subprocess.PIPE).stdout

    @staticmethod
    def nodes():
        return [Node(int(file.read_text())) for file in sorted((WORK / 'run').glob('node*.pid'))]

    @staticmethod
    def node_alone():
        """The one of the label debian-alone."""
        return Node(int((WORK / 'run/node7.pid').read_text()))

    def files_with_passwords(self, place):
        """Among those that were written since the site began."""
        return self.secrets.files_with_one(place, newer=WORK / 'main.yaml')

    @staticmethod
    def processes(program, build):
        """Those that run a program in a build's sandbox; `build` is its UUID."""
        return processes.running(program, lambda process, _: build.encode() in (process / 'environ').read_bytes())

    def start_distribution(self):
        self.start_service('distribution', 'docker-registry', 'serve', WORK / 'distribution/config.yml')
        # Refused connections are waited for; what skopeo says of them is an error.
        eventually('the registry', lambda: socket.create_connection((DISTRIBUTION, 443), timeout=5).close() is None)

    @staticmethod
    def requests_to_distribution():
        """What Debian's registry was asked so far, by its own log: `PUT /v2/demo/app/manifests/latest`."""
        return re.findall(r'"([A-Z]+ /\S*) HTTP/', (LOGS / 'distribution.log').read_text())

    @staticmethod
    def requests_to_registry():
        """What our registry was asked so far, by its log."""
        return [' '.join(words) for words in re.findall(r'method="([A-Z]+)" path="(/[^"]*)"', pathlib.Path('/var/lib/registry/serve.log').read_text())]

    def stop_distribution(self):
        self.signal_distribution(signal.SIGKILL)

    def freeze_distribution(self):
        """It takes connections, and answers nothing."""
        self.signal_distribution(signal.SIGSTOP)

    def thaw_distribution(self):
        self.signal_distribution(signal.SIGCONT)

    @staticmethod
    def signal_distribution(kind):
        os.kill(int((WORK / 'run/distribution.pid').read_text()), kind)

    @staticmethod
    def keep_logs():
        """The published logs of the jobs, without the sockets that a hostile one took along."""
        def sockets(folder, names):
            return [name for name in names if (pathlib.Path(folder) / name).is_socket()]

        shutil.copytree(WORK / 'logs', LOGS / 'jobs', ignore=sockets, symlinks=True, dirs_exist_ok=True)


def nodes():
    key = ' '.join((WORK / 'tls/host.pub').read_text().split()[:2])
    by_name = {f'10.77.0.{number}': 'debian' for number in range(11, 17)} | {ALONE: 'debian-alone', '::1': 'debian-ipv6'}
    return [{'name': name, 'label': label, 'host-key': key} for name, label in by_name.items()]
