#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `check` says of a module by its file, as docs/writing-an-nf.md has it: each kind of variable by name, also where
# one hides; and each field of struct nf_module that what it calls asks for. As TAP, without root.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"
echo 'chain: { name: m, modules: [ m.so ], nfs: [ m: {} ] }' >"$dir/m.yaml"

# What check says of a module that has these lines in front, this code in `process`, and these fields.
judge() { # FLAGS FRONT CODE FIELDS
    cat >"$dir/m.c" <<END
#include "nflib/nf.h"
$2
static void process(struct nf *nf, struct nf_packet *const p[], uint32_t n, uint64_t now)
{
    (void)nf, (void)p, (void)n, (void)now;
    $3
}
static const struct nf_module m = { .name = "m", .summary = "for a test", .state_size = 8, .process = process, $4 };
NF_MODULE(m)
END
    # shellcheck disable=SC2086 # words
    gcc -std=gnu11 -O2 -fPIC -shared -I"${BUILD:-build}/include" -o "$dir/m.so" "$dir/m.c" $1 2>"$dir/err" &&
        "$understudy" check -c "$dir/m.yaml" 2>&1
}
says() { # DESCRIPTION PATTERN, and what judge takes
    local what=$1 pattern=$2 said
    shift 2
    said=$(judge "$@")
    grep -qE "$pattern" <<<"$said"
    ok "$what" $? "$said"
}
passes() { # DESCRIPTION, and what judge takes: nothing is said of it
    local what=$1 said
    shift
    said=$(judge "$@")
    grep -q ': ok: ' <<<"$said" && ! grep -q warning <<<"$said"
    ok "$what" $? "$said"
}
variable() { # DESCRIPTION NAME, and what judge takes
    says "$1" "module .*/m.so has a (thread's )?variable \"$2\", expected state in the arena" "${@:3}"
}

# ---- what it keeps (rule 1) --------------------------------------------------------------------------------------------

count='seen += n;'
passes "a module without variables" "" "" "" ""
passes "constants, with addresses in them" "" 'static const char *const names[] = {"a", "b"};' \
    '*(const char *volatile *)nf->state = names[n % 2];' ""
passes "the same, stripped" -s 'static const char *const names[] = {"a", "b"};' \
    '*(const char *volatile *)nf->state = names[n % 2];' ""
variable "a static variable" seen "" 'static uint64_t seen;' "$count" ""
variable "one that begins with a value" seen "" 'static uint64_t seen = 5;' "$count" ""
variable "one of a function" seen "" "" "static uint64_t seen; $count" ""
variable "one of the module" seen "" 'uint64_t seen;' "$count" ""
variable "one that nobody else sees" seen "" '__attribute__((visibility("hidden"))) uint64_t seen;' "$count" ""
variable "one of a thread" seen "" 'static __thread uint64_t seen;' "$count" ""
variable "one in a section of its own" seen "" '__attribute__((section(".mine"))) static uint64_t seen = 1;' "$count" ""
variable "one that is called as the compiler's own" completed "" 'static bool completed;' 'completed = !completed;' ""
variable "one of a function, called so" completed "" "" 'static bool completed; completed = !completed;' ""
variable "one of the assembler's" seen "" '__asm__(".data\nseen: .quad 0\n.text\n");' \
    '__asm__ volatile("incq seen(%%rip)" ::: "memory");' ""
echo 'unsigned long seen; unsigned long see(void); unsigned long see(void) { return ++seen; }' >"$dir/see.c"
gcc -O2 -fPIC -c -o "$dir/see.o" "$dir/see.c" && ar qcs "$dir/libsee.a" "$dir/see.o"
variable "one of a library that is linked into it" seen "-L$dir -lsee" 'unsigned long see(void);' \
    '*(uint64_t *)nf->state += see();' ""
mkdir -p "$dir/so" && gcc -O2 -fPIC -shared -o "$dir/so/libsee.so" "$dir/see.c"
says "one of a library that it needs: the library is told" 'm.so: warning: needs "libsee.so", expected no library but libc, and those that .libraries names' \
    "-L$dir/so -Wl,-rpath,$dir/so -lsee" 'unsigned long see(void);' '*(uint64_t *)nf->state += see();' ""
see=("-L$dir/so -Wl,-rpath,$dir/so -lsee" 'unsigned long see(void); static uint64_t heap(const void *c) { (void)c; return 65536; }' \
    '*(uint64_t *)nf->state += see();')
says "also of a module with a heap" 'm.so: warning: needs "libsee.so", expected no library but libc' "${see[@]}" '.heap = heap'
passes "but for one that somebody has looked at" "${see[@]}" '.heap = heap, .libraries = " libsee.so "'
echo '#include <stdlib.h>
unsigned long see(void); unsigned long see(void) { static unsigned long seed; return seed = seed ? seed + 1 : (unsigned long)random(); }' >"$dir/see.c"
gcc -O2 -fPIC -shared -o "$dir/so/libsee.so" "$dir/see.c"
says "and of a seed that it draws by itself, by name" 'needs "libsee.so", expected a seed and a clock that the NF sets \(it takes random\); no library' \
    "${see[@]}" '.heap = heap'
