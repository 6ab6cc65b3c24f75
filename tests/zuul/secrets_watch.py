"""Looks for passwords where they must not be."""
import base64
import pathlib
import secrets
import subprocess
import threading
import time


class Secrets:
    """`passwords` by their names, which is what is said of one that was found."""

    def __init__(self, passwords):
        # Not secret: what does not find it where it is shown would have found no password either.
        self.canary = secrets.token_hex(12)
        self.needles = {self.canary.encode(): 'the canary'}
        for name, (user, password) in passwords.items():
            self.needles[password.encode()] = name
            self.needles[base64.b64encode(f'{user}:{password}'.encode()).rstrip(b'=')] = name
        self.in_processes = set()

    def watch_processes(self):
        """From now on, as long as this process runs."""
        threading.Thread(target=self.look_at_processes, daemon=True).start()

    def look_at_processes(self):
        while True:
            for process in pathlib.Path('/proc').glob('[0-9]*'):
                try:
                    arguments = (process / 'cmdline').read_bytes()
                    environment = (process / 'environ').read_bytes()
                except OSError:
                    continue  # it has ended
                self.in_processes.update(f'{name} in what was said to {arguments.split(bytes(1))[0].decode(errors="replace")}'
                                         for name in self.named_in(arguments + environment))
            time.sleep(0.05)

    def seen_in_processes(self):
        """With a process of now that has the canary."""
        subprocess.run(['sh', '-c', 'sleep 1; true', self.canary], check=True)
        return sorted(self.in_processes)

    def named_in(self, text):
        text = text.encode() if isinstance(text, str) else text
        return sorted({name for needle, name in self.needles.items() if needle in text})

    def files_with_one(self, root, newer):
        """Among the files below `root` that were written after `newer`. Others may still be removed meanwhile."""
        find = ['find', root, '-ignore_readdir_race', '-type', 'f', '-newer', newer, '-print0']
        listed = subprocess.run(find, check=True, stdout=subprocess.PIPE).stdout
        return [f'{name} in {path}' for path in listed.decode().split('\0')[:-1] for name in self.named_in_file(path)]

    def named_in_file(self, path):
        try:
            return self.named_in(pathlib.Path(path).read_bytes())
        except FileNotFoundError:
            return []
