# SPDX-License-Identifier: Apache-2.0
"""The faults of a day. Each is begun while the pair is PROTECTED, and returns when it is mended; then the pair has to become
PROTECTED by itself. What it may cause is beside it: whether the role moves, the alerts that have to fire and those that may,
and the events of the log (of level warning or error) that it explains."""
ALL = []
MOVED, LOST = {"takeover", "state", "standby_lost"}, {"standby_lost", "state"}
SHORT = {"UnderstudyFalseAlarm", "UnderstudyFlaps"}  # of any fault in which a node stands or falls silent


def fault(moves=False, must=(), may=(), events=()):
    """`moves`: True, False, or None for either."""

    def add(function):
        function.moves, function.must = moves, set(must)
        function.may = set(may) | ({"UnderstudyTookOver"} if moves is not False else set())
        function.events = set(events)
        if moves:
            function.must.add("UnderstudyTookOver")
        ALL.append(function)
        return function

    return add


def start(day):
    """Not a fault, and not drawn: what the start of the pair, of Prometheus and of the clients may cause."""


fault(moves=None, events=MOVED | {"port", "arbiter"}, may=SHORT)(start)
ALL.remove(start)
