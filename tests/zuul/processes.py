"""The processes of this machine and its nodes."""
import contextlib
import pathlib


def running(program, is_meant):
    """The ids of those that run a program of this name; `is_meant` is asked with the directory in /proc and the words."""
    found = []
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):  # it has ended
            words = (process / 'cmdline').read_bytes().decode(errors='replace').split('\0')
            if pathlib.Path(words[0]).name == program and is_meant(process, words):
                found.append(process.name)
    return found
