"""A small stand-in for a Gerrit server: as much of its protocol as Zuul's driver uses (REST with a password, git
over HTTP, events over ssh), and pushes to refs/for/BRANCH. For tests on loopback only.

  python tests/zuul/gerrit --state DIR --repositories DIR --url URL --ssh-port PORT --password WORD \
      --zuul-key zuul.pub --host-key key

Labels are Code-Review and Verified from -2 to 2, Workflow from -1 to 1; a change can be submitted when each has
its maximum and none its minimum. Any user name is taken with the one password.
"""
import argparse
import http.server
import pathlib
import threading
import urllib.parse

from changes import Changes
from events import Stream
from server import handler


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ('state', 'repositories', 'zuul-key', 'host-key'):
        parser.add_argument('--' + name, required=True, type=pathlib.Path)
    parser.add_argument('--url', required=True)
    parser.add_argument('--password', required=True)
    parser.add_argument('--ssh-port', required=True, type=int)
    arguments = parser.parse_args()

    url = urllib.parse.urlparse(arguments.url)
    stream = Stream(arguments.zuul_key.read_text(), arguments.host_key)
    changes = Changes(arguments.state, arguments.repositories, arguments.url, stream.emit)
    threading.Thread(target=stream.serve, args=(url.hostname, arguments.ssh_port), daemon=True).start()
    server = http.server.ThreadingHTTPServer((url.hostname, url.port), handler(changes, arguments.password))
    server.serve_forever()


if __name__ == '__main__':
    main()
