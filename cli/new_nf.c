/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy new-nf: a module to begin with, its Makefile, test and chain files, from the templates that are
 * installed with the program, or lie in its tree. In them @NAME@ is the NF, @BUILD@ the tree's build
 * directory ("": the program is installed).
 */
#include "node/base/process.h"
#include "cli/options.h"
#include "nflib/module/module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LETTERS 31
#define FILE_MAX     65536u

static const char *const templates[] = {"NAME.c", "test_NAME.c", "Makefile", "chain.yaml", "test.yaml"};
#define TEMPLATES (sizeof(templates) / sizeof(templates[0]))

static const char *const places[] = {"share/understudy/new-nf", "examples/new-nf"};

static const struct nd_option no_rows[] = {{.name = NULL}};
const struct nd_syntax nd_new_nf_syntax = {"new-nf", no_rows, "NAME DIR", 2, 2};

/* A name of files and in YAML; in C it is text alone. */
static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return *name >= 'a' && *name <= 'z' && !name[len] && len <= NAME_LETTERS;
}

/* Of a program in a tree that was built: the directory in which it lies beside its headers. */
static void find_build(char out[1024])
{
    char path[1100];
    ssize_t len = readlink("/proc/self/exe", out, 1023);
    char *slash;

    out[len > 0 ? len : 0] = '\0';
    slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    snprintf(path, sizeof(path), "%s/include/nflib/nf.h", out);
    if (access(path, R_OK) != 0)
        out[0] = '\0';
}

static bool starts_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

/* 0, or an exit code with its line. */
static int fail_at(const char *path)
{
    fprintf(stderr, "understudy new-nf: %s: %s\n", path, strerror(errno));
    return errno == EACCES ? ND_NO_PERMISSION : ND_DATA;
}

/* The file, or nothing. */
static int write_filled(const char *from, const char *to, const char *name, const char *build)
{
    static char text[FILE_MAX];
    FILE *in = fopen(from, "re"), *out;
    size_t len = in ? fread(text, 1, sizeof(text) - 1, in) : 0;
    int code = 0;

    if (!in)
        return fail_at(from);
    fclose(in);
    text[len] = '\0';
    out = fopen(to, "wxe"); /* nothing that is there is replaced */
    if (!out)
        return fail_at(to);
    for (const char *at = text; *at; at++)
        if (starts_with(at, "@NAME@")) {
            fputs(name, out);
            at += strlen("@NAME@") - 1;
        } else if (starts_with(at, "@BUILD@")) {
            fputs(build, out);
            at += strlen("@BUILD@") - 1;
        } else {
            fputc(*at, out);
        }
    if (ferror(out))
        code = fail_at(to);
    if (fclose(out) != 0 && !code)
        code = fail_at(to);
    if (code)
        unlink(to);
    return code;
}

static bool find_template(const char *file, char *out, size_t cap)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (nd_installed(places[i], file, out, cap))
            return true;
    fprintf(stderr, "understudy new-nf: no template %s, expected it in %s or %s beside the program\n", file,
            places[0], places[1]);
    return false;
}

/* "test_NAME.c" of that NF, in the directory. */
static void path_of(char *out, size_t cap, const char *dir, const char *file, const char *name)
{
    const char *at = strstr(file, "NAME");

    if (at)
        snprintf(out, cap, "%s/%.*s%s%s", dir, (int)(at - file), file, name, at + strlen("NAME"));
    else
        snprintf(out, cap, "%s/%s", dir, file);
}

/* Looked at before anything is written. */
static int refuse_existing(const char *dir, const char *name)
{
    char path[1400];

    for (size_t i = 0; i < TEMPLATES; i++) {
        path_of(path, sizeof(path), dir, templates[i], name);
        if (access(path, F_OK) == 0) {
            fprintf(stderr, "understudy new-nf: %s is there, expected a new directory, or one without it\n",
                    path);
            return ND_DATA;
        }
    }
    return 0;
}

/* All of them; what cannot be is an exit code, and takes those before it along. */
static int write_all(const char *dir, const char *name)
{
    char from[1400], to[1400], build[1024];
    int code = 0;

    find_build(build);
    for (size_t i = 0; i < TEMPLATES && !code; i++) {
        path_of(to, sizeof(to), dir, templates[i], name);
        code = find_template(templates[i], from, sizeof(from)) ? write_filled(from, to, name, build)
                                                               : ND_SOFTWARE;
        for (size_t k = 0; code && k < i; k++) {
            path_of(to, sizeof(to), dir, templates[k], name);
            unlink(to);
        }
    }
    return code;
}

int nd_cmd_new_nf(int argc, char **argv)
{
    struct nd_options none = {.file = NULL};
    struct nd_arguments rest;
    const char *name, *dir;
    char file[NAME_LETTERS + 4], path[1024];
    bool made;
    int code = nd_syntax_read(&nd_new_nf_syntax, &none, argc, argv, &rest);

    if (code)
        return code;
    name = rest.argv[0];
    dir = rest.argv[1];
    if (!is_name(name))
        return nd_usage("new-nf", "NAME %.40s, expected at most %d of a-z, 0-9 and _, a letter first", name,
                        NAME_LETTERS);
    snprintf(file, sizeof(file), "%s.so", name);
    if (nf_module_find(name) || nd_installed(ND_MODULES, file, path, sizeof(path)))
        return nd_usage("new-nf", "there is an NF %.40s, expected another name", name);
    if (strlen(dir) > 1024)
        return nd_usage("new-nf", "DIR of %zu bytes, expected 1024 at most", strlen(dir));
    if ((code = refuse_existing(dir, name)))
        return code;
    made = mkdir(dir, 0777) == 0;
    if (!made && errno != EEXIST)
        return fail_at(dir);
    code = write_all(dir, name);
    if (code && made)
        rmdir(dir);
    if (!code)
        printf("%s: an NF %s, its chain and its test. Next: make -C %s check\n", dir, name, dir);
    return code;
}
