"""What is in the registries, as skopeo says; never our own programs. A reference is REGISTRY/REPOSITORY:TAG or @DIGEST."""
import base64
import json
import os
import pathlib
import re
import subprocess
import tempfile

PLATFORMS = ['linux/amd64', 'linux/arm64']


class Images:
    def __init__(self, authfile, logins):
        """`logins` holds (user, password) of each registry."""
        auths = {host: {'auth': base64.b64encode(f'{user}:{word}'.encode()).decode()} for host, (user, word) in logins.items()}
        authfile.write_text(json.dumps({'auths': auths}))
        self.environment = dict(os.environ, REGISTRY_AUTH_FILE=str(authfile))

    def digest(self, reference):
        """None where there is no such image."""
        try:
            manifest = self.skopeo('inspect', '--raw', f'docker://{reference}')
        except subprocess.CalledProcessError as failure:
            if re.search('(manifest|name) unknown', failure.stderr.decode()):
                return None
            raise
        with tempfile.NamedTemporaryFile() as file:
            pathlib.Path(file.name).write_bytes(manifest)
            return self.skopeo('manifest-digest', file.name).decode().strip()

    def platforms(self, reference):
        index = json.loads(self.skopeo('inspect', '--raw', f'docker://{reference}'))
        return sorted(f'{entry["platform"]["os"]}/{entry["platform"]["architecture"]}' for entry in index.get('manifests', []))

    def tags(self, repository):
        return sorted(json.loads(self.skopeo('list-tags', f'docker://{repository}'))['Tags'])

    def texts(self, reference, architecture='amd64'):
        """The files below /etc of an image, by name."""
        with tempfile.TemporaryDirectory() as folder:
            self.skopeo('--override-arch', architecture, 'copy', f'docker://{reference}', f'dir:{folder}')
            layers = json.loads((pathlib.Path(folder) / 'manifest.json').read_text())['layers']
            texts = {}
            for layer in layers:
                subprocess.run(['tar', '-C', folder, '-xf', pathlib.Path(folder) / layer['digest'].partition(':')[2]], check=True)
            for path in (pathlib.Path(folder) / 'etc').glob('*'):
                texts[path.name] = path.read_text()
            return texts

    def skopeo(self, *arguments):
        return subprocess.run(['skopeo', *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment).stdout
