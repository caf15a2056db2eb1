# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Downloads through a lab, for the demo and the lab tests; sourced. A directory of files that follow from a seed,
# nginx in front of them inside the server's namespace, and curl in the client's with every answer checked by sha256.
#
#   web_files DIR SIZE…            DIR/files/0 … and their sums
#   web_serve DIR                  nginx; its pid in DIR/nginx.pid
#   web_fetch DIR OUT COUNT AT_A_TIME
#                                  COUNT downloads; a line for each in DIR/ended, and once it is checked in
#                                  DIR/results: "intact|broken INDEX HTTP CURL"
#   DIR/over                       made by the caller: no more of them are under way
#   web_ended DIR                  how many have ended so far
#   web_count DIR [WORD]           how many are checked so far, or those with that word
#
# WEB_HOST is the server's address, 203.0.113.100 unless said; [2001:db8::1] of IPv6. WEB_PORTS are its ports, 80
# unless said. WEB_RATE: bytes a second for each download, not limited unless said. A file named lasting is not limited,
# and who downloads it may stop reading for minutes.
# Needs $root, $lab (scripts/lab) and $probe. OUT holds what is not checked yet: better in memory than on a disk.

web_files() {
    local dir=$1 i=0 size
    shift
    mkdir -p "$dir/files"
    for size in "$@"; do
        "$probe" bytes $((i + 1)) "$size" >"$dir/files/$i" || return 1
        i=$((i + 1))
    done
    (cd "$dir/files" && sha256sum -- *) | awk '{ print $2, $1 }' >"$dir/sums"
}

web_serve() {
    local dir=$1 i ports
    mkdir -p "$dir/nginx"
    # shellcheck disable=SC2086 # a list
    ports=$(printf "listen ${WEB_HOST:-203.0.113.100}:%s; " ${WEB_PORTS:-80})
    cat >"$dir/nginx/nginx.conf" <<END
user root;
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/nginx/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    keepalive_timeout 0; # each download is a connection of its own
    send_timeout 900; # who reads nothing for a minute is given up by the client alone
    client_body_temp_path $dir/nginx/body;
    proxy_temp_path $dir/nginx/proxy;
    fastcgi_temp_path $dir/nginx/fastcgi;
    uwsgi_temp_path $dir/nginx/uwsgi;
    scgi_temp_path $dir/nginx/scgi;
    ${WEB_RATE:+limit_rate $WEB_RATE;}
    server { ${ports}root $dir/files; location = /lasting { limit_rate 0; } }
}
END
    "$lab" exec server nginx -p "$dir/nginx" -c "$dir/nginx/nginx.conf" -e "$dir/nginx/error.log" \
        </dev/null >>"$dir/nginx/out.log" 2>&1 &
    for ((i = 0; i < 300; i++)); do
        [ -z "$("$lab" exec server ss -Hltn 'sport = :80')" ] || return 0
        sleep 0.1
    done
    cat "$dir/nginx/out.log" "$dir/nginx/error.log" >&2
    return 1
}

# One configuration for one curl: it starts the next download when one ends. No retries; one that takes 300 s has failed.
web_list() { # DIR OUT COUNT
    local i n
    n=$(wc -l <"$1/sums")
    for ((i = 0; i < $3; i++)); do
        echo "url = http://${WEB_HOST:-203.0.113.100}/$((i % n))"
        echo "output = $2/$i.$((i % n))"
    done
}

# Sixteen downloads at a time, by one process: a process for each would take for ever beside work of others. It gives way to what is
# downloaded, and to nobody once DIR/over is there.
web_check() { # DIR: reads "done INDEX.FILE HTTP CURL ERROR" lines; what is broken is told on stderr
    local dir=$1 mark path http code error name want line sum gives=10
    local -A sums got
    local -a lines paths
    while read -r name want; do sums[$name]=$want; done <"$dir/sums"
    while mapfile -t -n 16 lines && [ ${#lines[@]} -gt 0 ]; do
        paths=() got=()
        for line in "${lines[@]}"; do
            read -r mark path _ <<<"$line"
            [ "$mark" != "done" ] || [ ! -e "$path" ] || paths+=("$path")
        done
        [ ! -e "$dir/over" ] || gives=0
        [ ${#paths[@]} = 0 ] || while read -r sum path; do got[$path]=$sum; done < <(nice -n $gives sha256sum -- "${paths[@]}")
        for line in "${lines[@]}"; do
            read -r mark path http code error <<<"$line"
            [ "$mark" = "done" ] || continue
            name=${path##*/}
            want=${sums[${name#*.}]:-none}
            if [ "$code" = 0 ] && [ "$http" = 200 ] && [ "${got[$path]:-}" = "$want" ]; then
                echo "intact ${name%.*} $http $code" >>"$dir/results"
            else
                echo "broken ${name%.*} $http $code" >>"$dir/results"
                echo "# $(date +%T.%N) download ${name%.*}: HTTP $http, curl $code $error" >&2
            fi
        done
        rm -f -- "${paths[@]}"
    done
}

web_fetch() {
    local dir=$1 out=$2
    mkdir -p "$out"
    rm -f "$dir/over"
    : >"$dir/results"
    : >"$dir/ended"
    web_list "$dir" "$out" "$3" >"$dir/curl.conf"
    # What curl writes out goes to its standard error, which is not buffered.
    "$lab" exec client curl -q --silent --no-progress-meter --parallel --parallel-max "$4" --parallel-immediate --max-time 300 --config "$dir/curl.conf" \
        --write-out '%{stderr}done %{filename_effective} %{http_code} %{exitcode} %{errormsg}\n' 2>&1 >/dev/null </dev/null |
        tee -a "$dir/ended" | web_check "$dir"
}

web_lines() { [ -e "$1" ] && grep -c "^$2" "$1" || true; }
web_ended() { web_lines "$1/ended" "done "; }
web_count() { web_lines "$1/results" "${2:-}"; }
