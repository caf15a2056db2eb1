#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whose files are believed: a module, a pair or chain file, and what leads to them, that belong to somebody else or that
# others may write to, are refused in one line by every subcommand that reads them, and nothing of them runs. And what
# a node is started with: descriptors and environment. As root, with modules that leave a mark when they are loaded.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP not root"; exit 0; }
chmod 755 "$dir"
own=$dir/own other=$dir/other
mkdir "$own" "$other" "$own/sub"

cat >"$dir/m.c" <<END
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
extern char **environ;
__attribute__((constructor)) static void mark(void)
{
    FILE *f = fopen("$dir/mark", "ae");
    char path[32], to[256];
    for (char **e = environ; *e; e++)
        fprintf(f, "has %s\n", *e);
    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, to, sizeof(to));
        if (n > 0)
            fprintf(f, "open %.*s\n", (int)n, to);
    }
    fclose(f);
}
END
gcc -shared -fPIC -o "$dir/m.so" "$dir/m.c" || exit 1

# A pair whose chain stands in this file, with a module at this path.
# A node that is somebody else has state and socket where he may write.
pair() { # FILE MODULE [USER]
    local at=$dir${3:+/run}
    cat >"$1" <<END
$(chain_with "$2")
protect: { mode: off }
interfaces: [ { name: in, side: inside, address: 10.0.0.1/24 }, { name: out, side: outside, address: 203.0.113.1/24 } ]
link: { insecure: true }
nodes:
  a: { role: primary, replication: 127.0.0.1:17911, ports: { in: net_null0, out: net_null1 }, control: $at/a.sock, state: $at/state${3:+, user: $3} }
  b: { role: standby, replication: 127.0.0.2:17912, ports: { in: net_null0, out: net_null1 }, control: $at/b.sock, state: $at/state }
END
}
chain_with() { echo "chain: { name: m, modules: [ $1 ], nfs: [ monitor: { max_flows: 1024 } ] }"; }
says_one_line() { [ "$(grep -vc '^$' "$dir/out")" = 1 ] && grep -qE -- "$1" "$dir/out"; }

# No mark, and one line that matches.
refused() { # DESCRIPTION PATTERN COMMAND...
    local what=$1 pattern=$2 code
    shift 2
    rm -f "$dir/mark"
    timeout 60 "$understudy" "$@" </dev/null >"$dir/out" 2>&1
    code=$?
    [ "$code" -ge 64 ] && [ "$code" -lt 100 ] && [ ! -e "$dir/mark" ] && says_one_line "$pattern"
    ok "$what" $? "exit $code, mark: $(ls "$dir/mark" 2>/dev/null), $(head -c 600 "$dir/out")"
}
accepted() { # DESCRIPTION FILE
    rm -f "$dir/mark"
    "$understudy" check -c "$2" >"$dir/out" 2>&1 && [ -e "$dir/mark" ]
    ok "$1" $? "$(head -c 600 "$dir/out")"
}

cp "$dir/m.so" "$own/m.so"
pair "$own/pair.yaml" m.so
accepted "a module of root's in a directory of root's, below /tmp, is loaded" "$own/pair.yaml"

# ---- a module ------------------------------------------------------------------------------------------------------

cp "$dir/m.so" "$own/theirs.so"
chown 65534 "$own/theirs.so"
chmod 777 "$own/theirs.so"
pair "$own/theirs.yaml" theirs.so
line="theirs.yaml:1: .*/own/theirs.so: owner 65534, mode 0777, expected owner root, and nobody else may write"
for command in run check status "show counters" top watch verify apply nfs "bench --seconds 1" "drill kill" "replay $pcaps/none.pcap" trace; do
    # shellcheck disable=SC2086 # words
    set -- $command
    refused "a module of another user's, by $1" "$line" "$1" -c "$own/theirs.yaml" "${@:2}"
done
chown 0 "$own/theirs.so"
refused "a module of root's that all may write to" "theirs.so: owner 0, mode 0777" check -c "$own/theirs.yaml"
chmod 775 "$own/theirs.so"
refused "a module of root's that a group may write to" "theirs.so: owner 0, mode 0775" check -c "$own/theirs.yaml"
chmod 755 "$own/theirs.so"
accepted "the same once that is mended" "$own/theirs.yaml"

# ---- what leads to it ----------------------------------------------------------------------------------------------

