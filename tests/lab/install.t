#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make install` into a directory, and what is there works without the checkout, which is hidden meanwhile: an NF built by
# pkg-config, a module of the standard directory, replay, bench, a node. Each option of the program's tables is in the manual
# page and the completion, each key of a file in its page. The unit is hardened. What a supervisor hears of a node.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip_all "needs root, to hide the checkout and to stop a lane"
plan 39

need_work
place=$(mktemp -d) || exit 1
trap '[ -z "$node" ] || kill -TERM "$node" 2>/dev/null; rm -rf "$place" "$work"' EXIT
dest=$place/dest man=$place/dest/usr/share/man
program=$dest/usr/bin/understudy
san=$(case $BUILD in *-san) echo 1 ;; *) echo 0 ;; esac)

ok "make install" make -C "$root" install SAN="$san" DESTDIR="$dest" PREFIX=/usr || exit 1

# ── manual pages and completion ──────────────────────────────────────────────────────────────────

lint_pages() { # a page that is not installed on this machine is not found
    ! mandoc -Tlint "$man"/man1/understudy.1 "$man"/man5/understudy.yaml.5 2>&1 | grep -v 'referenced manual not found\|mandoc.db'
}
if command -v mandoc >/dev/null; then
    ok "mandoc has nothing to say of the pages" lint_pages
else
    skip "mandoc has nothing to say of the pages" "no mandoc"
fi
# SUBCOMMAND OPTION of each row of a table.
options() {
    local file
    while read -r file; do # of each subcommand with a table of its own
        sed -nE "s/^ *\{\"([a-z-]+)\", (0|'.'), ND_OPTION_.*/$(sed -n 's/^const struct nd_syntax .* = {"\([a-z]*\)".*/\1/p' "$file") --\1/p" "$file"
    done < <(grep -rl --include='*.c' '^const struct nd_syntax .* = {"' "$root/understudy")
    printf '%s --config\n' drill replay bench
    printf '%s -c\n' run check nfs status watch verify promote drain resync failback pin hold unpin apply push drill show set clear trace top
    printf '%s -n\n' run status watch verify promote drain resync failback pin hold unpin apply push show set clear trace top
    printf '%s -o\n' check status watch verify promote drain resync failback pin hold unpin apply push drill show set clear trace version
}
subcommands() { sed -n '/^} commands/,/^};/s/^    {"\([a-z-]*\)", .*/\1/p' "$root/understudy/main.c"; }
# Each line's last word is in the page.
in_page() { # PAGE LEAST
    local line count=0 missing=0 text
    text=$(sed -E 's/^\.It (Ic|Cm) "?([^ "]*).*/ \2 /; s/Fl ([^ ]+)/ -\1 /g' "$1")
    while read -r line; do
        count=$((count + 1))
        grep -qE -- "(^| )${line##* }( |$)" <<<"$text" || { echo "${line##* } is not in $1"; missing=1; }
    done
    [ $count -ge "$2" ] || { echo "only $count rows are found"; return 1; }
    return $missing
}
check_options() { in_page "$man/man1/understudy.1" 60 < <(options); }
check_subcommands() { in_page "$man/man1/understudy.1" 16 < <(subcommands); }
check_keys() {
    local key count=0 missing=0
    while read -r key; do
        count=$((count + 1))
        grep -qE "^\.It Cm .*(\.|\]|\")$key(\[\])?(\"|,)" "$man/man5/understudy.yaml.5" || { echo "$key is not in understudy.yaml(5)"; missing=1; }
    done < <(sed -n 's/^    {"\([a-z_]*\)", .*/\1/p' $(find "$root/understudy/config" -name '*.c' ! -name options.c) | grep -vE '^(chain|protect|redis|timing|link|interfaces|routes|neighbours|nodes|drill|probe|push|keepers)$')
    [ $count -ge 60 ] || { echo "only $count keys are found"; return 1; }
    return $missing
}
ok "each option of the program is in understudy(1)" check_options
ok "and each subcommand" check_subcommands
ok "and each key of a file in understudy.yaml(5)" check_keys
ok "the ports have their section" grep -qx '.Ss Ports' "$man/man5/understudy.yaml.5"
check_pages() {
    local page missing=0
    [ "$(grep -c '[a-z]\.md' "$man/man5/understudy.yaml.5")" -ge 10 ] || { echo "too few pages are named"; return 1; }
    for page in $(grep -oE '[a-z-]+\.md\>' "$man/man5/understudy.yaml.5" | sort -u); do
        [ -e "$dest/usr/share/doc/understudy/docs/$page" ] || { echo "$page is named and not installed"; missing=1; }
    done
    return $missing
}
ok "and the pages that it names are installed" check_pages
is "with range and default" "$(sed -n '/It Cm "protect.log_mb"/,/It/p' "$man/man5/understudy.yaml.5" | sed -n 2,3p | xargs)" \
    "Range: 1 ... 1024. Default: 16."