variable "stripped: a number" bss -s 'static uint64_t seen;' "$count" ""
variable "stripped: a short one" bss -s 'static uint32_t seen;' "$count" ""
variable "stripped: one that begins with a value" data -s 'static uint64_t seen = 5;' "$count" ""
variable "stripped: one of a thread" tbss -s 'static __thread uint32_t seen;' "$count" ""
passes "stripped: a single byte is not seen, as the page says" -s 'static uint8_t seen;' "$count" ""
says "what is loaded later is not looked into, and told" 'warning: takes "dlopen", expected no library but libc' \
    "" '#include <dlfcn.h>' 'dlopen("x", 1);' ""

# ---- what it should declare --------------------------------------------------------------------------------------------

flows='static void flows(const void *c, struct nf_flows_config *f) { (void)c; f->max_flows = 9; nf_timeouts_fill(f->timeouts, 9); }'
bytes='static uint64_t bytes(const void *c) { (void)c; return 65536; }'
all='static uint64_t all(const void *c, unsigned lanes) { (void)c; return 65536 * lanes; }'
yes='static bool yes(const void *c) { (void)c; return true; }'
timers='static void timers(struct nf *nf, uint64_t now) { (void)nf, (void)now; }'

# needs FIELD HOW FRONT CODE FIELDS: without the field it is named, with it nothing is.
needs() {
    case $2 in refused) how='module .*/m.so takes' ;; *) how='m.so: warning: takes' ;; esac
    says "a module that should declare .$1" "$how \"nf_[a-z0-9_]*\", expected \.$1[, ]" "" "$3" "$4" "${5-}"
    passes "and that does" "" "$3" "$4" "${5-} $6"
    grep -q "^| \`\.$1\` |" docs/writing-an-nf.md
    ok "docs/writing-an-nf.md has a row of .$1" $?
}
needs session_size refused "$flows" 'nf_session_join(nf, p[0], now);' '.flows = flows,' '.session_size = 8'
needs flows refused "$flows" 'nf_session_join(nf, p[0], now);' '.session_size = 8,' '.flows = flows'
needs arena warned "$bytes" 'nf_map_make(nf, 9, 4, 8);' '' '.arena = bytes'
needs shared warned "$all" 'nf_shared_word_make(nf);' '' '.shared = all'
needs timers warned "$timers $bytes" 'nf_wheel_set(nf, nf_wheel_make(nf, 9, 1), 1, now);' '.arena = bytes,' '.timers = timers'
needs translates warned "" 'nf_packet_set_source(p[0], 1, 1);' '' '.translates = NF_SOURCE'
needs ipv6 warned "$flows $yes" 'struct nf_addresses a; nf_session_view_ipv6(nf, nf_session_join(nf, p[0], now), &a);' \
    '.flows = flows, .session_size = 8,' '.ipv6 = yes'
echo 'void nf_module_register(const void *); __attribute__((constructor)) static void begin(void) { nf_module_register(0); }' >"$dir/m.c"
gcc -shared -fPIC -o "$dir/m.so" "$dir/m.c" && said=$("$understudy" check -c "$dir/m.yaml" 2>&1)
[ $? != 0 ] && [ "$(wc -l <<<"$said")" = 1 ] && grep -q 'm.so is built for NF_API 1, this program has [0-9]*), expected it built anew, and mended as docs/writing-an-nf.md says' <<<"$said"
ok "one that was built for another number of the interface is refused in one line" $? "$said"
sed 's/nf_module_register/nf_module_register_3/g' "$dir/m.c" >"$dir/3.c"
gcc -shared -fPIC -o "$dir/m.so" "$dir/3.c" && said=$("$understudy" check -c "$dir/m.yaml" 2>&1)
grep -q 'm.so is built for NF_API 3, this program has' <<<"$said"
ok "and which number it was built for" $? "$said"
sed 's/nf_module_register/nf_countermap_make/g' "$dir/m.c" >"$dir/4.c"
gcc -shared -fPIC -o "$dir/m.so" "$dir/4.c" && said=$("$understudy" check -c "$dir/m.yaml" 2>&1)
grep -q 'm.so takes nf_countermap_make, which NF_API [0-9]* does not have), expected it mended as docs/writing-an-nf.md says' <<<"$said"
ok "one that takes what is gone is refused by that name" $? "$said"
# The page has a row of each number up to the program's own.
api=$(sed -n 's/^#define NF_API  *\([0-9]*\)$/\1/p' nflib/module/module.h)
for n in $(seq 2 "$api"); do grep -q "^| $n |" docs/writing-an-nf.md || break; done
grep -q "^| $n |" docs/writing-an-nf.md && [ "$n" = "$api" ] && ! grep -q "^| $((n + 1)) |" docs/writing-an-nf.md
ok "docs/writing-an-nf.md says what each number of the interface changed" $? "NF_API $api"
echo "1..$tests"
