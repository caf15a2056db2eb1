/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy version: what this program is. Beside its number it tells what two nodes compare of their
 * programs when they meet (nf_chain_identity, FT_FORMAT_NEWEST): two programs that say the same here make a
 * pair of one file.
 */
#include "ftcore/record/format.h"
#include "nflib/chain/chain.h"
#include "cli/pair.h"

#include <rte_version.h>

#include <stdio.h>
#include <string.h>

#define DPDK "DPDK " /* that rte_version begins with */

static const char *dpdk_version(void)
{
    const char *text = rte_version();

    return strncmp(text, DPDK, strlen(DPDK)) == 0 ? text + strlen(DPDK) : text;
}

static int print_json(void)
{
    json_t *nfs = json_object(), *o;
    int code;

    for (unsigned i = 0; nf_module_at(i); i++)
        json_object_set_new(nfs, nf_module_at(i)->name, json_integer(nf_module_at(i)->version));
    o = json_pack("{s:s,s:{s:i,s:i},s:{s:i,s:i,s:o},s:s}", "version", UNDERSTUDY_VERSION, "formats", "oldest",
                  FT_FORMAT_OLDEST, "newest", FT_FORMAT_NEWEST, "build", "library", NF_LIBRARY_VERSION,
                  "burst", NF_BURST_MAX, "nfs", nfs, "dpdk", dpdk_version());
    code = nd_print_json(o);
    json_decref(o);
    return code;
}

int nd_cmd_version(int argc, char **argv)
{
    struct nd_options options;
    int error = nd_options_read(&options, argc, argv);

    if (error || options.json)
        return error ? error : print_json();
    printf("understudy %s\nformats: %u to %u\nbuild: library %u, bursts of %u", UNDERSTUDY_VERSION,
           FT_FORMAT_OLDEST, FT_FORMAT_NEWEST, NF_LIBRARY_VERSION, NF_BURST_MAX);
    for (unsigned i = 0; nf_module_at(i); i++)
        printf(", %s %u", nf_module_at(i)->name, nf_module_at(i)->version);
    printf("\nDPDK: %s\n", dpdk_version());
    return ND_DONE;
}