# shellcheck source=scripts/packaging/understudy.bash
. "$dest/usr/share/bash-completion/completions/understudy"
completes() { # WORDS…: what the last one may become
    COMP_WORDS=("$program" "$@") COMP_CWORD=$#
    _understudy
    echo "${COMPREPLY[*]}"
}
complete_all() {
    local command option missing=0
    while read -r command option; do
        [[ " $(completes "$command" "-") " == *" $option "* ]] || { echo "$command $option is not completed: $(completes "$command" "-")"; missing=1; }
    done < <(options)
    return $missing
}
ok "the completion knows each option" complete_all
is "and the subcommands" "$(completes "" | tr ' ' '\n' | grep -v '^-' | sort | xargs)" "$(subcommands | sort | xargs)"
is "and values" "$(completes replay --mode "") $(completes status -o "")" "log delta auto off json"
is "and the nodes of the file" "$(completes status -c "$root/docs/examples/pair.yaml" -n "")" "alpha beta"

# ── the unit ─────────────────────────────────────────────────────────────────────────────────────

unit=$dest/usr/lib/systemd/system/understudy@.service
if command -v systemd-analyze >/dev/null; then
    ok "systemd-analyze security: 2.5 at most" systemd-analyze security --offline=true --threshold=25 --no-pager "$unit"
    cp "$unit" "$place/understudy@.service"
    sed -i "s|/usr/bin/understudy|$program|" "$place/understudy@.service"
    is "and verify finds nothing" "$(systemd-analyze verify --man=no "$place/understudy@.service" 2>&1 | grep understudy@)" ""
    sed "s|/usr/bin/understudy|$program|" "${unit/@/-keeper@}" >"$place/understudy-keeper@.service"
    is "nor in a keeper's, which runs a keeper" "$(systemd-analyze verify --man=no "$place/understudy-keeper@.service" 2>&1 | grep keeper@) $(grep -c '^ExecStart=.* keeper -c ${PAIR} -n %i$' "$place/understudy-keeper@.service") $(grep -c '^ExecStop' "$place/understudy-keeper@.service")" " 1 0"
    agent=$dest/usr/lib/systemd/system/understudy-fleet.service
    ok "of a fleet's agent: 3 at most" systemd-analyze security --offline=true --threshold=30 --no-pager "$agent"
    sed "s|/usr/bin/understudy|$program|" "$agent" >"$place/understudy-fleet.service"
    is "and verify finds nothing" "$(systemd-analyze verify --man=no "$place/understudy-fleet.service" 2>&1 | grep understudy-fleet)" ""
else
    skip "systemd-analyze security: 2.5 at most" "no systemd"
    skip "of a fleet's agent: 3 at most" "no systemd"
    skip "and verify finds nothing" "no systemd"
    skip "and verify finds nothing" "no systemd"
    skip "nor in a keeper's, which runs a keeper" "no systemd"
fi

# ── without the checkout ─────────────────────────────────────────────────────────────────────────

