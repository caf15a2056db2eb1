/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy top: what both nodes do in a second, once a second, until q. A rate is the difference of two
 * answers of one process over the time between them. The frame fits the terminal as it is now: lines are cut,
 * and as many lanes and NFs are shown as fit. Without a terminal it is one frame.
 */
#include "ftcore/base/clock.h"
#include "understudy/cli/pair.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define EVERY_NS 1000000000ull
#define ROWS_MAX 1000u

/* Two answers of each node. */
struct answers {
    json_t *before[ND_PAIR], *now[ND_PAIR]; /* owned; NULL: none */
    uint64_t before_at[ND_PAIR], at[ND_PAIR];
};

static volatile sig_atomic_t resized;

static void note_resize(int signal)
{
    (void)signal;
    resized = 1;
}

/* ---- rates ------------------------------------------------------------------------------------- */

static void take_status(struct nd_pair *pair, struct answers *seen)
{
    nd_pair_ask_status(pair);
    for (unsigned i = 0; i < ND_PAIR; i++) {
        json_decref(seen->before[i]);
        seen->before[i] = seen->now[i];
        seen->before_at[i] = seen->at[i];
        seen->now[i] = json_incref(pair->status[i]);
        seen->at[i] = ft_now();
        /* Another process counts from 0. */
        if (!json_equal(json_object_get(seen->before[i], "pid"), json_object_get(seen->now[i], "pid"))) {
            json_decref(seen->before[i]);
            seen->before[i] = NULL;
        }
    }
}

/* "12.3k" for people, seven columns at most. */
static const char *short_number(double n, char out[16])
{
    static const char units[] = " kMGTP";
    unsigned unit = 0;

    while (n >= 9999.5 && unit < sizeof(units) - 2) {
        n /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(out, 16, n < 99.95 && n > 0 ? "%.1f" : "%.0f", n);
    else
        snprintf(out, 16, n < 99.95 ? "%.1f%c" : "%.0f%c", n, units[unit]);
    return out;
}

/* Increase per second of a counter between two answers; "-": there is no earlier one. */
static const char *rate_of(const struct answers *seen, unsigned node, const json_t *before, const json_t *now,
                           char out[16])
{
    double seconds = (double)(seen->at[node] - seen->before_at[node]) / 1e9;
    double increase = json_number_value(now) - json_number_value(before);

    if (!seen->before[node] || !json_is_number(now) || !json_is_number(before) || seconds <= 0)
        return "-";
    return short_number(increase > 0 ? increase / seconds : 0, out);
}

static void print_nodes(const struct nd_pair *pair, const struct answers *seen, FILE *out)
{
    char rate[16], held[16], lag[16];

    fprintf(out, "%-10s  %-7s  %-9s  %8s  %7s  %7s  %7s  why\n", "node", "role", "state", "since_s", "lag",
            "held", "log B/s");
    for (unsigned i = 0; i < ND_PAIR; i++) {
        const json_t *s = seen->now[i];

        if (pair->only >= 0 && pair->only != (int)i)
            continue;
        if (!s) {
            fprintf(out, "%-10s  no answer: %s\n", pair->config->node[i].name, pair->why[i].text);
            continue;
        }
        fprintf(out, "%-10s  %-7s  %-9s  %8.0f  %7s  %7s  %7s  %s\n", pair->config->node[i].name,
                nd_text(s, "role", "-"), nd_text(s, "state", "-"), nd_number(s, "since_s"),
                short_number(nd_number(s, "lag_packets"), lag),
                short_number(nd_number(s, "held_packets"), held),
                rate_of(seen, i, json_object_get(seen->before[i], "log_bytes"),
                        json_object_get(s, "log_bytes"), rate),
                nd_text(s, "why", ""));
    }
}

static const struct {
    const char *title, *key;
    bool level; /* as it is now; else its rate */
} lane_columns[] = {
    {"in/s", "received", false},      {"out/s", "released", false},  {"drops/s", "dropped", false},
    {"replay/s", "replayed", false},  {"ring B/s", "logged", false}, {"held", "held", true},
    {"waits ms", "waited_ms", false},
};
#define LANE_COLUMNS (sizeof(lane_columns) / sizeof(lane_columns[0]))

static unsigned count_lanes(const struct answers *seen)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ND_PAIR; i++)
        count += (unsigned)json_array_size(json_object_get(seen->now[i], "lanes"));
    return count;
}

/* In us, how long 99 of 100 of the lane's outputs waited at most for their acknowledgement since the last
 * frame: the bound of a bucket. "-": none did. */
