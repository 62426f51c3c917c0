"""A file sent from one host to the other, and compared by its SHA-256."""

import hashlib
import os
import socket
import threading
import time

from . import network
from .carriers import ADDRESSES

PORT = 5202
PIECE = 1 << 20
PATIENCE_SECONDS = 60  # without a byte


def make_file(path, size):
    """Writes `size` random bytes.

    - Returns: their SHA-256.
    """
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        while size > 0:
            piece = os.urandom(min(size, PIECE))
            file.write(piece)
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest()


class _Receiver(threading.Thread):
    """Takes one connection and reads it to its end."""

    def __init__(self, listener):
        super().__init__(daemon=True)
        self.listener = listener
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.error = None

    def run(self):
        try:
            stream, _ = self.listener.accept()
            with stream:
                stream.settimeout(PATIENCE_SECONDS)
                buffer = memoryview(bytearray(PIECE))
                while count := stream.recv_into(buffer):
                    self.digest.update(buffer[:count])
                    self.bytes += count
        except OSError as error:
            self.error = str(error)


def send_file(lab, path, digest):
    """Sends a file from host a to host b and says whether it arrived as it was."""
    with network.inside(lab["b"]):
        listener = socket.create_server((ADDRESSES["b"], PORT))
    with network.inside(lab["a"]):
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener, stream, open(path, "rb") as file:
        listener.settimeout(PATIENCE_SECONDS)
        stream.settimeout(PATIENCE_SECONDS)
        receiver = _Receiver(listener)
        receiver.start()
        started = time.monotonic()
        error = None
        try:
            stream.connect((ADDRESSES["b"], PORT))
            stream.sendfile(file)
            stream.shutdown(socket.SHUT_WR)
        except OSError as failure:
            error = str(failure)
        receiver.join(2 * PATIENCE_SECONDS)
    return {
        "bytes": receiver.bytes,
        "seconds": round(time.monotonic() - started, 3),
        "is_equal": receiver.digest.hexdigest() == digest,
        "error": error or receiver.error,
    }