python3 "$root/tests/lab/mkpcap.py" "$place/in.pcap" 2000 200 && cp "$root/docs/examples/hello/"* "$place"
sed -i 's/^  modules:.*/  modules: [ limiter.so ]/' "$place/chain.yaml"
# In /, with no checkout there: "${hidden[@]}" COMMAND…
hidden=(unshare -m bash -c 'mount --make-rprivate / && mount -t tmpfs none "$0" && cd / && exec "$@"' "$root")
away() { "${hidden[@]}" "$@"; }
ok "the checkout is hidden" away test ! -e "$root/Makefile"
export PKG_CONFIG_LIBDIR=$dest/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest
is "a module is linked against nothing" "$(pkg-config --libs understudy-nf)" ""
ok "the example NF builds by pkg-config" away make -s -C "$place" OUT="$place/dest/usr/lib/understudy"
ok "a chain finds it in the standard directory" away "$program" check -c "$place/chain.yaml"
mv "$dest/usr/lib/understudy/limiter.so" "$place/limiter.so.away"
is "or says where it was to be" "$(away "$program" check -c "$place/chain.yaml" 2>&1 | grep -c 'chain.yaml:5: chain modules entry is limiter.so (No such file')" 1
mv "$place/limiter.so.away" "$dest/usr/lib/understudy/limiter.so"
echo '#include "nflib/nf.h"
int main(void) { return nf_module_find("nat") != NULL; }' >"$place/mine.c"
build_mine() { # shellcheck disable=SC2046
    away gcc -o "$place/mine" "$place/mine.c" $(env -u PKG_CONFIG_SYSROOT_DIR pkg-config --define-variable=prefix="$dest/usr" \
        --define-variable=libdir="$dest/usr/lib" --static --cflags --libs understudy-nf) && "$place/mine"
}
if [ "$san" = 0 ]; then ok "a test program links the library" build_mine; else skip "a test program links the library" "sanitizers"; fi
if [ "$san" = 0 ]; then
    ok "an NF is begun from the installed templates" away "$program" new-nf mine "$place/new"
    ok "it passes its test with the installed harness, and replay" \
        env -u BUILD LD_LIBRARY_PATH="$dest/usr/lib/understudy-dev" "${hidden[@]}" make -C "$place/new" check UNDERSTUDY="$program"
else
    skip "an NF is begun from the installed templates" "sanitizers"
    skip "it passes its test with the installed harness, and replay" "sanitizers"
fi
is "nfs tells the module of the standard directory" "$(away "$program" nfs | sed -n 's/^limiter .* (\(.*\))$/\1/p')" "$dest/usr/lib/understudy/limiter.so"
# A command that is told of no file takes that of the service.
service() { "${hidden[@]}" bash -c 'cp -a /etc/ld.so.cache /etc/passwd "$0" && mkdir -p "$0/understudy" && cp "$1" "$0/understudy/pair.yaml" && mount --bind "$0" /etc && "${@:2}"' "$place/etc" "$@"; }
mkdir -p "$place/etc"
is "without -c the service's file is read" "$(service "$place/chain.yaml" "$program" check 2>&1 | cut -d: -f1,2)" "/etc/understudy/pair.yaml: ok"
ok "replay with a kill" away "$program" replay -c "$dest/usr/share/understudy/chains/edge.yaml" --kill primary@1000 "$place/in.pcap"
ok "bench finds its chain" away "$program" bench --compare log --flows 64 --pairs 1 --seconds 0.05 --no-latency

# ── a node and its supervisor ────────────────────────────────────────────────────────────────────

cat >"$place/pair.yaml" <<END
chain: { name: alone, modules: [ limiter.so ], nfs: [ limiter: { packets: 5, window: 60 } ] }
protect: { mode: off }
nodes:
  one: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4757", control: one.sock, mbufs: 2048, memory_mb: 128 }
  two: { role: standby, ports: { inside: net_null2, outside: net_null3 }, replication: "127.0.0.1:4758", control: two.sock }
END
cp "$root/tests/lab/supervisor.py" "$place"
says="$place/says"
"${hidden[@]}" "$place/supervisor.py" "$says" 600 "$program" run -c "$place/pair.yaml" -n one 2>"$place/log" &
node=$!
# shellcheck source=tests/lab/supervised.sh
. "$root/tests/lab/supervised.sh"
ok "a supervisor hears that the node is ready" heard READY=1
ok "its state" heard "STATUS=SOLO, view 1: .*"
ok "and that its threads go on" feeds 3
kill -USR1 $node
ok "a lane hangs" heard "thread stopped"
is "and the watchdog is fed no more, for three times its time" "$(sleep 1.8; fed_since "thread stopped")" 0
kill -USR2 $node
ok "it goes on, and so is the watchdog" feeds 3
kill -TERM $node
wait $node
node=
is "SIGTERM: it says that it stops, and ends well" "$(tail -n 2 "$says" | xargs)" "STOPPING=1 ended 0"

# ── removal ──────────────────────────────────────────────────────────────────────────────────────

ok "make uninstall" make -C "$root" uninstall SAN="$san" DESTDIR="$dest" PREFIX=/usr
is "leaves a module of somebody else's, and nothing" "$(find "$dest" ! -type d)" "$dest/usr/lib/understudy/limiter.so"
ok "and may be said again" make -C "$root" uninstall SAN="$san" DESTDIR="$dest" PREFIX=/usr
