/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed link over real sockets on the loopback: who has the key gets in, nobody else does, and what is
 * changed on the way is refused. A relay of plain sockets stands between the nodes where a test says so.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/help/link.h"
#include "tests/help/test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* For tests of the sealed link: an authority, and certificates that it signs, as PEM files in a directory. */

#define DAY 86400

static void path_of(char path[256], const char *dir, const char *name, const char *kind)
{
    snprintf(path, 256, "%s/%s.%s", dir, name, kind);
}

static FILE *open_file(const char *dir, const char *name, const char *kind, const char *mode)
{
    char path[256];
    FILE *f;

    path_of(path, dir, name, kind);
    f = fopen(path, mode);
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    return f;
}

static void extend(X509 *certificate, int what, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, what, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void name_subject(X509 *certificate, const char *name)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
}

/* The issuer's name and key go on it, and are given back. */
static void sign_by(X509 *certificate, const char *dir, const char *by)
{
    FILE *f = open_file(dir, by, "pem", "r");
    X509 *authority = PEM_read_X509(f, NULL, NULL, NULL);

    fclose(f);
    f = open_file(dir, by, "key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

    fclose(f);
    assert_true(authority && key);
    assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(authority)), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    X509_free(authority);
    EVP_PKEY_free(key);
}

/* Makes DIR/NAME.pem and DIR/NAME.key for the node `name`, signed by the authority DIR/BY.pem; `by` equal to
 * `name`: an authority. Fails the test. */
static void certificate_make(const char *dir, const char *name, const char *by)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    FILE *f;

    assert_true(key && certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), name[0]);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY);
    X509_gmtime_adj(X509_getm_notAfter(certificate), DAY);
    X509_set_pubkey(certificate, key);
    name_subject(certificate, name);
    f = open_file(dir, name, "key", "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    if (strcmp(name, by) == 0) {
        extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
        X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
        assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    } else {
        extend(certificate, NID_subject_alt_name, help_print("DNS:%s", name));
        sign_by(certificate, dir, by);
    }
    f = open_file(dir, name, "pem", "w");
    assert_int_equal(PEM_write_X509(f, certificate), 1);
    fclose(f);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* Removes the two files. */
static void certificate_forget(const char *dir, const char *name)
{
    char path[256];

    path_of(path, dir, name, "pem");
    unlink(path);
    path_of(path, dir, name, "key");
    unlink(path);
}

static const struct rp_keys one = {1, {{1, 2, 3}}}, other = {1, {{9, 9, 9}}},
                            both = {2, {{9, 9, 9}, {1, 2, 3}}};

static void open_side(struct rp_link **link, bool a, uint16_t peer_port, const struct rp_keys *keys)
{
    struct rp_link_config c = link_config(a);

    c.peer_port = peer_port;
    c.seal.keys = keys;
    link_open(link, &c);
}

static void open_sealed(const struct rp_keys *of_a, const struct rp_keys *of_b)
{
    open_side(&link_a, true, link_port_b, of_a);
    open_side(&link_b, false, link_port_a, of_b);
}

static void poll_both(void)
{
    link_poll_one(link_a);
    link_poll_one(link_b);
}

static bool both_up(void)
{
    return rp_link_up(link_a) && rp_link_up(link_b);
}

TEST_WITH(who_has_the_key_is_heard, link_setup, link_teardown)
{
    open_sealed(&one, &one);
    UNTIL(both_up() || (poll_both(), false));
    link_send_heartbeat(link_a, 7);
    assert_int_equal(link_take(link_b).sent, 7);
    link_send_heartbeat(link_b, 8);
    assert_int_equal(link_take(link_a).sent, 8);
}

TEST_WITH(another_key_is_refused, link_setup, link_teardown)
{
    open_sealed(&one, &other);
    UNTIL(rp_link_stats(link_a)->refused[-FT_EPERM] >= 3 || (poll_both(), false));
    assert_true(rp_link_stats(link_b)->refused[-FT_EPERM] >= 2);
    assert_false(rp_link_up(link_a) || rp_link_up(link_b));
    assert_int_equal(rp_link_stats(link_a)->connects + rp_link_stats(link_b)->connects, 0);
}