static const char *waits_most(const json_t *now, const json_t *before, char number[16])
{
    const json_t *is = json_object_get(now, "output_wait"), *was = json_object_get(before, "output_wait");
    json_int_t in[FT_HISTOGRAM_BUCKETS], longer, below = 0,
                                                 sum = json_integer_value(json_object_get(is, "count")) -
                                                       json_integer_value(json_object_get(was, "count"));
    unsigned i;

    for (i = 0; i < FT_HISTOGRAM_BUCKETS; i++) {
        in[i] = json_integer_value(json_array_get(json_object_get(is, "buckets"), i)) -
                json_integer_value(json_array_get(json_object_get(was, "buckets"), i));
        if (in[i] < 0) /* the node was restarted between the two */
            return "-";
        below += in[i];
    }
    sum = sum > below ? sum : below; /* count and buckets are not read at once */
    if (sum <= 0 || !before)
        return "-";
    longer = sum - below; /* than the last bound */
    if (longer * 100 > sum)
        return ">1M";
    for (i = FT_HISTOGRAM_BUCKETS - 1; i && (longer + in[i]) * 100 <= sum; i--)
        longer += in[i];
    return short_number((double)ft_histogram_bound(i) / 1000, number);
}

static void print_lane(const struct nd_pair *pair, const struct answers *seen, unsigned node, size_t lane,
                       FILE *out)
{
    const json_t *now = json_array_get(json_object_get(seen->now[node], "lanes"), lane),
                 *before = json_array_get(json_object_get(seen->before[node], "lanes"), lane);
    char number[16];

    fprintf(out, "%-10s  %4zu  %-6s", pair->config->node[node].name, lane, nd_text(now, "doing", "-"));
    for (size_t c = 0; c < LANE_COLUMNS; c++) {
        const json_t *value = json_object_get(now, lane_columns[c].key);

        fprintf(out, "  %8s",
                lane_columns[c].level
                    ? short_number(json_number_value(value), number)
                    : rate_of(seen, node, json_object_get(before, lane_columns[c].key), value, number));
    }
    fprintf(out, "  %8s\n", waits_most(now, before, number));
}

static void print_lanes(const struct nd_pair *pair, const struct answers *seen, unsigned room, FILE *out)
{
    unsigned left = count_lanes(seen), shown = left > room ? room - 1 : left;

    fprintf(out, "%-10s  %4s  %-6s", "node", "lane", "doing");
    for (size_t c = 0; c < LANE_COLUMNS; c++)
        fprintf(out, "  %8s", lane_columns[c].title);
    fprintf(out, "  %8s\n", "p99 us");
    for (unsigned i = 0; i < ND_PAIR; i++)
        for (size_t l = 0; shown && l < json_array_size(json_object_get(seen->now[i], "lanes")); l++) {
            print_lane(pair, seen, i, l, out);
            shown--;
            left--;
        }
    if (left)
        fprintf(out, "(%u more lanes)\n", left);
}

/* The sum of a list, by lane. */
static json_t *sum_of(const json_t *status, const char *nf, const char *what)
{
    const json_t *list = json_object_get(json_object_get(json_object_get(status, "passing"), nf), what), *one;
    json_int_t sum = 0;
    size_t l;

    json_array_foreach(list, l, one) sum += json_integer_value(one);
    return list ? json_integer(sum) : NULL;
}

/* The counters of an NF that move most, as many as the line has room for. */
static void print_counters(const struct answers *seen, unsigned node, const char *nf, FILE *out)
{
    const json_t *now = json_object_get(json_object_get(seen->now[node], "nfs"), nf),
                 *before = json_object_get(json_object_get(seen->before[node], "nfs"), nf);
    const char *said[3] = {NULL}, *name;
    json_t *value;
    char rate[16];

    for (unsigned i = 0; before && i < 3; i++) {
        json_int_t most = 0;

        json_object_foreach((json_t *)(uintptr_t)now, name, value)
        {
            json_int_t increase = json_integer_value(value) - nd_integer(before, name);

            if (increase > most && name != said[0] && name != said[1]) {
                most = increase;
                said[i] = name;
            }
        }
        if (said[i])
            fprintf(
                out, "  %s %s", said[i],
                rate_of(seen, node, json_object_get(before, said[i]), json_object_get(now, said[i]), rate));
    }
}

static void print_nfs(const struct answers *seen, unsigned node, unsigned room, FILE *out)
{
    json_t *nfs = json_object_get(seen->now[node], "passing"), *of;
    unsigned left = (unsigned)json_object_size(nfs), shown = left > room ? room - 1 : left;
    char rate[16];
    const char *nf;

    fprintf(out, "%-16s  %9s  %9s  counters that move most, per second\n", "NF", "packets/s", "drops/s");
    json_object_foreach(nfs, nf, of)
    {
        static const char *const what[] = {"packets", "dropped"};

        if (!shown)
            break;
        shown--;
        left--;
        fprintf(out, "%-16s", nf);
        for (unsigned i = 0; i < 2; i++) {
            json_t *before = sum_of(seen->before[node], nf, what[i]),
                   *now = sum_of(seen->now[node], nf, what[i]);

            fprintf(out, "  %9s", rate_of(seen, node, before, now, rate));
            json_decref(before);
            json_decref(now);
        }
        print_counters(seen, node, nf, out);
        fputc('\n', out);
    }
    if (left)
        fprintf(out, "(%u more NFs)\n", left);
    /* What is no NF, as L3, gets no packets of its own: it has counters, of its drops among them. */
    json_object_foreach(json_object_get(seen->now[node], "nfs"), nf, of)
    {
        if (json_object_get(nfs, nf))
            continue;
        fprintf(out, "%-16s  %9s  %9s", nf, "-", "-");
        print_counters(seen, node, nf, out);
        fputc('\n', out);
    }
}

