#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What drill-trust.t puts at the control sockets of a pair that does not run: DIR/a.sock says that it is a PROTECTED
primary, DIR/b.sock its READY standby. Started as root it adds a line to DIR/ran and becomes nobody; DIR/pid tells its pid,
and DIR/pids those of the processes that answer for it.

  impostor.py DIR other PID       a says that it is process PID
  impostor.py DIR own             a says who it is: this, which is not the drill's program
  impostor.py DIR program PID     a is the program (file descriptor 7) when it is looked at; its guardian is PID
  impostor.py DIR elsewhere 0     the same, in namespaces of a user namespace of its own
"""
import ctypes
import json
import os
import pwd
import socket
import sys
import time

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000


def listen(path):
    if os.path.exists(path):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(8)
    return s


def status(node, pid, guardian):
    return {"pid": pid, "guardian_pid": guardian, "view": 3, "held_packets": 0, "why": "",
            "role": "primary" if node == "a" else "standby", "state": "PROTECTED" if node == "a" else "READY",
            "peer": {"connected": True, "state": "READY" if node == "a" else "PROTECTED"}}


def answer(listener, what):
    end = time.time() + 100
    while time.time() < end:
        s, _ = listener.accept()
        s.settimeout(1)
        try:
            s.recv(4096)
            s.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            pass
        s.close()


def main(where, how, *rest):
    os.chdir(where)
    with open("ran", "a") as f:
        f.write("once\n")
    user = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    a, b, me = listen("a.sock"), listen("b.sock"), os.getpid()
    silent = listen("silent-a.sock")  # whoever asks there waits for a minute
    silent.set_inheritable(True)
    pid, guardian = (int(rest[0]), 0) if how == "other" else (me, int(rest[0]) if rest else 0)
    for listener, what in ((a, status("a", pid, guardian)), (b, status("b", me, 0))):
        child = os.fork()
        if child == 0:
            answer(listener, what)
            os._exit(0)
        with open("pids", "a") as f:
            f.write(f"{child}\n")
    if how == "elsewhere" and ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0:
        sys.exit("no user namespaces")
    with open("pid", "w") as f:
        f.write(str(me))
    if how in ("program", "elsewhere"):
        os.execve(7, ["understudy", "drain", "-c", f"{where}/other.yaml", "-n", "a"], os.environ)
    time.sleep(100)


main(*sys.argv[1:])
