/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a configuration, the content of its files, and libyaml's events as a tree; see yaml.h.
 * libyaml's state never outlives nd_yaml_read. */
#include "understudy/config/yaml.h"
#include "ftcore/base/trust.h"
#include "nflib/module/module.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

/* ---- memory -------------------------------------------------------------------------------------- */

struct block {
    struct block *next;
    max_align_t data[];
};

struct nd_arena {
    struct block *blocks;
};

struct nd_arena *nd_arena_new(void)
{
    return calloc(1, sizeof(struct nd_arena));
}

void nd_arena_free(struct nd_arena *arena)
{
    while (arena && arena->blocks) {
        struct block *block = arena->blocks;

        arena->blocks = block->next;
        free(block);
    }
    free(arena);
}

void *nd_arena_alloc(struct nd_arena *arena, size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + size);

    if (!block)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->data;
}

char *nd_arena_format(struct nd_arena *arena, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    text = len < 0 ? NULL : nd_arena_alloc(arena, (size_t)len + 1);
    if (text) {
        va_start(ap, fmt);
        vsnprintf(text, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    return text;
}

/* ---- files --------------------------------------------------------------------------------------- */

static const char *const no_memory = "no memory";

/* What may be there and is no file: not even opened, since that alone does something to a device. */
static const char *refuse_odd(const char *path)
{
    struct stat is;

    if (stat(path, &is) != 0 || access(path, R_OK) != 0)
        return strerror(errno);
    return S_ISREG(is.st_mode) ? NULL : "not a regular file";
}

static const char *keep(struct nf_file *out, struct nd_arena *arena, const char *path, const void *bytes,
                        uint32_t len)
{
    char *copy = nd_arena_alloc(arena, len + 1u), *name = nd_arena_text(arena, path, strlen(path));

    if (!copy || !name)
        return no_memory;
    if (len)
        memcpy(copy, bytes, len);
    *out = (struct nf_file){name, copy, len};
    return NULL;
}

/* Closes it. What is read beyond the size that the file had is seen, too: a file that grows is read as far as
 * it is. */
static const char *read_open(struct nf_file *out, struct nd_arena *arena, const char *path, int fd,
                             uint32_t max)
{
    uint32_t len = 0, cap = 4096;
    char *bytes = malloc(cap), *more;
    const char *why = NULL;
    ssize_t n = -1;

    while (bytes && len <= max && (n = read(fd, bytes + len, cap - len)) > 0) {
        len += (uint32_t)n;
        if (len < cap)
            continue;
        more = realloc(bytes, cap *= 2);
        if (!more)
            free(bytes);
        bytes = more;
    }
    if (!bytes)
        why = no_memory;
    else if (len > max)
        why = strerror(EFBIG);
    else if (n < 0)
        why = strerror(errno);
    close(fd);
    if (!why)
        why = keep(out, arena, path, bytes, len);
    free(bytes);
    return why;
}

const char *nd_files_name(const char *pair, const char *path)
{
    const char *slash = strrchr(pair, '/');
    size_t dir = slash ? (size_t)(slash - pair) + 1 : 0;

    if (strncmp(path, pair, dir) == 0)
        path += dir;
    return strncmp(path, "./", 2) == 0 ? path + 2 : path;
}

static const struct nd_file *find_in(const struct nd_files *over, const char *path)
{
    const char *name = nd_files_name(over->pair, path);

    for (uint32_t i = 0; i < over->count; i++)
        if (strcmp(over->list[i].path, name) == 0)
            return &over->list[i];
    return NULL;
}

static bool is_over(const struct nd_files *over, const char *path)
{
    return over && strcmp(path, over->pair) != 0;
}

int nd_content_read(struct nf_file *out, struct nd_arena *arena, const char *path,
                    const struct nd_yaml_file *of, uint32_t max, const char **why, struct ft_fault *fault)
{
    const struct nd_file *file;
    int fd;

    *why = NULL;
    errno = 0;
    if (is_over(of->over, path)) {
        file = find_in(of->over, path);
        *why = !file             ? "not among the files that came"
               : file->len > max ? strerror(EFBIG)
                                 : keep(out, arena, path, file->bytes, file->len);
        return *why ? FT_EIO : 0;
    }
    fd = ft_trust_open(path, of->trust, fault);
    if (fd < 0) {
        *why = errno ? strerror(errno) : NULL;
        return fd;
    }
    errno = 0;
    *why = read_open(out, arena, path, fd, max);
    return *why ? FT_EIO : 0;
}

const char *nd_content_find(const char *path, const struct nd_files *over)
{
    return is_over(over, path) && find_in(over, path) ? NULL : refuse_odd(path);
}

/* ---- the tree ------------------------------------------------------------------------------- */

#define SHOWN_MAX 100u /* of a path in a message, so that the reason fits behind it */

const struct ft_trust nd_trust_pair = {.expected = "a configuration"};

struct reading {
    yaml_parser_t parser;
    struct nd_arena *arena;
    const struct nd_yaml_file *file;
    const char *bytes;
    size_t size;
    struct ft_fault *fault;
};

int nd_yaml_fail(struct ft_fault *fault, const struct nd_yaml *yaml, const char *fmt, ...)
{
    char text[sizeof(fault->text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return ft_fail(fault, FT_EMALFORMED, "%s:%u: %s", yaml->file->shown,
                   yaml->key_line ? yaml->key_line : yaml->line, text);
}

const struct nd_yaml *nd_yaml_get(const struct nd_yaml *map, const char *key)
{
    if (!map || map->kind != ND_YAML_MAP)
        return NULL;
    for (const struct nd_yaml *entry = map->first; entry; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return entry;
    return NULL;
}

const char *nd_path_join(struct nd_arena *arena, const char *dir, const char *path)
{
    if (path[0] == '/' || strcmp(dir, ".") == 0)
        return nd_arena_text(arena, path, strlen(path));
    return nd_arena_format(arena, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

static const struct nd_yaml_file *file_of(struct nd_arena *arena, const char *path,
                                          const struct ft_trust *trust, const struct nd_files *over)
{
    struct nd_yaml_file *file = nd_arena_alloc(arena, sizeof(*file));
    const char *slash = strrchr(path, '/');
    size_t len = strlen(path);
    char *shown;

    shown = len > SHOWN_MAX ? nd_arena_format(arena, "...%s", path + len - SHOWN_MAX)
                            : nd_arena_text(arena, path, len);
    if (!file || !shown)
        return NULL;
    for (char *c = shown; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    file->shown = shown;
    file->trust = trust;
    file->over = over;
    file->dir = !slash ? "." : slash == path ? "/" : nd_arena_text(arena, path, (size_t)(slash - path));
    return file->dir ? file : NULL;
}

static uint32_t line_at(const struct reading *r, size_t offset)
{
    uint32_t line = 1;

    for (size_t i = 0; i < offset && i < r->size; i++)
        line += r->bytes[i] == '\n';
    return line;
}

/* Fails at a line of the file; libyaml sees the end on a line of its own. */
#define fail_at(r, at, ...)                                                                                  \
    nd_yaml_fail((r)->fault, &(struct nd_yaml){.file = (r)->file, .line = line_of((r), (at))}, __VA_ARGS__)

static uint32_t line_of(const struct reading *r, uint32_t line)
{
    uint32_t last = line_at(r, r->size ? r->size - 1 : 0);

    return line < last ? line : last;
}

/* What libyaml objects to. Problems of encoding come with an offset, the others with a line. */
static int fail_libyaml(struct reading *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_MEMORY_ERROR)
        return nd_no_memory(r->fault);
    if (p->error == YAML_READER_ERROR)
        return fail_at(r, line_at(r, p->problem_offset), "not YAML: %s, expected UTF-8 text",
                       p->problem ? p->problem : "unreadable");
    return fail_at(r, (uint32_t)p->problem_mark.line + 1, "not YAML: %s%s%s%s",
                   p->problem ? p->problem : "unreadable", p->context ? " (" : "",
                   p->context ? p->context : "", p->context ? ")" : "");
}

static uint32_t event_line(const yaml_event_t *event)
{
    return (uint32_t)event->start_mark.line + 1;
}

static bool event_decorated(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return event->type == YAML_ALIAS_EVENT;
    }
}

/* The next event, to be deleted by the caller when 0 is returned. */
static int next_event(struct reading *r, yaml_event_t *event)
{
    int error = 0;

    if (!yaml_parser_parse(&r->parser, event))
        return fail_libyaml(r);
    if (event_decorated(event)) {
        error = fail_at(r, event_line(event), "an anchor, alias or tag, expected a plain value");
        yaml_event_delete(event);
    }
    return error;
}

static int text_node(struct reading *r, const yaml_event_t *event, struct nd_yaml *node)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    yaml_scalar_style_t style = event->data.scalar.style;

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
            return fail_at(r, node->line, "text with a line end or control character, expected one line");
    node->kind = ND_YAML_TEXT;
    node->quoted = style != YAML_PLAIN_SCALAR_STYLE;
    if (!node->quoted && (strcmp(value, "~") == 0 || strcmp(value, "null") == 0))
        len = 0;
    node->text = nd_arena_text(r->arena, value, len);
    return node->text ? 0 : nd_no_memory(r->fault);
}

static int build_value(struct reading *r, const yaml_event_t *event, unsigned depth, struct nd_yaml **out);

/* The value behind a key; `event` is the key's. */
static int build_entry(struct reading *r, const struct nd_yaml *map, const yaml_event_t *event,
                       unsigned depth, struct nd_yaml **out)
{
    struct nd_yaml key = {.line = event_line(event), .file = r->file};
    const struct nd_yaml *before;
    yaml_event_t value;
    int error;

    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(r, key.line, "a list or map as a key, expected a name");
    if ((error = text_node(r, event, &key)))
        return error;
    before = nd_yaml_get(map, key.text);
    if (before)
        return fail_at(r, key.line, "duplicate key \"%.60s\", expected once (first on line %u)", key.text,
                       before->key_line);
    if ((error = next_event(r, &value)))
        return error;
    error = build_value(r, &value, depth, out);
    yaml_event_delete(&value);
    if (!error) {
        (*out)->key = key.text;
        (*out)->key_line = key.line;
    }
    return error;
}

static int build_children(struct reading *r, struct nd_yaml *node, unsigned depth)
{
    struct nd_yaml **tail = &node->first;

    if (depth >= ND_YAML_DEPTH)
        return fail_at(r, node->line, "nested more than %u deep, expected less", ND_YAML_DEPTH);
    for (;;) {
        yaml_event_t event;
        bool end;
        int error = next_event(r, &event);

        if (error)
            return error;
        end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        if (!end && node->count == ND_YAML_CHILDREN)
            error = fail_at(r, event_line(&event), "more than %u entries, expected fewer", ND_YAML_CHILDREN);
        else if (!end)
            error = node->kind == ND_YAML_MAP ? build_entry(r, node, &event, depth + 1, tail)
                                              : build_value(r, &event, depth + 1, tail);
        yaml_event_delete(&event);
        if (error || end)
            return error;
        tail = &(*tail)->next;
        node->count++;
    }
}

/* The node that starts with `event`, children included. Linked into *out only when whole. */
static int build_value(struct reading *r, const yaml_event_t *event, unsigned depth, struct nd_yaml **out)
{
    struct nd_yaml *node = nd_arena_alloc(r->arena, sizeof(*node));
    int error;

    if (!node)
        return nd_no_memory(r->fault);
    node->file = r->file;
    node->line = event_line(event);
    node->text = "";
    if (event->type == YAML_SCALAR_EVENT) {
        error = text_node(r, event, node);
    } else {
        node->kind = event->type == YAML_MAPPING_START_EVENT ? ND_YAML_MAP : ND_YAML_LIST;
        error = build_children(r, node, depth);
    }
    if (!error)
        *out = node;
    return error;
}

static int expect_event(struct reading *r, yaml_event_type_t type, const char *found)
{
    yaml_event_t event;
    int error = next_event(r, &event);

    if (error)
        return error;
    if (event.type != type)
        error = fail_at(r, event_line(&event), "%s", found);
    yaml_event_delete(&event);
    return error;
}

static int build_document(struct reading *r, struct nd_yaml **root)
{
    yaml_event_t event;
    int error;

    if ((error = expect_event(r, YAML_STREAM_START_EVENT, "not a stream, expected YAML")) ||
        (error = expect_event(r, YAML_DOCUMENT_START_EVENT, "empty file, expected a configuration")) ||
        (error = next_event(r, &event)))
        return error;
    error = build_value(r, &event, 0, root);
    yaml_event_delete(&event);
    if (!error)
        error = expect_event(r, YAML_DOCUMENT_END_EVENT, "more than one value, expected one");
    return error ? error : expect_event(r, YAML_STREAM_END_EVENT, "a second document, expected one");
}

/* The reason is in errno where the disk gave it. */
static int refuse_content(const struct reading *r, const char *why)
{
    int error = errno == EACCES ? FT_EPERM : errno == ENOENT || errno == ENOTDIR ? FT_ENOENT : FT_EIO;

    if (strcmp(why, strerror(EFBIG)) == 0)
        return ft_fail(r->fault, FT_EMALFORMED, "%s: larger than 1 MiB, expected a configuration",
                       r->file->shown);
    return ft_fail(r->fault, error, "%s: cannot be opened (%s), expected a readable file", r->file->shown,
                   why);
}

/* The document of a content. */
static int build_tree(struct reading *r, const struct nd_yaml **root, const struct nf_file *text)
{
    struct nd_yaml *tree = NULL;
    int error;

    if (!yaml_parser_initialize(&r->parser))
        return nd_no_memory(r->fault);
    r->bytes = text->bytes;
    r->size = text->len;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->bytes, r->size);
    error = build_document(r, &tree);
    yaml_parser_delete(&r->parser);
    *root = error ? NULL : tree;
    return error;
}

int nd_yaml_read_text(const struct nd_yaml **root, const struct nf_file *text, struct nd_arena *arena,
                      const char *path, const struct ft_trust *trust, struct ft_fault *fault)
{
    struct reading r = {.arena = arena, .file = file_of(arena, path, trust, NULL), .fault = fault};

    *root = NULL;
    return r.file ? build_tree(&r, root, text) : nd_no_memory(fault);
}

int nd_yaml_read(const struct nd_yaml **root, struct nf_file *text, struct nd_arena *arena, const char *path,
                 const struct ft_trust *trust, const struct nd_files *over, struct ft_fault *fault)
{
    struct reading r = {.arena = arena, .file = file_of(arena, path, trust, over), .fault = fault};
    const char *why;
    int error = r.file ? 0 : nd_no_memory(fault);

    *root = NULL;
    if (error)
        return error;
    error = nd_content_read(text, arena, path, r.file, ND_YAML_BYTES, &why, fault);
    if (error)
        return why ? refuse_content(&r, why) : error;
    return build_tree(&r, root, text);
}
