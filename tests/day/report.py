# SPDX-License-Identifier: Apache-2.0
"""What a day was: its figures for programs (day.json), drawn (day.html), and as the table that docs/results.md takes (day.md)."""
import collections, json, pathlib, statistics

# When a fault began and the pair was PROTECTED again (wall clock, s), and how long after the mending that was.
Window = collections.namedtuple("Window", "fault began mended again")


def figures(windows, slow, totals, fired, lines, failures):
    """`slow`: (began, seconds) of short requests. The worst one of a fault is the longest that was open during it; those
    between faults say what the machine does to them anyway."""

    def longest(among):
        return max([round(took * 1000) for _, took in among], default=0)

    def open_in(w):
        return [(began, took) for began, took in slow if began <= w.mended and began + took >= w.began]

    rows, met = {}, set()
    for w in windows:
        row = rows.setdefault(w.fault.__name__, {"times": 0, "again_s": [], "request_ms": 0})
        row["times"] += 1
        row["again_s"].append(w.again)
        row["request_ms"] = max(row["request_ms"], longest(open_in(w)))
        met.update(open_in(w))
    return dict(totals, faults=rows, between_ms=longest(set(slow) - met), alerts={a: len(t) for a, t in sorted(fired.items())},
                lines=lines, failures=failures)


def sentence(f):
    verdict = "alerts as they should be; every warning explained"
    return "%d faults, %d downloads, %d requests and %d echoes of %d idle connections: %d broken; %s" % (
        sum(r["times"] for r in f["faults"].values()), f["downloads"], f["requests"], f["echoes"], f["idle"], f["broken"],
        verdict if not f["failures"] else "%d things not as they should be" % len(f["failures"]))


def page(path, f, options):
    """The page that bench and drill write, with the day's figures in it."""
    lines = ([sentence(f)] if "faults" in f else []) + f["failures"]
    report = dict(f, kind="day", title="Day of %d s" % options.seconds, verdict={"good": not f["failures"], "lines": lines},
                  seconds=options.seconds, seed=options.seed)
    template = pathlib.Path(__file__).parents[2] / "understudy/pair/report.html"
    with open(path, "w") as out:
        out.write(template.read_text().replace("@REPORT@", json.dumps(report).replace("<", "\\u003c"), 1))


def write(directory, f, options):
    with open(directory + "/day.json", "w") as out:
        json.dump(dict(f, seconds=options.seconds, seed=options.seed), out, indent=1)
    page(directory + "/day.html", f, options)
    if "faults" not in f:
        return
    with open(directory + "/day.md", "w") as out:
        out.write("`make day DAY_S=%d SEED=%d`: %s. %.1f GB passed.\n\n" % (options.seconds, options.seed, sentence(f), f["bytes"] / 1e9))
        out.write("| fault | times | PROTECTED again s, median | worst | longest request ms |\n|---|---|---|---|---|\n")
        for name, row in sorted(f["faults"].items()):
            out.write("| %s | %d | %.1f | %.1f | %s |\n" % (name.replace("_", " "), row["times"], statistics.median(row["again_s"]),
                                                      max(row["again_s"]), row["request_ms"] or "< 100"))
        out.write("| between faults | | | | %s |\n" % (f["between_ms"] or "< 100"))
        out.write("\nAlerts that fired, and for how many seconds: %s.\n" % ", ".join("%s %d" % a for a in f["alerts"].items()))
