#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts a program as systemd would: supervisor.py LOG WATCHDOG_MS PROGRAM ARGUMENTS...

What it tells by NOTIFY_SOCKET goes to LOG, a word a line ("READY=1"). SIGUSR1 stops the program's first lane, or of one
without lanes its main thread, that one thread alone (as root); SIGUSR2 lets it go on; SIGTERM is handed on. Ends with the program, which ends with it."""
import ctypes, os, signal, socket, subprocess, sys

ATTACH, DETACH, WALL = 16, 17, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
log, watchdog = open(sys.argv[1], "w", buffering=1), int(sys.argv[2])
path = "@understudy-lab-%d" % os.getpid()
words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
words.bind("\0" + path[1:])
words.settimeout(0.1)
node = subprocess.Popen(sys.argv[3:], preexec_fn=lambda: libc.prctl(1, signal.SIGKILL, 0, 0, 0),
                        env=dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC=str(watchdog * 1000)))
held = None


def hang(*_):
    global held
    for thread in os.listdir("/proc/%d/task" % node.pid):
        with open("/proc/%d/task/%s/comm" % (node.pid, thread)) as comm:
            if "worker" in comm.read() and held is None:
                held = int(thread)
    held = held or node.pid
    if libc.ptrace(ATTACH, held, None, None) != 0:
        sys.exit("no thread is to be stopped: " + os.strerror(ctypes.get_errno()))
    os.waitpid(held, WALL)
    try: # what was said before that
        while True:
            print(words.recv(4096, socket.MSG_DONTWAIT).decode(), file=log)
    except (BlockingIOError, TimeoutError):
        pass
    print("thread stopped", file=log)


def resume(*_):
    print("thread goes on", file=log)
    libc.ptrace(DETACH, held, None, None)


signal.signal(signal.SIGUSR1, hang)
signal.signal(signal.SIGUSR2, resume)
signal.signal(signal.SIGTERM, lambda *_: node.terminate())
print("pid %d" % node.pid, file=log)
while node.poll() is None:
    try:
        print(words.recv(4096).decode(), file=log)
    except TimeoutError:
        pass
words.setblocking(False)
try:
    while True:
        print(words.recv(4096).decode(), file=log)
except BlockingIOError:
    pass
print("ended %d" % node.returncode, file=log)
