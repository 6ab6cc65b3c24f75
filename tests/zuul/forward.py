"""Runs a command in another network with a port of this one: COMMAND gets a listening socket of 127.0.0.1 as a file
descriptor named by FORWARDED, and serves it with `serve`.

A socket stays in the network in which it was made, whoever accepts its connections.
"""
import os
import shutil
import socket
import sys
import threading


def main():
    listener = socket.create_server(('127.0.0.1', 0))
    listener.set_inheritable(True)
    os.environ['FORWARDED'] = str(listener.fileno())
    os.execvp(sys.argv[1], sys.argv[1:])


def serve(target):
    """Passes connections on to (host, port) for as long as this process runs. Returns the address to ask."""
    listener = socket.socket(fileno=int(os.environ['FORWARDED']))
    threading.Thread(target=accept, args=(listener, target), daemon=True).start()
    return '%s:%d' % listener.getsockname()


def accept(listener, target):
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(target)
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=copy, args=(source, sink), daemon=True).start()


def copy(source, sink):
    try:
        shutil.copyfileobj(source.makefile('rb', buffering=0), sink.makefile('wb', buffering=0))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side hung up


if __name__ == '__main__':
    main()
