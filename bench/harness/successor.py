"""A guest that attaches at a word and says when the first frame reached it; a program of its own,
so that it can be killed.

    successor.py PORT_PATH OWN_PATH MAC

Prints `ready`, waits for a byte, attaches, prints one JSON object, and reads until it is killed.
Where nothing answers, it speaks again after a second, as a guest does who asks for a neighbour
(RFC 4861, section 10; Linux's ARP waits as long). Times are nanoseconds of CLOCK_MONOTONIC, which
all processes share. It imports little and allocates nothing large: a process that is killed first
gives its memory back, then its sockets.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import time

PR_SET_PDEATHSIG = 1
RETRY_SECONDS = 100e-6
SPEAK_AGAIN_SECONDS = 1.0
BROADCAST = b"\xff" * 6
ETHERTYPE = b"\x88\xb6"  # IEEE 802 local experimental
LONGEST_FRAME = 65550


def attach(guest, port_path):
    """Connects, however often it is refused, and says who it is.

    - Returns: how often it was refused.
    """
    refusals = 0
    while True:
        try:
            guest.connect(port_path)
            guest.send(b"VFKT")
            return refusals
        except (PermissionError, ConnectionRefusedError, FileNotFoundError):
            refusals += 1
            time.sleep(RETRY_SECONDS)


def speak_until_heard(guest, address):
    """Sends a broadcast, again and again, until a frame for `address` comes.

    - Returns: how often it spoke.
    """
    hello = (BROADCAST + address + ETHERTYPE).ljust(60, b"\0")
    frame = bytearray(LONGEST_FRAME)
    spoken = 0
    while True:
        try:
            guest.send(hello)
            spoken += 1
            guest.settimeout(SPEAK_AGAIN_SECONDS)
            while guest.recv_into(frame) < 14 or frame[:6] != address:
                pass
            return spoken
        except TimeoutError:
            continue


def main():
    port_path, own_path, mac = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    address = bytes.fromhex(mac.replace(":", ""))
    guest = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    guest.bind(own_path)
    print("ready", flush=True)
    if not os.read(0, 1):
        return
    started = time.monotonic_ns()
    refusals = attach(guest, port_path)
    connected = time.monotonic_ns()
    spoken = speak_until_heard(guest, address)
    first = time.monotonic_ns()
    print(json.dumps({
        "started_ns": started, "connected_ns": connected, "first_ns": first,
        "refusals": refusals, "spoken": spoken}), flush=True)
    guest.settimeout(None)
    while True:
        guest.recv(LONGEST_FRAME)


if __name__ == "__main__":
    main()
