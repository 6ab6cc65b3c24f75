"""git's proc-receive hook (githooks(5)): a push to refs/for/BRANCH becomes changes.

The server asks git to call it; it asks the server to make the changes.
"""
import base64
import json
import os
import sys
import urllib.error
import urllib.request


def main():
    greeting = read_line()
    read_line()
    has_options = 'push-options' in greeting.partition('\0')[2].split()
    write_line('version=1\0push-options' if has_options else 'version=1')
    write_line(None)
    commands = [line.split(' ', 2) for line in read_lines()]
    if has_options:
        read_lines()
    for _, revision, ref in commands:
        write_line(answer(revision, ref))
    write_line(None)


def answer(revision, ref):
    wanted = {'project': os.environ['EMULATOR_PROJECT'], 'branch': ref.removeprefix('refs/for/').partition('%')[0],
              'revision': revision, 'user': os.environ['REMOTE_USER']}
    login = base64.b64encode(f'hook:{os.environ["EMULATOR_PASSWORD"]}'.encode()).decode()
    request = urllib.request.Request(os.environ['EMULATOR_URL'] + '/a/emulator/push', json.dumps(wanted).encode(),
                                     {'Authorization': 'Basic ' + login})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            made = json.loads(response.read().decode()[5:])
    except urllib.error.HTTPError as refusal:
        return f'ng {ref} {refusal.read().decode().splitlines()[0]}'
    for change in made:
        print(f'  {change["url"]} {change["subject"]}', file=sys.stderr)
    return f'ok {ref}'


def read_line():
    """One line in git's pkt-line format; None is its flush."""
    length = int(sys.stdin.buffer.read(4), 16)
    return sys.stdin.buffer.read(length - 4).rstrip(b'\n').decode() if length else None


def read_lines():
    return list(iter(read_line, None))


def write_line(text):
    line = b'0000' if text is None else b'%04x%s\n' % (len(text.encode()) + 5, text.encode())
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == '__main__':
    main()
