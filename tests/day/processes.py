# SPDX-License-Identifier: Apache-2.0
"""Faults of a day: processes that die, stand, or are away."""
import os, signal, time

from faults import LOST, MOVED, SHORT, fault
from pair import Failure


@fault(moves=True, events=MOVED, may=SHORT)
def primary_killed(day):
    node = day.pair.primary()
    node.end()
    time.sleep(day.draw.uniform(0.2, 4))
    node.start()


@fault(events=LOST, may=SHORT)
def standby_killed(day):
    node = day.pair.standby()
    node.end()
    time.sleep(day.draw.uniform(0.2, 4))
    node.start()


@fault(events=LOST, must={"UnderstudyDown", "UnderstudyUnprotected"}, may=SHORT)
def standby_away(day):
    """For longer than an alert waits."""
    node = day.pair.standby()
    node.end(signal.SIGTERM)
    time.sleep(75)
    node.start()


@fault(moves=True, events=MOVED | {"fenced"}, may=SHORT)
def primary_hangs(day):
    node = day.pair.primary()
    node.send(signal.SIGSTOP)
    time.sleep(day.draw.uniform(2, 5))
    node.send(signal.SIGCONT)


@fault(events=LOST, may=SHORT)
def standby_hangs(day):
    node = day.pair.standby()
    node.send(signal.SIGSTOP)
    time.sleep(day.draw.uniform(2, 5))
    node.send(signal.SIGCONT)


@fault(events=LOST | {"port"}, may=SHORT)
def guardian_killed(day):
    """The node goes on; who restarts it when it is the standby is the operator."""
    node = day.pair.standby()
    guardian = day.pair.status(node.name)["guardian_pid"]
    os.kill(guardian, signal.SIGKILL)
    time.sleep(2)
    if day.pair.command("status")[0] != 0:
        raise Failure("without the standby's guardian the pair is not PROTECTED")
    node.end(signal.SIGTERM)
    node.start()
