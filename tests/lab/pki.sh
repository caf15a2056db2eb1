# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Authorities, certificates and passwords for the lab's etcd, in $pki; sourced behind lib.sh.

command -v openssl >/dev/null || skip_all "openssl is not installed"
pki=$work/pki

authority() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$pki/$1.key" \
        -out "$pki/$1.pem"
}
certificate() { # NAME SUBJECT [ADDRESS]: of the authority "ours"
    printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=IP:$3}" >"$pki/ext"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr" &&
        openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ours.pem" -CAkey "$pki/ours.key" -CAcreateserial -days 2 \
            -extfile "$pki/ext" -out "$pki/$1.pem"
}
password() { (umask 077 && printf '%s\n' "$2" >"$pki/$1"); } # FILE TEXT
