/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a test and the processes of its two nodes: a request, and an answer to it, through a
 * socket. Both are the same program, so these are its structs as they lie in memory.
 */
#ifndef NFTEST_PARTS_H
#define NFTEST_PARTS_H

#include "nflib/chain/chain.h"
#include "nftest/nftest.h"

#include <stdio.h>
#include <sys/types.h>

#define NFT_MADE_MAX 80u
#define NFT_TEXT     256u
#define NFT_SHOW_MAX (1u << 20)
#define NFT_ARENAS   (FT_NFS_MAX + 1u) /* of one lane, and the shared one */

enum nft_kind { NFT_RUN, NFT_SHOW, NFT_COUNTER, NFT_GIVE, NFT_TAKE, NFT_WAKE };

/* A burst of one packet at most, and of one command. */
struct nft_request {
    enum nft_kind kind;
    bool replay;
    uint64_t burst, now;
    uint32_t packets; /* 0, 1 */
    uint32_t len, have;
    uint8_t side, bytes[NFT_FRAME_MAX];
    char text[NFT_TEXT];  /* RUN: a command, "" for none; else the NF */
    char other[NFT_TEXT]; /* COUNTER: its name */
    uint32_t arena;       /* GIVE, TAKE: its content follows TAKE and the answer to GIVE */
    uint64_t used;        /* bytes of it */
    uint32_t noted;       /* replay: bytes of determinants */
    uint8_t determinants[NF_DETERMINANTS_MAX];
};

struct nft_answer {
    int error; /* of a command; of TAKE: of the state's check */
    struct ft_fault fault;
    uint8_t drop, drop_nf, out_port, made;
    uint32_t len, have;
    uint8_t bytes[NFT_FRAME_MAX];
    uint64_t made_sum; /* over what NFs made */
    uint64_t digest[NFT_ARENAS];
    uint32_t arenas;
    uint64_t wake;   /* when timers ask for the next burst */
    uint64_t number; /* COUNTER: its value; GIVE: bytes that follow; SHOW: bytes that follow */
    uint32_t noted;
    bool used; /* replay: all determinants, and none else */
    uint8_t determinants[NF_DETERMINANTS_MAX];
};

#define PRIMARY 0
#define STANDBY 1

/* The node's process: answers until the socket ends. Never returns. */
void nft_node_serve(int fd, const struct nf_chain_config *config) __attribute__((noreturn));

/* All of it; false: the other end is gone. */
bool nft_write(int fd, const void *bytes, size_t size);
bool nft_read(int fd, void *bytes, size_t size);

#endif
