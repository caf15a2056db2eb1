#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The image that `make image` makes, run by podman as docs/containers.md says: no root, a root file system that is read-only, three capabilities. A
# pair of two containers under downloads: one is killed, one is stopped, and both are replaced by another image.
. "$(dirname "$0")/../lib.sh"
for tool in podman buildah crun debootstrap dpkg-shlibdeps setpriv; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
[ "$(id -u)" = 0 ] && is_root || skip_all "needs the machine's root"
# crun knows no hierarchy of version 1 beside one of version 2, and a machine whose limits nobody may raise starts no container that asks for more.
[ -n "${image_t:-}" ] || exec env image_t=1 unshare -m sh -c 'umount -l -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec "$0"' "$0"
need_lab
plan 32

storage=$BUILD/image/storage
mkdir -p "$storage"
printf '[containers]\ndefault_ulimits = []\n' >"$work/containers.conf"
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$storage" "$work/run" >"$work/storage.conf"
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
image=understudy:$("$UNDERSTUDY" version | awk 'NR == 1 { print $2 }')

contained() { podman --cgroup-manager cgroupfs --runtime crun "$@" 2>&1; }
start() { # NODE IMAGE [OPTION…]
    contained run -d --replace --name "$LAB_PREFIX$1" --cgroups=disabled --network "ns:/run/netns/$LAB_PREFIX$1" --read-only --cap-drop all \
        --cap-add NET_RAW --cap-add NET_ADMIN --cap-add IPC_LOCK -e "PAIR=$pair" -e "NODE=$1" -v "$LAB_DIR:$LAB_DIR" "${@:3}" "$2"
}
# As Kubernetes starts it: the user has none of the capabilities that the container may have, and the program's file has them.
start_without() { # NODE IMAGE
    start "$1" "$2" --entrypoint '["setpriv", "--ambient-caps=-all", "--inh-caps=-all", "/usr/lib/understudy/container"]'
}
# As the image's health check.
is_healthy() { contained exec "$LAB_PREFIX$1" understudy status -c "$pair" -n "$1"; } # NODE
ended() { [ "$(contained inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$LAB_PREFIX$1")" = "exited $2" ]; } # NODE CODE
end() {
    for node in a b; do [ $bad = 0 ] || diag "$(contained logs "$LAB_PREFIX$node" | tail -n 20)"; done
    for node in a b; do contained rm -f -v "$LAB_PREFIX$node" >/dev/null; done
    contained image prune -f >/dev/null
    cleanup
}
downloads() { # NAME COUNT
    rm -f "$work/ended"
    web_fetch "$work" "$work/$1" "$2" 10 &
    fetching=$!
    under_way
}
intact() { # WHAT COUNT
    wait $fetching
    is "$1: all downloads intact" "$(web_count "$work" intact)" "$2"
}

# ── the image ────────────────────────────────────────────────────────────────────────────────────────────────────

ok "make image" make -s -C "$root" image BUILD="$BUILD" || exit 1
size=$(contained image inspect -f '{{.Size}}' "$image")
ok "it has 150 MB at most" test "$size" -le 150000000
diag "$((size / 1000000)) MB"
is "it runs without a network and without a capability" \
    "$(contained run --rm --cgroups=disabled --network none --read-only --cap-drop all "$image" version | head -n 1)" "understudy ${image#*:}"
is_like "without a node's name it says so" "$(contained run --rm --cgroups=disabled --network none "$image")" "*NODE is not set*"
contained tag "$image" understudy:next >/dev/null

# ── the example for Kubernetes ───────────────────────────────────────────────────────────────────────────────────

example=$root/docs/examples/kubernetes/understudy.yaml
if python3 -c 'import kubernetes' 2>/dev/null; then
    ok "its objects are of the API's schema" python3 "$root/tests/lab/kube_schema.py" "$example"
    sed 's/periodSeconds/periodSecond/' "$example" >"$work/bad.yaml"
    ok "a key that no object has is found" eval '! python3 "$root/tests/lab/kube_schema.py" "$work/bad.yaml"'
    sed 's/kind: Deployment/kind: Deploymet/' "$example" >"$work/bad.yaml"
    ok "so is a kind that there is not" eval '! python3 "$root/tests/lab/kube_schema.py" "$work/bad.yaml"'
else
    skip "its objects are of the API's schema" "no python3-kubernetes"
    skip "a key that no object has is found" "no python3-kubernetes"
    skip "so is a kind that there is not" "no python3-kubernetes"
fi
"$UNDERSTUDY" key "$work/pair.key"
sed -n '/^  pair.yaml: |/,/^---/{s/^    //p}' "$example" | sed "s|/run/understudy/pair.key|$work/pair.key|; /^arbiter:/d" >"$work/example.yaml"
ok "its pair file is accepted" "$UNDERSTUDY" check -c "$work/example.yaml"

# ── a pair ───────────────────────────────────────────────────────────────────────────────────────────────────────

"$lab" up --no-nodes || exit 1
trap end EXIT
for node in a b; do # the file is root's, and each node has a directory in which it may write
    install -d -o 900 -g 900 "$LAB_DIR/$node"
    sed -i "s|control: $LAB_DIR/$node.sock|control: $LAB_DIR/$node/node.sock|" "$pair"
    ln -s "$node/node.sock" "$LAB_DIR/$node.sock"
done
chown 900 "$LAB_DIR/pair.key"
web_files "$work" 10 4000 300000 2000000 3000000
ok "a container, by the capabilities of its user" start a "$image" --security-opt no-new-privileges
ok "another one, by those of the program's file" start_without b "$image"
ok "the pair is PROTECTED" is_protected || exit 1
ok "a web server behind the chain" web_serve "$work"
for node in a b; do ok "node $node is healthy" is_healthy $node; done
ok "nobody writes into its root" eval '! contained exec "${LAB_PREFIX}a" sh -c "echo >/usr/here"'
# The first process keeps what podman gave its user; the node's threads have nothing any more.
for node in a b; do
    is "no process of $node is root's, and its threads have no capability" \
        "$(contained exec "$LAB_PREFIX$node" sh -c 'cat /proc/[0-9]*/task/*/status' | awk '/^Name:/ { name = $2 } /^Uid:/ { print "user", $2 } /^Cap(Prm|Eff):/ && name ~ /^(understudy|us-|rte-)/ { print $1, $2 }' | sort -u | xargs)" \
        "CapEff: 0000000000000000 CapPrm: 0000000000000000 user 900"
done

downloads killed 60
ok "a container is killed" contained kill -s KILL "${LAB_PREFIX}a"
ok "the other one takes over" await b role primary
intact "killed" 60
ok "it is started again" contained start "${LAB_PREFIX}a"
ok "the pair is PROTECTED again" is_protected
ok "digests are equal" us verify

downloads stopped 60
ok "the primary's container is stopped" contained stop -t 20 "${LAB_PREFIX}b"
ok "and ends in order" ended b 0
is "it has handed over" "$(field a role) $(field a takeover.reason)" "primary planned"
intact "stopped" 60

# ── another image ────────────────────────────────────────────────────────────────────────────────────────────────

downloads replaced 100
ok "the standby's container is of the next image" start b understudy:next
ok "the pair is PROTECTED" is_protected
contained stop -t 20 "${LAB_PREFIX}a" >/dev/null
ok "then the other one's" start a understudy:next
ok "the pair is PROTECTED with both" is_protected
intact "replaced" 100