TEST_WITH(either_of_two_keys_is_accepted, link_setup, link_teardown)
{
    open_sealed(&both, &one);
    UNTIL(both_up() || (poll_both(), false));
    rp_link_close(link_a);
    rp_link_close(link_b);
    open_sealed(&one, &both); /* it offers the other first, and then this one */
    UNTIL(both_up() || (poll_both(), false));
}

static void seal_anew(struct rp_link *link, const struct rp_keys *keys)
{
    const struct rp_seal_config c = {.keys = keys};
    struct rp_seal *seal;

    assert_int_equal(rp_seal_open(&seal, &c, &link_why), 0);
    rp_link_reseal(link, seal);
}

TEST_WITH(keys_change_while_a_connection_stands, link_setup, link_teardown)
{
    open_sealed(&one, &one);
    UNTIL(both_up() || (poll_both(), false));
    seal_anew(link_a, &both);
    seal_anew(link_b, &both);
    seal_anew(link_a, &other);
    seal_anew(link_b, &other);
    link_send_heartbeat(link_a, 7);
    assert_int_equal(link_take(link_b).sent, 7);
    link_send_heartbeat(link_b, 8);
    assert_int_equal(link_take(link_a).sent, 8);
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
    /* The next one is sealed by the new key. */
    rp_link_drop(link_a);
    assert_int_equal(link_wait_lost(link_b), RP_LOST_EOF);
    UNTIL(both_up() || (poll_both(), false));
    link_send_heartbeat(link_a, 9);
    assert_int_equal(link_take(link_b).sent, 9);
    /* Who has the old one alone is refused from then on. */
    seal_anew(link_b, &one);
    rp_link_drop(link_a);
    assert_int_equal(link_wait_lost(link_b), RP_LOST_EOF);
    UNTIL(rp_link_stats(link_a)->refused[-FT_EPERM] >= 3 || (poll_both(), false));
    assert_int_equal(rp_link_stats(link_a)->connects, 2);
}

/* A stranger who has come under the old key, and a handshake under way. */
TEST_WITH(who_has_not_proved_himself_begins_again_under_the_new_key, link_setup, link_teardown)
{
    open_sealed(&one, &one);
    int fd = plain_connect(B);

    for (unsigned i = 0; i < 3; i++)
        link_poll_one(link_a);
    assert_false(plain_closed(fd));
    rp_link_poll(link_b, ft_now()); /* connects, and says the first word of its handshake */
    rp_link_poll(link_b, ft_now());
    seal_anew(link_a, &other);
    seal_anew(link_b, &other);
    assert_true(plain_closed(fd));
    UNTIL(both_up() || (poll_both(), false));
    close(fd);
}

TEST_WITH(who_speaks_without_a_seal_is_refused, link_setup, link_teardown)
{
    open_side(&link_a, true, link_port_b, &one);
    int fd = plain_connect(B);

    plain_hello(fd);
    UNTIL(plain_closed(fd) || (link_poll_one(link_a), false));
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EPERM], 1);
    assert_int_equal(rp_link_stats(link_a)->frames_in, 0);
    close(fd);
}

/* More of them than there are places, all silent; the peer comes last. */
TEST_WITH(strangers_do_not_keep_the_peer_out, link_setup, link_teardown)
{
    int fd[3 * 16];

    open_side(&link_a, true, link_port_b, &one);
    open_side(&link_b, false, link_port_a, &one);
    for (unsigned i = 0; i < 48; i++) {
        fd[i] = plain_connect(B);
        if (i % 8 == 7)
            link_poll_one(link_a);
    }
    UNTIL(both_up() || (poll_both(), false));
    /* Nor do they end what stands. */
    for (unsigned i = 0; i < 48; i++)
        UNTIL(plain_closed(fd[i]) || (poll_both(), false));
    assert_true(both_up());
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
    for (unsigned i = 0; i < 48; i++)
        close(fd[i]);
}

/* ---- certificates in place of a key ---- */

/* `name`'s certificate, which expects `peer`; both are signed by the authority `by`. */
static void open_certified(struct rp_link **link, bool a, const char *dir, const char *name, const char *peer)
{
    struct rp_link_config c = link_config(a);

    const char *certificate = help_print("%s/%s.pem", dir, name);
    const char *key = help_print("%s/%s.key", dir, name);
    const char *authority = help_print("%s/authority.pem", dir);
    c.seal = (struct rp_seal_config){
        .certificate = certificate, .private_key = key, .authority = authority, .peer_name = peer};
    link_open(link, &c);
}

