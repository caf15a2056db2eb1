# SPDX-License-Identifier: Apache-2.0
"""What a day was: its figures for programs (day.json), and as the table that docs/results.md takes (day.md)."""
import collections, json, statistics

# When a fault began and the pair was PROTECTED again (wall clock, s), and how long after the mending that was.
Window = collections.namedtuple("Window", "fault began mended again")


def figures(windows, slow, totals, fired, lines, failures):
    """`slow`: (began, seconds) of short requests. The worst one of a fault is the longest that was open during it."""
    rows = {}
    for w in windows:
        row = rows.setdefault(w.fault.__name__, {"times": 0, "again_s": [], "request_ms": 0})
        row["times"] += 1
        row["again_s"].append(w.again)
        row["request_ms"] = max([row["request_ms"]] + [round(took * 1000) for began, took in slow if began <= w.mended and began + took >= w.began])
    return dict(totals, faults=rows, alerts={a: len(t) for a, t in sorted(fired.items())}, lines=lines, failures=failures)


def sentence(f):
    return ("%d faults, %d downloads, %d requests and %d echoes of %d idle connections: %d broken; %s" % (
        sum(r["times"] for r in f["faults"].values()), f["downloads"], f["requests"], f["echoes"], f["idle"], f["broken"],
        "alerts as they should be; every warning explained" if not f["failures"] else "not as it should be: %d things" % len(f["failures"])))


def write(directory, f, options):
    with open(directory + "/day.json", "w") as out:
        json.dump(dict(f, seconds=options.seconds, seed=options.seed), out, indent=1)
    if "faults" not in f:
        return
    with open(directory + "/day.md", "w") as out:
        out.write("`make day DAY_S=%d SEED=%d`: %s. %.1f GB passed.\n\n" % (options.seconds, options.seed, sentence(f), f["bytes"] / 1e9))
        out.write("| fault | times | PROTECTED again s, median | worst | longest request ms |\n|---|---|---|---|---|\n")
        for name, row in sorted(f["faults"].items()):
            out.write("| %s | %d | %.1f | %.1f | %s |\n" % (name.replace("_", " "), row["times"], statistics.median(row["again_s"]),
                                                      max(row["again_s"]), row["request_ms"] or "< 100"))
        out.write("\nAlerts that fired, and for how many seconds: %s.\n" % ", ".join("%s %d" % a for a in f["alerts"].items()))
