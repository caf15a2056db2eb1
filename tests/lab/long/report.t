#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pages of drill --report and bench --report, rendered by Chromium in a wide and in a narrow window: what they show is what
# the same run printed as JSON, drawn to scale, no text lies on another, and nothing is loaded and nothing runs but the
# page's own script, which draws under the page's own policy.
. "$(dirname "$0")/../lib.sh"
need_lab
for tool in chromium python3; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
plan 36

# Appended to a copy of a page without its policy: what the browser made of it, as JSON in an element of its own.
cat >"$work/look.html" <<'END'
<script>
{
const number = (e, name) => parseFloat(e.getAttribute(name));
const drawings = [...document.querySelectorAll("svg")].map(svg => {
    const size = svg.viewBox.baseVal, texts = [...svg.querySelectorAll("text")], overlaps = [];
    const boxes = texts.map(t => t.getBBox());
    const outside = texts.filter((t, i) => boxes[i].x < 0 || boxes[i].x + boxes[i].width > size.width ||
        boxes[i].y < 0 || boxes[i].y + boxes[i].height > size.height).map(t => t.textContent);
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, k) => {
        if (a.x < b.x + b.width && b.x < a.x + a.width && a.y + 1 < b.y + b.height && b.y + 1 < a.y + a.height)
            overlaps.push(texts[i].textContent + " / " + texts[i + 1 + k].textContent);
    }));
    const axis = [...svg.querySelectorAll(".axis text")].map(t => ({x: number(t, "x"), value: parseFloat(t.textContent)}));
    const first = axis[0], last = axis[axis.length - 1], unit = (last.x - first.x) / (last.value - first.value);
    const bars = [...svg.querySelectorAll("rect")].map(r => {
        const from = number(r, "data-from"), to = number(r, "data-to"), x = number(r, "x"), width = number(r, "width");
        return {kind: r.className.baseVal, from, to, wrong: Math.max(Math.abs(first.x + (from - first.value) * unit - x),
            Math.abs(Math.max((to - from) * unit, 0.5) - width))};
    });
    const done = texts.find(t => t.textContent === "kill"), zero = done && Math.abs(first.x - first.value * unit - number(done, "x"));
    return {what: svg.getAttribute("aria-label"), outside, zero, overlaps, axis: axis.map(a => a.value), bars,
        words: texts.map(t => t.textContent),
        ticks: [...svg.querySelectorAll("path[data-count]")].map(p => ({kind: p.className.baseVal, count: number(p, "data-count")}))};
});
const facts = {
    title: document.title,
    text: document.body.innerText,
    active: document.querySelectorAll("script,img,iframe,object,embed,link,[src],[href],[onload],[onerror]").length - 3, // the report, what draws it, this
    rows: [...document.querySelectorAll("tr")].map(tr => Object.fromEntries([["name", tr.cells[0] ? tr.cells[0].textContent : ""],
        ...[...tr.querySelectorAll("[data-key]")].map(td => [td.dataset.key, td.textContent])])),
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    drawings,
};
const out = document.createElement("pre");
out.id = "facts";
out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(facts))));
document.body.appendChild(out);
}
</script>
END
browse() { # PAGE OUT WIDTH: what it looks like, to OUT
    grep -v '^<meta http-equiv="Content-Security-Policy"' "$1" >"$work/copy.html"
    cat "$work/look.html" >>"$work/copy.html"
    timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" --window-size="$3",1200 \
        --dump-dom "file://$work/copy.html" 2>"$work/browser.err" | sed -n 's/.*<pre id="facts">\([^<]*\)<.*/\1/p' |
        base64 -d >"$2"
    [ -s "$2" ] || { tail -5 "$work/browser.err"; return 1; }
}
seen() { jq -r "$1" "$work/facts"; }
holds() { # JQ…: over the facts as input, the JSON of the run as $run
    [ "$(jq --slurpfile all "$work/drill.json" "\$all[0] as \$run | $1" "$work/facts")" = true ] || { echo "not true: $1"; jq -c .runs "$work/drill.json"; return 1; }
}
near='def near($a; $b): ($a - $b) | fabs < 0.001; def drawing($what): .drawings[] | select(.what == $what);'
tidy() { # PAGE: in both widths
    local width
    ok "$1 is drawn under its own policy" sh -c "timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir='$work/browser' \
        --dump-dom 'file://$work/$1.html' 2>'$work/browser.err' | grep -q '<svg viewBox'"
    for width in 1200 420; do
        ok "$1 is rendered, $width wide" browse "$work/$1.html" "$work/facts" $width
        is "no text of a drawing lies on another or outside" "$(seen '[.drawings[] | .overlaps + .outside] | add | join(", ")')" ""
        is "the page is not wider than the window" "$(seen .wider)" 0
    done
    is "nothing is loaded, and nothing runs but the page's script" "$(seen .active)" 0
    is "what is drawn is where its axis says" "$(seen '[.drawings[].bars[].wrong] | max < 1')" true
    is "what was done is told at zero" "$(seen '[.drawings[] | select(.zero) | .zero < 0.11] | all')" true
}

ok "the pair is PROTECTED" "$lab" up || exit 1

# ── drills ───────────────────────────────────────────────────────────────────────────────────────