cp "$dir/m.so" "$other/m.so"
pair "$own/above.yaml" ../other/m.so
accepted "a module in another directory" "$own/above.yaml"
chmod 777 "$other"
refused "a directory that all may write to" "/other: owner 0, mode 0777, expected owner root, .*leads to" check -c "$own/above.yaml"
chmod 1777 "$other"
accepted "with the sticky bit, as /tmp, it is none in which others exchange root's" "$own/above.yaml"
chown 65534 "$other/m.so"
refused "but what belongs to others there does" "/other/m.so: owner 65534, mode 0755" check -c "$own/above.yaml"
chown 0 "$other/m.so"
chown 65534 "$other"
chmod 755 "$other"
refused "a directory of another user's" "/other: owner 65534, mode 0755" check -c "$own/above.yaml"
chmod 1777 "$other"
refused "with the sticky bit, too: it is his to exchange what lies there" "/other: owner 65534, mode 1777" check -c "$own/above.yaml"
chown 0 "$other"
ln -s "$own/m.so" "$other/link.so"
pair "$own/link.yaml" "$other/link.so"
accepted "a link of root's in a sticky directory" "$own/link.yaml"
chown -h 65534 "$other/link.so"
# Where the kernel protects symbolic links (fs.protected_symlinks, as systemd sets it) it refuses this one itself.
refused "a link of another user's" "/other/link.so(: owner 65534, mode 0777| [(]Permission denied[)])" check -c "$own/link.yaml"
rm "$other/link.so"
ln -s "$other/loop.so" "$other/loop.so"
pair "$own/loop.yaml" "$other/loop.so"
refused "a link to itself" "loop.yaml:1: .*Too many levels" check -c "$own/loop.yaml"
chmod 755 "$other"

# ---- the pair file, and the chain file ----------------------------------------------------------------------------

beside=$(realpath --relative-to=. "$own/pair.yaml")
for mode in 777 664; do
    chmod $mode "$own/pair.yaml"
    refused "a pair file of mode $mode" "^(understudy [a-z]+: )?.*/own/pair.yaml: owner 0, mode 0$mode" status -c "$own/pair.yaml"
done
chmod 644 "$own/pair.yaml"
chown 65534 "$own/pair.yaml"
refused "a pair file of another user's" "/own/pair.yaml: owner 65534, mode 0644" status -c "$own/pair.yaml"
refused "by its name alone, too" "/own/pair.yaml: owner 65534" status -c "$beside"
chown 0 "$own/pair.yaml"
chmod 777 "$own"
refused "and what the directory is in" "/own: owner 0, mode 0777" status -c "$beside"
chmod 755 "$own"

chain_with "$own/m.so" >"$own/sub/chain.yaml"
sed '1s|.*|chain: { file: sub/chain.yaml }|' "$own/pair.yaml" >"$own/refers.yaml"
accepted "a chain file of its own" "$own/refers.yaml"
chown -R 65534 "$own/sub"
refused "of another user's" "/own/sub: owner 65534, mode 0755.*leads to" check -c "$own/refers.yaml"
chmod 755 "$dir"
install -d -o 65534 "$dir/run"
pair "$own/user.yaml" m.so nobody
sed -i '1s|.*|chain: { file: sub/chain.yaml }|' "$own/user.yaml"
accepted "of the user whom the pair file gives its nodes" "$own/user.yaml"
chmod 666 "$own/sub/chain.yaml"
refused "which nobody else may write to" "/own/sub/chain.yaml: owner 65534, mode 0666" check -c "$own/user.yaml"
chmod 644 "$own/sub/chain.yaml"
cp "$dir/m.so" "$own/sub/m.so"
chown 65534 "$own/sub/m.so"
chain_with m.so >"$own/sub/chain.yaml"
refused "a module of that user's is not for root" "chain.yaml:1: .*/own/sub: owner 65534" status -c "$own/user.yaml"
chown root "$own/user.yaml"
rm -f "$dir/mark"
touch "$dir/mark" && chmod 666 "$dir/mark"
setpriv --reuid=65534 --regid=65534 --clear-groups "$understudy" check -c "$own/user.yaml" >"$dir/out" 2>&1
ok "but is for the user itself" $? "$(cat "$dir/out")"

# ---- files of rules -------------------------------------------------------------------------------------------------------

# A pair whose chain reads these rules.
rules_pair() { # FILE RULES [USER]
    pair "$1" m.so "${@:3}"
    sed -i "1s|.*|chain: { name: m, nfs: [ firewall: { rules: $2, max_flows: 1024 } ] }|" "$1"
}
echo "default allow" >"$own/fw.rules"
rules_pair "$own/rules.yaml" fw.rules
ok "rules of root's in a directory of root's are read" "$("$understudy" check -c "$own/rules.yaml" >"$dir/out" 2>&1; echo $?)" "$(cat "$dir/out")"
chmod 666 "$own/fw.rules"
line="rules.yaml:1: .*own/fw.rules: owner 0, mode 0666, expected owner root, and nobody else may write"
for command in run check "bench --seconds 1" "replay $pcaps/none.pcap"; do
    # shellcheck disable=SC2086 # words
    set -- $command
    refused "rules that all may write to, by $1" "$line" "$1" -c "$own/rules.yaml" "${@:2}"
