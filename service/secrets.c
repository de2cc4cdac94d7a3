/* secrets.c - the set of secrets: which there are, where each may go, how each looks when it comes
 * back. See secrets.h. */
#include "service/secrets.h"

#include "base/buf.h"
#include "service/net/http_url.h"
#include "service/workflow/doc.h"

#include <stdlib.h>

/* A way in which a server may write it back. */
struct form {
    struct form *next;
    struct pl_str text;
};

struct bound {
    struct bound *next;
    struct http_origin origin;
};

struct secret {
    struct secret *next;
    struct pl_str name, value;
    struct bound *origins;
    struct form *forms;
};

struct secrets {
    struct pl_arena *arena;
    struct secret *list; /* the one added last first */
    size_t count;
};

static const char HIDDEN[] = "***"; /* shorter than any secret */

struct secrets *secrets_create(void)
{
    struct secrets *secrets = calloc(1, sizeof *secrets);

    if (!secrets)
        return NULL;
    secrets->arena = pl_arena_create(0);
    if (!secrets->arena) {
        free(secrets);
        return NULL;
    }
    return secrets;
}

static void wipe(struct pl_str text)
{
    explicit_bzero((void *)(uintptr_t)text.ptr, text.len);
}

void secrets_destroy(struct secrets **secrets)
{
    if (!*secrets)
        return;
    for (struct secret *secret = (*secrets)->list; secret; secret = secret->next) {
        wipe(secret->value);
        for (struct form *form = secret->forms; form; form = form->next)
            wipe(form->text);
    }
    pl_arena_destroy(&(*secrets)->arena);
    free(*secrets);
    *secrets = NULL;
}

/* ---- how it may come back ---- */

static void write_json(struct pl_str value, struct pl_buf *out, bool slashes)
{
    for (size_t i = 0; i < value.len; i++) {
        const char c = value.ptr[i];

        if (c == '"' || c == '\\' || (slashes && c == '/'))
            pl_buf_char(out, '\\');
        pl_buf_char(out, c);
    }
}

static void write_percent(struct pl_str value, struct pl_buf *out, const char *digits)
{
    for (size_t i = 0; i < value.len; i++) {
        const unsigned char c = (unsigned char)value.ptr[i];

        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("-._~", c)) {
            pl_buf_char(out, (char)c);
            continue;
        }
        pl_buf_char(out, '%');
        pl_buf_char(out, digits[c >> 4]);
        pl_buf_char(out, digits[c & 15]);
    }
}

/* The whole value alone: without padding, whose place depends on what follows. */
static void write_base64(struct pl_str value, struct pl_buf *out)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, held = 0;

    for (size_t i = 0; i < value.len; i++) {
        bits = bits << 8 | (unsigned char)value.ptr[i];
        for (held += 8; held >= 6; held -= 6)
            pl_buf_char(out, signs[bits >> (held - 6) & 63]);
    }
}

static bool keep_form(struct secrets *secrets, struct secret *secret, const struct pl_buf *buf)
{
    const struct pl_str text = pl_buf_view(buf);
    struct form *form;

    if (pl_buf_failed(buf))
        return false;
    for (form = secret->forms; form; form = form->next)
        if (pl_str_eq(form->text, text))
            return true;
    form = pl_arena_alloc(secrets->arena, sizeof *form);
    if (!form)
        return false;
    *form = (struct form){.next = secret->forms, .text = pl_arena_str(secrets->arena, text)};
    secret->forms = form;
    return !pl_arena_failed(secrets->arena);
}

static bool make_forms(struct secrets *secrets, struct secret *secret)
{
    struct pl_buf buf;
    bool ok = true;

    pl_buf_init(&buf, (size_t)SECRET_BYTES_MAX * 3);
    for (unsigned i = 0; i < 6 && ok; i++) {
        pl_buf_reset(&buf);
        switch (i) {
        case 0:
            pl_buf_str(&buf, secret->value);
            break;
        case 1:
        case 2:
            write_json(secret->value, &buf, i == 2);
            break;
        case 3:
        case 4:
            write_percent(secret->value, &buf, i == 3 ? "0123456789ABCDEF" : "0123456789abcdef");
            break;
        default:
            write_base64(secret->value, &buf);
        }
        ok = keep_form(secrets, secret, &buf);
    }
    if (buf.data)
        explicit_bzero(buf.data, buf.len);
    pl_buf_finish(&buf);
    return ok;
}

/* ---- adding ---- */

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static struct secret *find(const struct secrets *secrets, struct pl_str name)
{
    for (struct secret *secret = secrets ? secrets->list : NULL; secret; secret = secret->next)
        if (pl_str_eq(secret->name, name))
            return secret;
    return NULL;
}

static bool is_name(struct pl_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];

        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' ||
              c == '-' || c == '.'))
            return false;
    }
    return name.len > 0 && name.len <= 64;
}

/* Not a word of it in a message. */
static enum pl_code check_value(struct pl_str value, struct pl_err *err)
{
    if (value.len < SECRET_BYTES_MIN || value.len > SECRET_BYTES_MAX)
        return pl_err_set(
            err, PL_ERR_INVALID_CONFIG,
            "a secret has from %d to %d bytes; a shorter one could not be kept out of "
            "answers",
            SECRET_BYTES_MIN, SECRET_BYTES_MAX);
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
            return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                              "a secret is one line without control characters");
    return PL_OK;
}