TEST_WITH(certificates_of_both_names_seal_the_link, link_setup, link_teardown)
{
    static const char *const made[][2] = {{"authority", "authority"}, {"other", "other"},
                                          {"alpha", "authority"},     {"beta", "authority"},
                                          {"gamma", "authority"},     {"outsider", "other"}};
    static const char *const wrong[] = {"gamma", "outsider"}; /* another name; another authority's */
    char dir[] = "/tmp/certificates-XXXXXX";

    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
        certificate_make(dir, made[i][0], made[i][1]);
    open_certified(&link_a, true, dir, "alpha", "beta");
    open_certified(&link_b, false, dir, "beta", "alpha");
    UNTIL(both_up() || (poll_both(), false));
    link_send_heartbeat(link_b, 4);
    assert_int_equal(link_take(link_a).sent, 4);
    for (unsigned i = 0; i < 2; i++) {
        rp_link_close(link_a);
        rp_link_close(link_b);
        link_a = link_b = NULL;
        open_certified(&link_a, true, dir, "alpha", "beta");
        open_certified(&link_b, false, dir, wrong[i], "alpha");
        /* Its side of the handshake ends before it is refused, so it believes itself connected for a moment.
         */
        UNTIL(rp_link_stats(link_a)->refused[-FT_EPERM] >= 2 ||
              (poll_both(), rp_link_lost(link_b, &link_why), false));
        assert_false(rp_link_up(link_a));
        assert_int_equal(rp_link_stats(link_a)->connects, 0);
    }
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
        certificate_forget(dir, made[i][0]);
    rmdir(dir);
}

/* ---- somebody on the way ---- */

struct relay {
    int listener, to_b, to_a;
    size_t passed, spoil_at; /* bytes from b to a so far; the one that is changed */
};