done
chmod 644 "$own/fw.rules"
chown 65534 "$own/fw.rules"
refused "rules of another user's" "own/fw.rules: owner 65534, mode 0644" check -c "$own/rules.yaml"
rules_pair "$own/rules.yaml" fw.rules nobody
ok "of the user whom the pair file gives its nodes" "$("$understudy" check -c "$own/rules.yaml" >"$dir/out" 2>&1; echo $?)" "$(cat "$dir/out")"
chown 0 "$own/fw.rules"
rules_pair "$own/runs.yaml" fw.rules
"$understudy" run -c "$own/runs.yaml" -n a </dev/null >"$dir/log" 2>&1 &
node=$!
for _ in {1..100}; do "$understudy" status -c "$own/runs.yaml" 2>&1 | grep -q SOLO && break; sleep 0.1; done
chmod 666 "$own/fw.rules"
line=${line/rules.yaml/runs.yaml}
timeout 60 "$understudy" apply -c "$own/runs.yaml" >"$dir/out" 2>&1
[ $? != 0 ] && grep -qE -- "$line.*; the chain is as it was" "$dir/out"
ok "by a node that is to apply them" $? "$(cat "$dir/out")"
timeout 60 "$understudy" status -c "$own/runs.yaml" >"$dir/out" 2>&1
grep -q SOLO "$dir/out" && grep -qE -- "$line.*the running nodes are asked all the same" "$dir/out"
ok "which goes on, and says its status" $? "$(cat "$dir/out")"
kill $node && wait $node
chmod 644 "$own/fw.rules"
cp "$own/fw.rules" "$other/fw.rules"
chmod 777 "$other"
rules_pair "$own/rules.yaml" ../other/fw.rules
refused "rules in a directory that all may write to" "/other: owner 0, mode 0777, .*leads to.*fw.rules" check -c "$own/rules.yaml"
chmod 1777 "$other"
ok "with the sticky bit they are root's own" "$("$understudy" check -c "$own/rules.yaml" >"$dir/out" 2>&1; echo $?)" "$(cat "$dir/out")"
chmod 755 "$other"

# ---- programs that a node starts ----------------------------------------------------------------------------------------

# A pair whose first node has this in its list.
program_pair() { # FILE LIST
    pair "$1" "$own/m.so"
    sed -i "s|role: primary,|role: primary, $2,|" "$1"
}
printf '#!/bin/sh\nexit 0\n' >"$own/program"
for list in "hooks: [ { command: program } ]" "track: [ { script: program } ]"; do
    what=${list%%:*}
    chmod 757 "$own/program"
    program_pair "$own/$what.yaml" "$list"
    sed -i '1s|.*|chain: { name: m, nfs: [ monitor: { max_flows: 1024 } ] }|' "$own/$what.yaml"
    refused "a program of $what that all may write to" "/own/program: owner 0, mode 0757, expected owner root, and nobody else may write" \
        run -c "$own/$what.yaml" -n a
    refused "which a check says before" "/own/program: owner 0, mode 0757, expected owner root" check -c "$own/$what.yaml"
    chmod 644 "$own/program"
    "$understudy" check -c "$own/$what.yaml" >"$dir/out" 2>&1
    grep -q "warning: node a: .*/own/program: Permission denied, expected a program" "$dir/out"
    ok "check warns of one that cannot be run" $? "$(cat "$dir/out")"
    chown 65534 "$own/program"
    chmod 755 "$own/program"
    sed "s|role: primary,|role: primary, user: nobody,|; s|role: standby,|role: standby, user: nobody,|" "$own/$what.yaml" >"$own/$what-user.yaml"
    "$understudy" check -c "$own/$what-user.yaml" >"$dir/out" 2>&1
    ! grep -q program "$dir/out"
    ok "and not of the user's own whom the node becomes" $? "$(cat "$dir/out")"
    chown 0 "$own/program"
done

# By whom may not write there, in a directory that the file does not name.
program=$(realpath "$understudy")
sed "1s|.*|chain: { name: m, nfs: [ monitor: { max_flows: 1024 } ] }|; s|$dir/a.sock|a.sock|" "$own/pair.yaml" >"$own/beside.yaml"
(cd "$own" && timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "$program" check --try -n a -c beside.yaml </dev/null) >"$dir/out" 2>&1
grep -qx "beside.yaml: try: node a: control socket: $(realpath "$own"): Permission denied" "$dir/out"
ok "--try says which directory a control socket cannot be made in" $? "$(cat "$dir/out")"

# ---- what a node inherits ---------------------------------------------------------------------------------------------

echo secret >"$dir/secret"
mkdir -p "$dir/state"
pair "$own/node.yaml" m.so
rm -f "$dir/mark"
SECRET=1 LD_BIND_NOW=1 TZ=UTC timeout 60 "$understudy" run -c "$own/node.yaml" -n nobody 9<"$dir/secret" </dev/null >"$dir/out" 2>&1
grep -q '^has TZ=UTC' "$dir/mark"
ok "a node's environment has what it reads" $? "$(cat "$dir/out" "$dir/mark")"
! grep -qE '^has (SECRET|LD_BIND_NOW|TMPDIR)=' "$dir/mark"
ok "and nothing else of who started it" $? "$(cat "$dir/mark")"
! grep -q "^open $dir/secret" "$dir/mark"
ok "none of his files is open" $? "$(cat "$dir/mark")"
echo "1..$tests"