enum pl_code secrets_add(struct secrets *secrets, struct pl_str name, struct pl_str value,
                         struct pl_err *err)
{
    struct secret *secret;

    if (!is_name(name))
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "a secret's name has letters, digits, '_', '-' and '.', at most 64");
    if (find(secrets, name))
        return pl_err_set(err, PL_ERR_INVALID_CONFIG, "there is a secret of this name already");
    if (check_value(value, err) != PL_OK)
        return err->code;
    secret = pl_arena_alloc(secrets->arena, sizeof *secret);
    if (!secret)
        return no_memory(err);
    *secret = (struct secret){.name = pl_arena_str(secrets->arena, name),
                              .value = pl_arena_str(secrets->arena, value)};
    if (pl_arena_failed(secrets->arena) || !make_forms(secrets, secret))
        return no_memory(err);
    secret->next = secrets->list;
    secrets->list = secret;
    secrets->count++;
    return PL_OK;
}

enum pl_code secrets_bind(struct secrets *secrets, struct pl_str origin, struct pl_err *err)
{
    struct secret *secret = secrets->list;
    struct bound *bound = pl_arena_alloc(secrets->arena, sizeof *bound);
    enum pl_code code;

    if (!bound || !secret)
        return no_memory(err);
    code = http_url_only_origin(secrets->arena, origin, &bound->origin, err);
    if (code == PL_ERR_INVALID_ARGUMENT) {
        struct pl_err why = *err;

        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "\"%.*s\" is no origin: %s; write https://crm.example",
                          PL_STR_ARG(origin), why.message);
    }
    if (code != PL_OK)
        return code;
    bound->next = secret->origins;
    secret->origins = bound;
    return PL_OK;
}

/* ---- using ---- */

static const char *nearest(const struct secrets *secrets, struct pl_str name,
                           struct pl_arena *scratch)
{
    const char **names =
        pl_arena_alloc_array(scratch, (secrets ? secrets->count : 0) + 1, sizeof *names);
    size_t n = 0;

    if (!names)
        return NULL;
    for (struct secret *secret = secrets ? secrets->list : NULL; secret; secret = secret->next)
        names[n++] = secret->name.ptr;
    names[n] = NULL;
    return doc_nearest(name, names);
}

bool secrets_has(const struct secrets *secrets, struct pl_str name, struct pl_err *err)
{
    struct pl_arena *scratch;
    const char *near;

    if (find(secrets, name))
        return true;
    scratch = pl_arena_create(0);
    near = scratch ? nearest(secrets, name, scratch) : NULL;
    if (near)
        pl_err_set(err, PL_ERR_SECRET_UNKNOWN,
                   "there is no secret '%.*s' in the configuration; did you mean '%s'?",
                   PL_STR_ARG(name), near);
    else
        pl_err_set(err, PL_ERR_SECRET_UNKNOWN,
                   "there is no secret '%.*s'; add it under 'secrets' in the configuration",
                   PL_STR_ARG(name));
    pl_arena_destroy(&scratch);
    return false;
}

enum pl_code secrets_take(const struct secrets *secrets, struct pl_str name, struct pl_str url,
                          struct pl_arena *arena, struct pl_str *ret_value, struct pl_err *err)
{
    const struct secret *secret = find(secrets, name);
    struct http_origin origin;
    enum pl_code code;

    if (!secret) {
        (void)secrets_has(secrets, name, err);
        return PL_ERR_SECRET_UNKNOWN;
    }
    code = http_url_origin(arena, url, &origin, err);
    if (code != PL_OK)
        return code;
    for (const struct bound *bound = secret->origins; bound; bound = bound->next) {
        if (http_origin_same(&bound->origin, &origin)) {
            *ret_value = secret->value;
            return PL_OK;
        }
    }
    return pl_err_set(err, PL_ERR_SECRET_DENIED,
                      "the secret '%.*s' may not be sent to %.*s://%.*s:%.*s: that is none of its "
                      "'origins' in the configuration",
                      PL_STR_ARG(name), PL_STR_ARG(origin.scheme), PL_STR_ARG(origin.host),
                      PL_STR_ARG(origin.port));
}

static size_t hide(struct pl_str form, char *text, size_t len)
{
    char *end = text + len, *from = text, *to = NULL, *found;

    while ((found = memmem(from, (size_t)(end - from), form.ptr, form.len))) {
        if (!to)
            to = found;
        else {
            memmove(to, from, (size_t)(found - from));
            to += found - from;
        }
        memcpy(to, HIDDEN, sizeof HIDDEN - 1);
        to += sizeof HIDDEN - 1;
        from = found + form.len;
    }
    if (!to)
        return len;
    memmove(to, from, (size_t)(end - from));
    return (size_t)(to - text) + (size_t)(end - from);
}

size_t secrets_hide(const struct secrets *secrets, char *text, size_t len)
{
    for (const struct secret *secret = secrets ? secrets->list : NULL; secret && len;
         secret = secret->next)
        for (const struct form *form = secret->forms; form && len; form = form->next)
            len = hide(form->text, text, len);
    return len;
}
