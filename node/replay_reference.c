/* SPDX-License-Identifier: Apache-2.0 */
/* Executes the surviving bursts again and compares; see replay_reference.h. */
#include "node/replay_reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    struct nd_reference result;
    unsigned told;
    bool done;
    struct ft_fault fault;
};

struct run {
    struct nd_gate *gate;
    struct nd_reference *result;
    struct nf_chain *chain;
    struct ft_region *region;
    uint8_t *frames;
    uint32_t frame_size;
};

static void compare(struct run *r, uint64_t number, uint64_t clock, const struct nd_tape_burst *b,
                    const void *frame, uint32_t len, uint64_t port)
{
    struct nd_gate *gate = r->gate;
    uint64_t left = number < gate->numbers ? gate->left[number] : 0;

    if (left == 0) {
        r->result->missing++;
        if (clock)
            nd_gate_tell(gate, "lost: output %lu (clock %lu, packet %lu): never left the chain\n", number,
                         clock, b->first + (clock - nf_chain_state(r->chain)->clock) + b->n + 1);
        else
            nd_gate_tell(gate, "lost: output %lu (made by an NF): never left the chain\n", number);
    } else if (left != nd_gate_digest(frame, len, port)) {
        if (r->result->altered++ == 0)
            fprintf(stderr,
                    "understudy replay: output %lu (clock %lu) left with other bytes than the reference's\n",
                    number, clock);
    }
}

static void run_burst(struct run *r, uint64_t burst)
{
    const struct nd_tape *tape = r->gate->tape;
    const struct nd_tape_burst *b = &tape->bursts[r->gate->source[burst] - 1];
    const struct nf_emitted *made;
    struct nf_packet packets[NF_BURST_MAX];
    uint64_t clock = nf_chain_state(r->chain)->clock;
    uint32_t count;

    for (uint32_t i = 0; i < b->n; i++) {
        const struct nd_tape_input *in = &tape->inputs[b->first + i];

        nd_tape_frame(tape, b->first + i, r->frames + (size_t)i * r->frame_size);
        packets[i] = (struct nf_packet){.data = r->frames + (size_t)i * r->frame_size,
                                        .len = in->wire,
                                        .have = in->wire,
                                        .in_port = in->side == NF_OUTSIDE,
                                        .side = in->side};
    }
    nf_chain_run(r->chain, burst, b->time, packets, b->n);
    for (uint32_t i = 0; i < b->n; i++)
        if (!packets[i].drop && packets[i].out_port < ND_SLOT_PORTS)
            compare(r, ++r->result->outputs, clock + i, b, packets[i].data, packets[i].len,
                    packets[i].out_port);
    count = nf_chain_emitted(r->chain, &made);
    for (uint32_t i = 0; i < count; i++)
        compare(r, ++r->result->outputs, 0, b, made[i].frame, made[i].len, made[i].port);
}

static int execute(struct run *r, const struct nd_config *config, uint64_t seed, struct ft_fault *fault)
{
    uint64_t sizes[FT_NFS_MAX];
    const char *names[FT_NFS_MAX];
    struct ft_region_config c = {.name = "understudy reference",
                                 .lanes = config->chain.lanes,
                                 .nfs = (uint16_t)(config->chain.count + 1),
                                 .arena_size = sizes,
                                 .nf_name = names,
                                 .shared_size = config->chain.shared_size};
    int error;

    nf_chain_arenas(&config->chain, sizes, names);
    r->frame_size = r->gate->tape->longest;
    r->frames = malloc((size_t)r->frame_size * NF_BURST_MAX + 1);
    if (!r->frames)
        return ft_fail(fault, FT_ENOMEM, "no memory for the reference");
    error = ft_region_open(&r->region, &c, fault);
    if (!error)
        error = nf_chain_make(&r->chain, &config->chain, r->region, 0, seed, fault);
    if (error)
        return error;
    for (uint64_t burst = 1; burst <= r->gate->known; burst++)
        run_burst(r, burst);
    /* What left beyond the reference's last output cannot be right. */
    for (uint64_t n = r->result->outputs + 1; n <= r->gate->highest; n++)
        r->result->altered += r->gate->left[n] != 0;
    r->result->digest = ft_region_digest(r->region);
    return 0;
}

int nd_reference_run(struct nd_reference *out, struct nd_gate *gate, const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault)
{
    struct answer *answer =
        mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0, error = 0;
    pid_t pid;

    if (answer == MAP_FAILED)
        return ft_fail(fault, FT_ENOMEM, "no memory for the reference");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct run r = {.gate = gate, .result = &answer->result};

        answer->done = execute(&r, config, seed, &answer->fault) == 0;
        answer->told = gate->told;
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    *out = answer->result;
    gate->told = answer->told;
    if (pid < 0 || !answer->done)
        error = ft_fail(fault, FT_EIO, "the reference failed: %s",
                        pid < 0               ? strerror(errno)
                        : WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                              : answer->fault.text);
    munmap(answer, sizeof(*answer));
    return error;
}