/* ---- frames ------------------------------------------------------------------------------------ */

/* Whose NFs are shown. -1: no node answers. */
static int node_of_nfs(const struct nd_pair *pair)
{
    int node = nd_pair_judged(pair);

    if (node >= 0 && pair->status[node])
        return node;
    return pair->status[0] ? 0 : pair->status[1] ? 1 : -1;
}

static unsigned count_lines(const char *text)
{
    unsigned n = 0;

    while ((text = strchr(text, '\n')))
        n++, text++;
    return n;
}

/* All lines of the frame, at most `rows` of them where the rest can be left out. The caller frees it. */
static char *make_frame(const struct nd_pair *pair, const struct answers *seen, unsigned rows)
{
    int node = node_of_nfs(pair);
    unsigned nfs = node < 0 ? 0 : (unsigned)json_object_size(json_object_get(seen->now[node], "passing"));
    unsigned lanes = count_lanes(seen), used, room;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    nd_pair_print_verdict(pair, out);
    fputc('\n', out);
    print_nodes(pair, seen, out);
    fflush(out);
    used = count_lines(text) + 5; /* with the heads and blanks of both tables, and the line of L3 */
    room = rows > used + 2 ? rows - used : 2;
    if (lanes + nfs > room) { /* NFs are few; what they leave is the lanes' */
        nfs = nfs > room / 2 ? room / 2 : nfs;
        lanes = room - nfs;
    }
    if (lanes) {
        fputc('\n', out);
        print_lanes(pair, seen, lanes, out);
    }
    if (nfs) {
        fputc('\n', out);
        print_nfs(seen, (unsigned)node, nfs, out);
    }
    fclose(out);
    return text;
}

/* Each line at its place, cut at the terminal's width; the last row is the hint's. */
static void draw(const struct nd_pair *pair, const struct answers *seen)
{
    struct winsize is = {.ws_row = 24, .ws_col = 80};
    char *text, *line, *rest;
    unsigned row = 0;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &is) != 0 || is.ws_row == 0 || is.ws_col == 0)
        is = (struct winsize){.ws_row = 24, .ws_col = 80};
    text = make_frame(pair, seen, is.ws_row - 1u);
    rest = text;
    printf("\033[H");
    while (rest && *rest && row + 1 < is.ws_row && (line = strsep(&rest, "\n"))) {
        printf("%.*s\033[K\r\n", is.ws_col, line);
        row++;
    }
    printf("\033[J%.*s", is.ws_col, "q to quit");
    fflush(stdout);
    free(text);
}

/* ---- the command ------------------------------------------------------------------------------- */

/* Until a second has passed, a key is pressed or the window is another: true for q or the end of input. */
static bool quit_pressed(uint64_t until)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    uint64_t now = ft_now();
    char key;

    if (resized || nd_stopped || now >= until)
        return nd_stopped;
    if (poll(&in, 1, (int)((until - now) / 1000000) + 1) <= 0)
        return nd_stopped;
    return nd_stopped || read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

static void watch_pair(struct nd_pair *pair, struct answers *seen)
{
    const struct sigaction action = {.sa_handler = note_resize};
    struct termios before, raw;
    bool keys = tcgetattr(STDIN_FILENO, &before) == 0, quit = false;

    nd_catch_signals();
    sigaction(SIGWINCH, &action, NULL);
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    printf("\033[?1049h\033[?25l");
    while (!quit) {
        uint64_t until = ft_now() + EVERY_NS;

        take_status(pair, seen);
        do {
            resized = 0;
            draw(pair, seen);
            while (!quit && !resized && !nd_stopped && ft_now() < until)
                quit = quit_pressed(until);
            quit |= nd_stopped;
        } while (!quit && resized);
    }
    printf("\033[?25h\033[?1049l");
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static int print_once(struct nd_pair *pair, struct answers *seen)
{
    char *text;

    take_status(pair, seen);
    nanosleep(&(struct timespec){EVERY_NS / 1000000000ull, 0}, NULL);
    take_status(pair, seen);
    if ((text = make_frame(pair, seen, ROWS_MAX)))
        fputs(text, stdout);
    free(text);
    return nd_pair_exit(pair);
}

int nd_cmd_top(int argc, char **argv)
{
    struct answers seen = {.now = {NULL}};
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        code = print_once(&pair, &seen);
    else
        watch_pair(&pair, &seen);
    for (unsigned i = 0; i < ND_PAIR; i++) {
        json_decref(seen.before[i]);
        json_decref(seen.now[i]);
    }
    nd_pair_close(&pair);
    return code;
}
