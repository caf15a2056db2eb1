/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the DSCP of packets, and reads it as people write it; see dscp.h. */
#include "nflib/net/dscp.h"
#include "nflib/net/bytes.h"

#include <string.h>

static uint8_t with_dscp(uint8_t byte, uint8_t dscp)
{
    return (uint8_t)((byte & 3) | dscp << 2);
}

void nf_packet_set_dscp(struct nf_packet *p, uint8_t dscp)
{
    uint8_t *ip = p->data + p->l3;
    uint16_t was = nf_get16(ip);

    if (p->flags & NF_P_IPV4) {
        ip[1] = with_dscp(ip[1], dscp);
        nf_put16(ip + 10, nf_checksum_adjust16(nf_get16(ip + 10), was, nf_get16(ip)));
    } else {
        ip[0] = (uint8_t)((ip[0] & 0xf0) | dscp >> 2);
        ip[1] = (uint8_t)((ip[1] & 0x3f) | dscp << 6);
    }
}

static bool is_digit(char c, char least, char most)
{
    return c >= least && c <= most;
}

int nf_dscp_parse(const char *text)
{
    size_t n = strlen(text);
    int value;

    if (strcmp(text, "ef") == 0)
        return 46;
    if (n == 3 && strncmp(text, "cs", 2) == 0 && is_digit(text[2], '0', '7'))
        return (text[2] - '0') * 8;
    if (n == 4 && strncmp(text, "af", 2) == 0 && is_digit(text[2], '1', '4') && is_digit(text[3], '1', '3'))
        return (text[2] - '0') * 8 + (text[3] - '0') * 2;
    if (n < 1 || n > 2 || !is_digit(text[0], '0', '9') || !is_digit(text[n - 1], '0', '9'))
        return -1;
    value = n == 1 ? text[0] - '0' : (text[0] - '0') * 10 + text[1] - '0';
    return value < (int)NF_DSCPS ? value : -1;
}
