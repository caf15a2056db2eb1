# SPDX-License-Identifier: Apache-2.0
# Completion of understudy for bash. Subcommands, options and their values are what the program's own --help says at
# that moment, so there is no second list.
# shellcheck shell=bash

# The words after an option in the help of a subcommand: "log|delta|auto" or "FILE".
_understudy_value() { # HELP OPTION
    sed -n '2,$b; s/[][]/ /g; s/\.\.\./ /g; p' <<<"$1" | tr -s ' ' '\n' | grep -A1 -x -e "$2" | sed -n 2p
    sed -nE "s/^  (-., |    )$2 ([^ ]+) .*/\2/p" <<<"$1"
}

_understudy() {
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} help value file i

    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null |
            sed -n 's/^  understudy \([a-z-]*\) .*/\1/p') --help --version" -- "$word")
        return
    fi
    help=$("$program" "$command" --help 2>/dev/null) || return
    if [[ $word == -* ]]; then
        # In the usage line: what has no table of its own. In the lines below it: every other option.
        mapfile -t COMPREPLY < <(compgen -W "$(sed -nE '1s/[^ ]*(-[-a-z]+)[^ ]*|[^ ]+/ \1/gp
            s/^  (-.)?,? +(--[-a-z]+) .*/\1 \2/p' <<<"$help") --help" -- "$word")
        return
    fi
    value=
    [[ $before == -* ]] && value=$(_understudy_value "$help" "$before" | head -n 1)
    case $before:$value in
    -n:* | --node:*) # the nodes of the file named before, or of the one that the command would take
        file=${UNDERSTUDY_CONFIG:-/etc/understudy/pair.yaml}
        for ((i = 2; i < COMP_CWORD - 1; i++)); do
            [[ ${COMP_WORDS[i]} == -c || ${COMP_WORDS[i]} == --config ]] && file=${COMP_WORDS[i + 1]}
        done
        mapfile -t COMPREPLY < <(compgen -W "$(sed -n '/^nodes:/,/^[^ #]/s/^  \([A-Za-z0-9_-]*\):.*/\1/p' \
            "$file" 2>/dev/null)" -- "$word") ;;
    *:FILE | *:DIR | *:*.pcap | -*:[A-Z]*) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    -*:*[a-z]*) mapfile -t COMPREPLY < <(compgen -W "${value//|/ }" -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}
complete -o filenames -F _understudy understudy
