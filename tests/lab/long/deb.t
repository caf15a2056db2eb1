#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make deb`, which leaves nothing in the tree; its packages in a bare Debian 12 of their own: installed with what they
# depend on, a pair started as the unit starts it and watched as systemd would, upgraded under it, removed and purged.
# Needs root, debootstrap and a Debian mirror.
. "$(dirname "$0")/../lib.sh"
need_lab
for tool in debootstrap lintian dh python3 setpriv; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
curl -sfo /dev/null --max-time 20 "$mirror/dists/bookworm/Release" || skip_all "no Debian mirror at $mirror"
plan 31

place=$(mktemp -d) || exit 1
debian=$place/debian nodes=() says=
finish() {
    [ ${#nodes[@]} = 0 ] || kill -TERM "${nodes[@]}" 2>/dev/null
    wait
    ip netns del "ut-$test_name-d" 2>/dev/null
    rm -rf --one-file-system "$place" "$work"
}
trap finish EXIT
# shellcheck source=tests/lab/supervised.sh
. "$root/tests/lab/supervised.sh"

# ── the packages ─────────────────────────────────────────────────────────────────────────────────

tree() { git -C "$root" status --porcelain --ignored; }
before=$(tree)
ok "make deb, and lintian has nothing to say" make -C "$root" deb || exit 1
is "the tree is as it was" "$(tree)" "$before"
packages=$root/build/deb
version=$(dpkg-deb -f "$packages"/understudy_*.deb Version)
cp "$packages"/understudy_*.deb "$place/old.deb" && cp "$packages"/understudy-dev_*.deb "$place/dev.deb"
# The same as a later version.
newer() { # NAME
    dpkg-deb -R "$place/$1.deb" "$place/$1" && sed -i "s/$version/$version+next/" "$place/$1/DEBIAN/control" &&
        dpkg-deb --root-owner-group -b "$place/$1" "$place/$1-next.deb"
}
ok "a later version of both" eval "newer old && newer dev"

# ── a clean root ─────────────────────────────────────────────────────────────────────────────────

in_debian() { # COMMAND…: mounts of its own, which end with it
    unshare -m bash -c 'mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
        mount --rbind /sys "$0/sys" && exec chroot "$0" "$@"' "$debian" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}
ok "debootstrap" debootstrap --variant=minbase bookworm "$debian" "$mirror" || exit 1
printf '#!/bin/sh\nexit 101\n' >"$debian/usr/sbin/policy-rc.d" && chmod +x "$debian/usr/sbin/policy-rc.d"
packages_of() { in_debian dpkg-query -W -f '${Package}\n' | sort; }
files_of() { (cd "$debian" && find . -xdev -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -path ./tmp -prune -o -path ./run -prune -o -print) |
    grep -vE '^\./var/(log|cache|lib/(dpkg|apt|systemd))|^\./etc/ld.so.cache|~$|/etc/(passwd|group|g?shadow|subuid|subgid)-$'; }
files_of | sort >"$place/files"
packages_of >"$place/packages"
mv "$place"/*.deb "$debian/tmp"
install_debs() { in_debian apt-get install -q -y --no-install-recommends "$@"; }
ok "apt installs understudy and what it needs" install_debs /tmp/old.deb || exit 1
is "the program is there" "$(in_debian understudy --version | head -n 1)" "understudy ${version%%[-+]*}"
is "no node was started" "$(find /proc/[0-9]*/root -maxdepth 0 -lname "$debian" 2>/dev/null)" ""
is "/etc/understudy is for root and the nodes" "$(in_debian stat -c '%U:%G %a' /etc/understudy)" "root:understudy 2750"
in_debian sh -c 'umask 027; echo >/etc/understudy/copied'
is "and what root puts there can be read by them" "$(in_debian stat -c '%U:%G %a' /etc/understudy/copied)" "root:understudy 640"
ok "its bench runs" in_debian understudy bench --compare log --flows 64 --pairs 1 --seconds 0.05 --no-latency

# ── a pair, as the unit starts it ────────────────────────────────────────────────────────────────

ns=ut-$test_name-d
ip netns add "$ns" && ip -n "$ns" link set lo up
# Ports of one number are cabled to each other: the nodes hear that they could carry the same traffic.
for i in 0 1; do
    ip -n "$ns" link add "p$i" type veth peer name "p$((i + 2))"
    ip -n "$ns" link set "p$i" up
    ip -n "$ns" link set "p$((i + 2))" up
done
cat >"$debian/etc/understudy/pair.yaml" <<END
chain: { name: clean, nfs: [ monitor ] }
timing: { detect_ms: 500 }
link: { key: pair.key }
nodes:
  alpha: { role: primary, ports: { inside: "net_af_packet0,iface=p0", outside: "net_af_packet1,iface=p1" }, replication: "127.0.0.1:4721", control: /run/understudy/alpha.sock, state: /var/lib/understudy, mbufs: 4096, memory_mb: 128 }
  beta: { role: standby, ports: { inside: "net_af_packet0,iface=p2", outside: "net_af_packet1,iface=p3" }, replication: "127.0.0.1:4722", control: /run/understudy/beta.sock, state: /var/lib/understudy, mbufs: 4096, memory_mb: 128 }
END
in_debian understudy key /etc/understudy/pair.key
in_debian chown understudy /etc/understudy/pair.key
unit=$debian/lib/systemd/system/understudy@.service
of_unit() { sed -n "s/^$1=//p" "$unit" | head -n 1; }
exec_start() { of_unit ExecStart | sed "s|\${PAIR}|$(of_unit Environment | sed 's/^PAIR=//')|; s|%i|$1|"; } # NODE
is "the unit starts" "$(exec_start alpha)" "/usr/bin/understudy run -c /etc/understudy/pair.yaml -n alpha"
caps=$(of_unit AmbientCapabilities | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
in_debian install -d -o understudy -g understudy /run/understudy /var/lib/understudy
start() { # NODE: with the unit's user, capabilities, times and file limits
    # shellcheck disable=SC2046
    in_ns=(ip netns exec "$ns" unshare -m bash -c 'mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
        mount --rbind /sys "$0/sys" && exec "$@"' "$debian")
    "${in_ns[@]}" "$root/tests/lab/supervisor.py" "$place/$1.says" 1000 chroot "$debian" setpriv \
        --reuid understudy --regid understudy --init-groups --no-new-privs --bounding-set "-all,$caps" \
        --inh-caps "$caps" --ambient-caps "$caps" $(exec_start "$1") 2>"$place/$1.log" &
    nodes+=($!)
}
start alpha
start beta
says=$place/alpha.says
ok "alpha is ready" heard READY=1 || { diag "$(tail -n 5 "$place"/*.log)"; exit 1; }
ok "and PROTECTED" heard "STATUS=PROTECTED, .*" || { diag "$(tail -n 5 "$place"/*.log)"; exit 1; }
pid=$(sed -n 's/^pid //p' "$says")
is "as its own user, without a capability" "$(awk '/^Uid:/ { u = $2 } /^Cap(Prm|Eff|Amb)/ { c = c + ($2 !~ /^0+$/) } END { print u, c + 0 }' "/proc/$pid/status")" \
    "$(in_debian id -u understudy) 0"
ok "the watchdog is fed" feeds 3
kill -USR1 "${nodes[0]}"
ok "a lane hangs" heard "thread stopped"
is "and it is fed no more" "$(sleep 3; fed_since "thread stopped")" 0
kill -USR2 "${nodes[0]}"
ok "the lane goes on, and so is the watchdog" feeds 3
says=$place/beta.says
ok "beta's is fed, too" feeds 3
cp "$debian/etc/understudy/pair.yaml" "$debian/tmp"
ok "status says PROTECTED, to any user" in_debian setpriv --reuid nobody --regid nogroup --clear-groups understudy status -c /tmp/pair.yaml

# ── upgrade, removal, purge ──────────────────────────────────────────────────────────────────────

ok "the upgrade" install_debs /tmp/old-next.deb
is "is installed" "$(in_debian dpkg-query -W -f '${Version}' understudy)" "$version+next"
is "the nodes run on" "$(kill -0 "${nodes[@]}" && sed -n 's/^pid //p' "$place/alpha.says")" "$pid"
ok "and the pair file is as it was" grep -q 'name: clean' "$debian/etc/understudy/pair.yaml"
kill -TERM "${nodes[@]}"
wait "${nodes[@]}"
nodes=()
ok "understudy-dev" install_debs /tmp/dev-next.deb gcc libc6-dev make pkg-config
ok "builds the example" in_debian sh -c 'cp -r /usr/share/doc/understudy-dev/examples/hello /tmp && make -C /tmp/hello OUT=/usr/lib/understudy && sed -i "s,modules:.*,modules: [ limiter.so ]," /tmp/hello/chain.yaml && understudy check -c /tmp/hello/chain.yaml'
in_debian rm -f /usr/lib/understudy/limiter.so
ok "removal" in_debian apt-get remove -q -y understudy
ok "leaves the operator's files and the views" in_debian test -e /etc/understudy/pair.key -a -e /var/lib/understudy/alpha.view
packages_of | comm -13 "$place/packages" - | grep -v '^understudy' | xargs >"$place/added"
ok "purge" in_debian dpkg --purge understudy
is "and the user is gone" "$(in_debian getent passwd understudy; in_debian getent group understudy)" ""
# shellcheck disable=SC2046
in_debian apt-get purge -q -y $(cat "$place/added") >/dev/null 2>&1
is "leaves nothing" "$(files_of | sort | comm -13 "$place/files" - | grep -v ':$' | head -n 20 | xargs)" ""
