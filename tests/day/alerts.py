# SPDX-License-Identifier: Apache-2.0
"""A Prometheus with the shipped rules beside the pair, and what its alerts are held against."""
import json, subprocess, time, urllib.parse

from pair import MANAGEMENT, Failure

# Seconds for which a rule fires after what it tells of, since it looks back so long; others end with it.
LOOKS_BACK = {"UnderstudyTookOver": 300, "UnderstudyFalseAlarm": 3600, "UnderstudyFlaps": 3600, "UnderstudyResyncFails": 600, "UnderstudyRefused": 600,
              "UnderstudyRecorder": 600, "UnderstudyArbiter": 60, "UnderstudyLogLost": 600, "UnderstudyTableFull": 300, "UnderstudyDiverged": 900}
ENDS_S = 45  # after the end of a fault: scrapes, evaluations, the pair's way back
PORT = 9490
TOLD = {"instance", "lane", "reason", "port", "nf", "counter", "table", "protection"}


class Prometheus:
    def __init__(self, pair, directory):
        self.pair, self.directory = pair, directory
        self.process = None

    def start(self):
        file = self.directory + "/prometheus.yml"
        targets = ", ".join('"%s:9470"' % MANAGEMENT[n] for n in self.pair.nodes)
        with open(file, "w") as f:
            f.write("""global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ %s/docs/examples/alerts.yml ]
scrape_configs:
  - job_name: understudy
    static_configs: [ { targets: [%s], labels: { pair: day } } ]
""" % (self.pair.root, targets))
        self.process = self.pair.in_space(
            "fabric", "prometheus", "--config.file=" + file, "--storage.tsdb.path=" + self.directory + "/prometheus",
            "--web.listen-address=127.0.0.1:%d" % PORT, stdout=subprocess.DEVNULL, stderr=open(self.directory + "/prometheus.log", "w"))
        self.pair.wait("Prometheus", 60, lambda: self.query("count(up == 1)") == [({}, 2.0)])

    def ask(self, path, **words):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (PORT, path, urllib.parse.urlencode(words))
        with self.pair.in_space("fabric", "curl", "-s", "--max-time", "20", url, stdout=subprocess.PIPE) as curl:
            out = curl.stdout.read()
        try:
            return json.loads(out)["data"]["result"]
        except (ValueError, KeyError):
            return []

    def query(self, expression):
        return [(r["metric"], float(r["value"][1])) for r in self.ask("query", query=expression)]

    def fired(self, since, until):
        """{alert: [times at which it fired]}, in steps of a second; and {alert: its labels}."""
        times, labels = {}, {}
        step = 3600  # a query gives at most 11,000 points
        while since < until:
            for row in self.ask("query_range", query='ALERTS{alertstate="firing"}', start=since, end=min(since + step, until), step=1):
                name = row["metric"].pop("alertname")
                times.setdefault(name, []).extend(t for t, _ in row["values"])
                labels.setdefault(name, []).append(" ".join("%s=%s" % l for l in sorted(row["metric"].items()) if l[0] in TOLD))
            since += step
        return times, labels


def judge(fired, labels, windows):
    """What is missing and what is false, as lines. `windows`: of report.py, with the fault's `must` and `may`."""
    lines = []
    for fault, began, mended, _ in windows:
        for alert in sorted(fault.must):
            if not any(began <= t <= mended + ENDS_S for t in fired.get(alert, [])):
                lines.append("%s did not fire in %s, %s to %s" % (alert, fault.__name__, stamp(began), stamp(mended)))
    for alert, times in sorted(fired.items()):
        explained = [(b, m + ENDS_S + LOOKS_BACK.get(alert, 0)) for f, b, m, _ in windows if alert in f.must | f.may]
        false = [t for t in times if not any(b <= t <= e for b, e in explained)]
        if false:
            lines.append("%s (%s) fired at %s (%d s in all), and no fault explains it" % (
                alert, "; ".join(labels[alert]), stamp(min(false)), len(false)))
    return lines


def stamp(t):
    return time.strftime("%H:%M:%S", time.localtime(t))