static uint16_t relay_open(struct relay *r)
{
    uint16_t port = help_free_port(A);
    struct sockaddr_in at = link_address(A, port);

    *r = (struct relay){
        .listener = socket(AF_INET, SOCK_STREAM, 0), .to_a = -1, .to_b = -1, .spoil_at = SIZE_MAX};
    assert_int_equal(bind(r->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(r->listener, 4), 0);
    fcntl(r->listener, F_SETFL, O_NONBLOCK);
    return port;
}

static void relay_turn(struct relay *r)
{
    uint8_t bytes[65536];
    ssize_t n;

    if (r->to_b < 0 && (r->to_b = accept(r->listener, NULL, NULL)) >= 0)
        r->to_a = plain_connect(B);
    if (r->to_b < 0)
        return;
    if ((n = recv(r->to_b, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        if (r->spoil_at >= r->passed && r->spoil_at < r->passed + (size_t)n)
            bytes[r->spoil_at - r->passed] ^= 4;
        r->passed += (size_t)n;
        plain_send(r->to_a, bytes, (size_t)n);
    }
    if ((n = recv(r->to_a, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        plain_send(r->to_b, bytes, (size_t)n);
}

/* Until what b has said is on its way to a. */
static void relay_more(struct relay *r)
{
    size_t before = r->passed;

    UNTIL(r->passed > before)
    {
        relay_turn(r);
    }
}

static void relay_close(struct relay *r)
{
    close(r->listener);
    close(r->to_a);
    close(r->to_b);
}

static void connect_through(struct relay *r)
{
    open_side(&link_a, true, link_port_b, &one);
    open_side(&link_b, false, relay_open(r), &one);
    UNTIL(both_up() || (relay_turn(r), poll_both(), false));
}

TEST_WITH(a_byte_changed_on_the_way_is_refused, link_setup, link_teardown)
{
    struct relay r;

    connect_through(&r);
    link_send_heartbeat(link_b, 1);
    relay_more(&r);
    assert_int_equal(link_take(link_a).sent, 1);
    r.spoil_at = r.passed + 20;
    link_send_heartbeat(link_b, 2);
    relay_more(&r);
    assert_int_equal(link_wait_lost(link_a), RP_LOST_ERROR);
    assert_non_null(strstr(link_why.text, "bad record mac"));
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_ECHECKSUM], 1);
    assert_int_equal(rp_link_stats(link_a)->frames_in, 1);
    relay_close(&r);
}

/* Whoever is on the way can end a connection, but not in the peer's name: that would be its death. */
TEST_WITH(an_end_that_the_peer_did_not_say_is_no_death, link_setup, link_teardown)
{
    struct relay r;

    connect_through(&r);
    close(r.to_a);
    r.to_a = dup(r.to_b);
    assert_int_equal(link_wait_lost(link_a), RP_LOST_ERROR);
    relay_close(&r);
    rp_link_close(link_a);
    rp_link_close(link_b);
    connect_through(&r);
    plain_reset(r.to_b);
    r.to_b = dup(r.to_a);
    assert_int_equal(link_wait_lost(link_b), RP_LOST_ERROR);
    relay_close(&r);
}

TEST_WITH(an_end_that_the_peer_said_is_one, link_setup, link_teardown)
{
    open_sealed(&one, &one);
    UNTIL(both_up() || (poll_both(), false));
    link_send_heartbeat(link_b, 5);
    rp_link_close(link_b);
    link_b = NULL;
    assert_int_equal(link_take(link_a).sent, 5);
    assert_int_equal(link_wait_lost(link_a), RP_LOST_EOF);
}

/* What it said before its socket ended in a reset, since it had not read all, is heard though a write has
 * failed. */
TEST_WITH(an_end_that_the_peer_said_is_one_behind_a_failed_write, link_setup, link_teardown)
{
    open_sealed(&one, &one);
    UNTIL(both_up() || (poll_both(), false));
    link_send_heartbeat(link_a, 1);
    usleep(10000); /* it is in b's socket, unread */
    rp_link_close(link_b);
    link_b = NULL;
    usleep(10000);
    link_send_heartbeat(link_a, 2);
    rp_link_flush(link_a);
    assert_int_equal(link_wait_lost(link_a), RP_LOST_EOF);
}

/* A node is visited, and accepts, and says nothing. Then the peer is there: nobody goes on with the visit, so
 * it ends, and what its socket would tell wakes nobody. */
TEST_WITH(a_connection_ends_the_attempt_beside_it, link_setup, link_teardown)
{
    struct rp_node third = {.name = "third", .host = A};
    struct sockaddr_in at = link_address(A, 0);
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), visited;
    uint64_t began;

    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    third.port = ntohs(at.sin_port);
    open_side(&link_a, true, link_port_b, &one);
    assert_int_equal(rp_link_add(link_a, &third, &link_why), 0);
    rp_link_visit(link_a, true);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    UNTIL((link_poll_one(link_a), (visited = accept(listener, NULL, NULL)) >= 0));
    open_side(&link_b, false, link_port_a, &one);
    UNTIL(both_up() || (poll_both(), false));
    UNTIL(plain_closed(visited) || (poll_both(), false));
    close(visited);
    began = ft_now();
    rp_link_wait(link_a, 20000000);
    assert_true(ft_now() - began >= 20000000);
    close(listener);
}

/* More records than one key seals. */
TEST_WITH(megabytes_pass_whole_and_in_order, link_setup, link_teardown)
{
    static uint8_t bulk[600000];
    uint64_t sent = 0, came = 0;

    open_sealed(&one, &one);
    UNTIL(both_up() || (poll_both(), false));
    for (size_t i = 0; i < sizeof(bulk); i++)
        bulk[i] = (uint8_t)(i * 2654435761u >> 11);
    while (came < 150) {
        struct ft_message m = {
            .type = FT_MSG_SNAPSHOT, .state = FT_SOLO, .bulk = bulk, .bulk_len = sizeof(bulk)};

        if (sent < 150 && rp_link_room(link_a) >= sizeof(bulk)) {
            m.sent = ++sent;
            assert_int_equal(rp_link_send(link_a, &m, 1, NULL), 0);
        }
        poll_both();
        while (rp_link_next(link_b, 1, &m, &link_why) > 0) {
            assert_int_equal(m.sent, ++came);
            assert_int_equal(m.bulk_len, sizeof(bulk));
            assert_memory_equal(m.bulk, bulk, sizeof(bulk));
        }
    }
}
