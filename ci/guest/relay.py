"""Joins standard input and output with a TCP service. QEMU starts one for each connection of the guest to Azure's metadata service.

    relay.py HOST PORT
"""

import os
import socket
import sys
import threading

# In seconds; an answer takes a part of one.
PATIENCE = 30


def up(service):
    while data := os.read(0, 1 << 16):
        service.sendall(data)
    service.shutdown(socket.SHUT_WR)


def main():
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), PATIENCE) as service:
        # The service hangs up when it has answered, whatever the guest does then.
        threading.Thread(target=up, args=(service,), daemon=True).start()
        while data := service.recv(1 << 16):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


main()
