/* SPDX-License-Identifier: Apache-2.0 */
/* replay --log of a recording that is not what a node writes, and of NFs that do not show what they should.
 */
#include "nflib/nf.h"
#include "understudy/config/config.h"
#include "understudy/config/options.h"
#include "tests/help/nf.h"
#include "tests/help/config.h"
#include "tests/help/recorder.h"
#include "understudy/recording/recording.h"
#include "tests/help/test.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- NFs: one follows a pointer of its state, one shows rows of its own making ------------------ */

struct kept {
    struct nf_map *map;
};

static uint64_t arena(const void *config)
{
    return nf_map_bytes(16, 4, 8);
}

static bool make(struct nf *nf)
{
    struct kept *k = nf->state;

    k->map = nf_map_make(nf, 16, 4, 8);
    NF_CONSTANT(nf, &k->map);
    return k->map != NULL;
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    nf_row(out);
    nf_row_u64(out, "a\"b", 1);
    return false;
}

static const struct nf_module kept = {.name = "kept",
                                      .summary = "for a test",
                                      .state_size = sizeof(struct kept),
                                      .arena = arena,
                                      .make = make,
                                      .process = help_nf_process};
NF_MODULE(kept)
static const struct nf_module garbled = {
    .name = "garbled", .summary = "for a test", .process = help_nf_process, .show = show};
NF_MODULE(garbled)

/* ---- recordings -------------------------------------------------------------------------------- */

#define CHAIN_TEXT "chain: { name: t, nfs: [ kept: {}, garbled: {} ] }\n"

static char chain_file[256];

/* A recording of a snapshot alone; `crafted`: in it the NF's map is elsewhere than `make` put it. */
static void record(bool crafted)
{
    static const struct ft_region_config how = {.name = "test"};
    static char identity[FT_IDENTITY_MAX + 1];
    struct nd_config *config;
    struct nf_chain *chain = NULL;
    struct lg_position at;
    const struct nf_lane_state *is;
    struct kept *k;

    snprintf(chain_file, sizeof(chain_file), "%s",
             help_config_file("chain.yaml", CHAIN_TEXT, strlen(CHAIN_TEXT)));
    help_done(nd_config_read(&config, chain_file, 0, &help_fault) ||
              nf_chain_region(&rig.region, &config->chain, &how, &help_fault) ||
              nf_chain_make(&chain, &config->chain, rig.region, 0, 1, &help_fault));
    identity[nf_chain_identity(&config->chain, identity, FT_IDENTITY_MAX)] = '\0';
    is = nf_chain_state(chain);
    at = (struct lg_position){.burst = is->burst, .seq = is->seq, .time = is->time, .access = is->access};
    snprintf(rig.directory, sizeof(rig.directory), "/tmp/replay-log.XXXXXX");
    assert_non_null(mkdtemp(rig.directory));
    k = nf_chain_nf(chain, 1)->state;
    if (crafted)
        k->map = (struct nf_map *)(void *)((uint8_t *)k->map + 64);
    rig_open("a", identity, 1u << 20, 2);
    assert_true(lg_recorder_due(rig.recorder, 1));
    lg_recorder_begin(rig.recorder, &at, 1, 1);
    while (lg_recorder_owes(rig.recorder))
        lg_recorder_turn(rig.recorder, 0);
    rig_stop(0);
    if (crafted)
        k->map = (struct nf_map *)(void *)((uint8_t *)k->map - 64);
    nf_chain_free(chain);
    ft_region_close(rig.region); /* replay maps its own at the same address */
    rig.region = NULL;
    nd_config_free(config);
}

/* The command's exit code; what it says on stderr. In a process of its own: it runs once in one. */
static int execute(const char *nf, char said[1024])
{
    const struct nd_log_options options = {.paths = {rig_file(1)}, .config = chain_file, .show = nf};
    FILE *err = tmpfile();
    int status;
    pid_t child;
    size_t n;

    assert_non_null(err);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        dup2(fileno(err), STDERR_FILENO);
        if (!freopen("/dev/null", "w", stdout))
            _exit(99);
        _exit(nd_replay_log(&options));
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    rewind(err);
    n = fread(said, 1, 1023, err);
    said[n] = '\0';
    fclose(err);
    remove(rig_file(1));
    rmdir(rig.directory);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(what_a_node_recorded_is_executed)
{
    char said[1024];

    record(false);
    assert_int_equal(execute(NULL, said), ND_DONE);
}

/* An NF would go where the recording says. */
TEST(a_snapshot_with_another_constant_is_refused_by_name)
{
    char said[1024];

    record(true);
    assert_int_equal(execute(NULL, said), ND_DATA);
    assert_non_null(strstr(said, "snapshot: "));
    assert_non_null(strstr(said, "kept"));
}

TEST(rows_that_are_no_json_are_told_and_fail)
{
    char said[1024];

    record(false);
    assert_int_equal(execute("garbled", said), ND_DATA);
    assert_non_null(strstr(said, "NF 'garbled' shows what is no JSON in lane 0"));
}

TESTS_SHARE(NULL, help_config_clean)