ok "kills, with a page" drill kill --repeat 2 --report "$work/kill.html"
tidy kill
ok "the tables have the figures of the JSON" holds "$near"'[.rows[] | select(.detect_ms and (.name | test("^[0-9]")))] as $rows |
    ($rows | length) == 2 and ([range(2) as $i | ["detect_ms", "replay_ms", "first_packet_ms", "outage_ms", "flow_silence_ms",
    "flow_worst_ms", "resync_silence_ms", "protected_ms"][] as $key |
    ($rows[$i][$key] | tonumber) - $run.runs[$i][$key] | fabs <= 0.0501] | all) and
    ([range(2) as $i | ["held", "lost", "duplicated", "tail_emitted"][] as $key |
    ($rows[$i][$key] | tonumber) == $run.runs[$i][$key]] | all)'
ok "detection, replay, first packet and outage are drawn as long as they were" holds "$near"'
    [drawing("The takeover")] as $d | [range(2) as $i | $run.runs[$i] as $r | $d[$i].bars |
    near(.[0].to; $r.detect_ms) and .[0].from == 0 and any(.[]; .kind == "one" and near(.to - .from; $r.replay_ms)) and
    any(.[]; .kind == "good" and near(.from; $r.detect_ms) and near(.to - .from; $r.first_packet_ms)) and
    any(.[]; .kind == "gap" and near(.to - .from; $r.outage_ms))] | all and length == 2'
ok "the longest silence of a TCP flow is drawn" holds "$near"'[drawing("TCP flows of the probe")] as $d | [range(2) as $i |
    $d[$i].bars | length == 8 and near([.[] | .to - .from] | max; $run.runs[$i].flow_worst_ms)] | all'
ok "the whole run has all datagrams, and those that were lost" holds '[.drawings[] | select(.what == "The whole run")] as $d |
    [range(2) as $i | $run.runs[$i] as $r | ([$d[$i].ticks[] | select(.kind == "lost") | .count] == [$r.lost]) and
    $d[$i].ticks[0].count == $r.sent - $r.lost] | all'
ok "it says how it went, and with what" holds '.text | contains("2 runs, all as it should be.") and contains("the death notice") and
    contains("Linux") and contains("understudy") and contains("sealed by a key") and test("20[0-9-]+ [0-9:]+ [+-][0-9]{4}")'
ok "no key and no key's name is in it" sh -c "! grep -aqF -e pair.key -e '$(head -c 24 "$LAB_DIR/pair.key" | tr -dc '[:alnum:]+/=')' '$work/kill.html'"

# ── bench ────────────────────────────────────────────────────────────────────────────────────────

hostile=$work/'<img src=x onerror=document.title=1>.yaml'
cp "$root/nfs/chains/forward.yaml" "$hostile"
ok "a bench with a page" sh -c "timeout 300 '$UNDERSTUDY' bench -c '$hostile' --compare off,log,log:warm --flows 64 --pairs 2 --seconds 0.1 \
    --takeovers 2 -o json --report '$work/bench.html' >'$work/drill.json' 2>'$work/bench.err'"
tidy bench
ok "the chain's path is text" holds '(.text | contains("<img src=x onerror=document.title=1>.yaml")) and .title == "Bench of the chain forward"'
ok "rates are bars from 0" holds "$near"'[drawing("Packets through the chain at saturation")][0] | .axis[0] == 0 and
    ([.bars[] | .from == 0] | all) and ([range(3) as $i | near(.bars[$i].to; $run.runs[$i].mpps)] | all)'
ok "and so are latencies, of off and of the protection, at each load" holds "$near"'
    def us($of): [$run.runs[1:][].latency[] | .off_us[$of], .us[$of]];
    def bars($what): [drawing($what)][0] | .unit = (if (.words | any(endswith(" ms"))) then 1000 else 1 end) | . as $d | [.bars[].to * $d.unit];
    [["Latency, median", "p50"], ["Latency, 99th percentile", "p99"]] as $both | . as $facts | [$both[] | . as $one |
    ($facts | bars($one[0])) as $bars | us($one[1]) as $us | ($bars | length) == 16 and
    ([range(16) as $i | ($bars[$i] - $us[$i]) | fabs < 0.2] | all)] | all'
ok "takeovers: median, 90th percentile, worst" holds "$near"'[.drawings[] | select(.what | startswith("Takeovers"))][0].bars as $bars |
    [range(2) as $i | $run.runs[$i + 1] | near($bars[$i * 3].to; .takeover_ms) and near($bars[$i * 3 + 1].to; .takeover_p90_ms) and
    near($bars[$i * 3 + 2].to; .takeover_worst_ms)] | all'
ok "the tables have the figures" holds '[.rows[] | select(.mpps and .ns)] as $rows | [range(3) as $i |
    (($rows[$i].mpps | tonumber) - $run.runs[$i].mpps | fabs <= 0.000501) and $rows[$i].name == $run.runs[$i].protection] | all'

# ── refusals ─────────────────────────────────────────────────────────────────────────────────────

echo "of other use" >"$work/other.html"
refuses() { # a drill that begins nothing
    "$UNDERSTUDY" drill -c "$pair" kill --report "$1" 2>"$work/err"
    [ $? = 64 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q 'expected a report to replace' "$work/err"
}
ok "another file is not replaced, and nothing is hurt" refuses "$work/other.html"
is "and is as it was" "$(cat "$work/other.html")" "of other use"
