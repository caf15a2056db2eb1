/* SPDX-License-Identifier: Apache-2.0 */
/* Where instructions of this program and of modules are: function, source, file. */
#ifndef NODE_CRASH_SYMBOLS_H
#define NODE_CRASH_SYMBOLS_H

#include "understudy/crash/page.h"

#define ND_CRASH_PATH 320u /* bytes of a path: of an object, of a report's directory */

struct nd_crash_place {
    char symbol[128];   /* "nat_process+0x1c"; "": no symbol is known */
    char source[192];   /* "nfs/nat/nat.c:123"; "": there is no debug information */
    const char *object; /* the file; "?": none */
    uint64_t offset;    /* in that file; without a file the address */
};
/* Files that are open for look-ups, all zero at first; owned and ended by who looks up. What is in more than
 * ND_CRASH_OBJECTS of them has no names. */
#define ND_CRASH_OBJECTS 24u
struct nd_crash_symbols {
    struct Dwfl *dwfl; /* NULL: nothing was looked up, or no memory; then nothing has a name */
    struct Dwfl_Module *object[ND_CRASH_OBJECTS];
    char path[ND_CRASH_OBJECTS][ND_CRASH_PATH];
    unsigned count;
};
void nd_crash_symbols_end(struct nd_crash_symbols *symbols);
/* An instruction of this program or of a module. Of a module that the node has loaded since the reporter was
 * forked `page` says where it lies; `out->object` may point there. */
void nd_crash_symbol(struct nd_crash_symbols *symbols, const struct nd_crash_page *page, uint64_t address,
                     struct nd_crash_place *out);
/* Of this program, in hex; "": it has none. */
const char *nd_crash_build_id(char out[64]);

#endif
