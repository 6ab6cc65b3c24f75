"""A node, seen from the machine that it is a part of."""
import pathlib
import re
import subprocess

import processes

# Where its files are its own, not those of the machine.
PLACES = ('root', 'etc', 'tmp', 'run', 'var/tmp')
# What a developer has there, and this checkout, to which services write.
LEFT_OUT = ('root/.cache', 'root/.cargo', 'root/.rustup', 'root/go', str(pathlib.Path(__file__).resolve().parents[2]).lstrip('/'))
# What Ansible, ssh and Zuul leave, the sources of the last build, and our programs, which the next build takes.
LEFT_ON_PURPOSE = re.compile(
    r'root/(src|\.ansible|\.ssh)\b|root/\.local(/share(/zuul-images(/bin.*)?)?)?$|tmp/(console-|ansible|\.ansible)|run/(sshd|lock)\b')


class Node:
    def __init__(self, pid):
        """`pid` is that of its ssh server."""
        self.root = pathlib.Path(f'/proc/{pid}/root')
        self.network = pathlib.Path(f'/proc/{pid}/ns/net').readlink()

    def registries(self):
        """The processes that serve a registry, by their ids."""
        return processes.running('buildset-registry', lambda process, words: '--detached' in words
                                 and (process / 'ns/net').readlink() == self.network)

    def files(self):
        """Files and directories that it has and the machine has not, or in another size. The machine's are seen there,
        too, and come and go."""
        of_machine = files('/')
        return {path for path in files(self.root) - of_machine - files('/') if not LEFT_ON_PURPOSE.match(path)}


def files(root):
    """With the size of each file below /etc, as lines may be left there in what was there before. Elsewhere files of the
    machine, which are seen on nodes, grow meanwhile."""
    left_out = [word for path in LEFT_OUT for word in ('-path', path, '-prune', '-o')]
    print_all = ['-path', 'etc/*', '-type', 'f', '-printf', '%p, %s bytes\\n', '-o', '-print']
    # It fails when a directory vanishes meanwhile.
    found = subprocess.run(['find', *PLACES, *left_out, *print_all], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return set(found.stdout.splitlines())
