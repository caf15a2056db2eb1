#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A drill by root against control sockets of another user, who answers what he likes: it signals only who listens there
# and runs the drill's program, and starts only that program with the drill's own file.
. "$(dirname "$0")/../lib.sh"
plan 24

[ "$(id -u)" = 0 ] || skip_all "needs root, whose drills these are"
command -v python3 >/dev/null || skip_all "python3 is not installed"
dir=$(mktemp -d) || exit 1
started=() roots=
end_all() {
    kill -KILL "${started[@]}" $(cat "$dir/theirs/pids")
    started=()
}
finish() {
    end_all 2>/dev/null
    [ -z "$roots" ] || kill -KILL "$roots" 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM
chmod 755 "$dir"
mkdir "$dir/pair" "$dir/theirs"
chown nobody "$dir/theirs"
cat >"$dir/pair/pair.yaml" <<END
chain: { name: edge, nfs: [ monitor: {} ] }
link: { insecure: true }
nodes:
  a: { role: primary, ports: { inside: "net_null0,no-rx=1", outside: "net_null1,no-rx=1" }, replication: "127.0.0.1:4741", control: $dir/theirs/a.sock, state: $dir/pair/a, mbufs: 2048, memory_mb: 128 }
  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4742", control: $dir/theirs/b.sock, state: $dir/pair/b }
END
sed "s|$dir/theirs/|$dir/theirs/silent-|" "$dir/pair/pair.yaml" >"$dir/theirs/other.yaml"

# An impostor of user nobody; its pid in $impostor.
impostor() { # HOW [PID]
    local i
    end_all 2>/dev/null
    rm -f "$dir/out" "$dir/theirs/"{pid,pids,ran,a.sock,b.sock,silent-a.sock}
    python3 "$root/tests/lab/impostor.py" "$dir/theirs" "$@" 7<"$UNDERSTUDY" </dev/null >>"$dir/out" 2>&1 &
    impostor=$!
    disown
    started+=("$impostor")
    for ((i = 0; i < 100; i++)); do
        [ -s "$dir/theirs/pid" ] && break
        sleep 0.05
    done
    if grep -q "no user namespaces" "$dir/out"; then
        skip "$1: an impostor listens" "no user namespaces for nobody"
        return 1
    fi
    is "$1: an impostor listens" "$(cat "$dir/theirs/pid" 2>&1)" "$impostor"
}
# Root's drill; from a directory with the file in it.
refused() { # KIND
    (cd "$dir/pair" && timeout 60 "$UNDERSTUDY" drill -c pair.yaml "$1" >"$work.out" 2>"$work.err")
    echo $?
}
check_refused() { # KIND WORDS…
    is "$1 is refused as for want of permission" "$(refused "$1")" 77
    ok "in one line that says why" sh -c "[ \$(wc -l <'$work.err') = 1 ] && grep -q '$2' '$work.err' || { cat '$work.err'; false; }"
    is "the impostor is alive" "$(awk '/^State/ { print $2 != "Z" && $2 != "T" }' "/proc/$impostor/status" 2>/dev/null)" 1
    is "nothing of it was started again" "$(cat "$dir/theirs/ran")" once
}

sleep 100 &
roots=$!
disown
impostor other "$roots"
check_refused kill "process $impostor listens at the control socket and says that it is process $roots"
ok "the process that it named is alive" kill -0 "$roots"

impostor own
check_refused kill "process $impostor at the control socket does not run the drill.s program"

impostor program "$roots"
check_refused server-loss "process $roots, its guardian by its word, is no child of it"

if impostor elsewhere 0; then
    check_refused kill "process $impostor is in a namespace of another user namespace"
else
    for i in 1 2 3 4; do skip "a drill into another user namespace" "no user namespaces for nobody"; done
fi

# Who runs the program at the socket is killed, as a node would be. What is started then says by its first line which
# file it has: that of the impostor's process names other sockets. The node may not write in that directory, which is another user's.
impostor program 0
(cd "$dir/pair" && exec timeout -s KILL 60 "$UNDERSTUDY" drill -c pair.yaml kill >"$work.out" 2>"$work.err") &
drill=$!
disown
started+=("$drill")
ends=$((SECONDS + 20))
until grep -q . "$dir/out" || [ $SECONDS -ge $ends ]; do sleep 0.1; done
is "what is started instead is a node with the drill's own file" "$(cat "$dir/out")" \
    "understudy: $dir/theirs: Permission denied"
is "and nothing of the impostor" "$(cat "$dir/theirs/ran")" once
rm -f "$work.out" "$work.err"
