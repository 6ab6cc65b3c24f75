"""`gerrit stream-events` over ssh."""
import json
import socket
import threading
import time

import paramiko


class Stream:
    def __init__(self, zuul_keys, host_key):
        self.allowed = {line.split()[1] for line in zuul_keys.splitlines() if line.strip()}
        self.host_key = paramiko.Ed25519Key(filename=str(host_key))
        self.channels = set()

    def emit(self, event):
        event['eventCreatedOn'] = int(time.time())
        print('event', json.dumps(event), flush=True)
        for channel in list(self.channels):
            try:
                channel.sendall(json.dumps(event).encode() + b'\n')
            except (OSError, EOFError):
                self.channels.discard(channel)

    def serve(self, host, port):
        listener = socket.create_server((host, port))
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve_client, args=(connection,), daemon=True).start()

    def serve_client(self, connection):
        transport = paramiko.Transport(connection)
        transport.add_server_key(self.host_key)
        try:
            transport.start_server(server=Session(self))
        except (paramiko.SSHException, EOFError, OSError) as problem:
            print('ssh:', problem, flush=True)


class Session(paramiko.ServerInterface):
    def __init__(self, stream):
        self.stream = stream

    def get_allowed_auths(self, username):
        return 'publickey'

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL if key.get_base64() in self.stream.allowed else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED if kind == 'session' else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel, command):
        if command != b'gerrit stream-events':
            return False
        self.stream.channels.add(channel)
        return True
