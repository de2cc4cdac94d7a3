/* config.c - the configuration file and the environment, read by a table of keys. See config.h. */
#include "service/config/config_private.h"

#include "base/limits.h"
#include "service/config/config_limits.h"
#include "service/config/config_models.h"
#include "service/llm/provider.h"
#include "service/net/net_policy.h"
#include "service/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const struct config_key config_keys[] = {
    {"providers.*.kind", "openai | anthropic | gemini | sim", "the provider's name",
     "which wire format the provider speaks"},
    {"providers.*.base_url", "URL", "the kind's own", "where its API is; may be a private address"},
    {"providers.*.api_key", "text", "none",
     "its key; write \"${NAME}\" to take it from the environment"},
    {"providers.*.api_key_file", "path", "none", "a file that holds the key"},
    {"providers.*.limits.concurrency", "number", "none", "calls under way at once"},
    {"providers.*.limits.rpm", "number", "none", "requests in any minute"},
    {"providers.*.limits.tpm", "number", "none", "tokens in any minute, input and output"},
    {"providers.*.models.*", "limits", "the provider's",
     "concurrency, rpm and tpm of one model, which then count for it alone"},
    {"providers.*.ca_file", "path", "the system's",
     "certificates (PEM) to trust in place of the system's, for a server of your own"},
    {"providers.*.dialect", "openai | azure | compatible", "by the host of base_url",
     "which of the servers that speak like OpenAI it is"},
    {"providers.*.api_version", "text", "none",
     "of Azure, where base_url does not end in /openai/v1"},
    {"models.*.input_usd_per_mtok", "number", "none",
     "the price of a million input tokens of provider/model in US dollars"},
    {"models.*.cached_input_usd_per_mtok", "number", "that of input",
     "the same, of those the provider had in its cache"},
    {"models.*.cache_write_usd_per_mtok", "number", "that of input",
     "the same, of those it wrote to its cache"},
    {"models.*.output_usd_per_mtok", "number", "none", "the same, of output tokens"},
    {"secrets.*.value", "text", "none",
     "what http steps send that name it; write \"${NAME}\" to take it from the environment"},
    {"secrets.*.value_file", "path", "none", "a file that holds it, instead of value"},
    {"secrets.*.origins", "list of URLs", "none, required",
     "where it may be sent: scheme, host and port"},
    {"network.allow_private", "list of CIDR or host:port", "[]",
     "private addresses that http steps may reach all the same"},
    {"limits.step_output_bytes", "bytes", "4194304", "the largest output of one step"},
    {"limits.body_bytes", "bytes", "8388608", "the largest body of a request"},
    {"limits.runs", "number", "10000", "runs going on at once; the rest is refused"},
    {"limits.branches_per_run", "number", "1000000", "items that all maps of one run may have"},
};
const size_t config_keys_count = PL_ARRAY_LEN(config_keys);

/* ---- reading files ---- */

static enum pl_code read_all(int fd, struct pl_buf *buf, const char *path, struct pl_err *err)
{
    char piece[16384];
    ssize_t got;

    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pl_err_set(err, PL_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        pl_buf_append(buf, piece, (size_t)got);
        if (buf->too_large)
            return pl_err_set(err, PL_ERR_TOO_LARGE, "%s is larger than %zu bytes", path, buf->max);
    }
    return PL_OK;
}

enum pl_code config_read_file(struct pl_arena *arena, const char *path, size_t max,
                              struct pl_str *ret_text, struct pl_err *err)
{
    struct pl_buf buf;
    enum pl_code code;
    /* opening it anew fails where it is a socket, as under some supervisors */
    bool standard_input = strcmp(path, "/dev/stdin") == 0;
    int fd =
        standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return pl_err_set(err, errno == ENOENT ? PL_ERR_NOT_FOUND : PL_ERR_IO, "cannot open %s: %s",
                          path, strerror(errno));
    pl_buf_init(&buf, max);
    code = read_all(fd, &buf, path, err);
    close(fd);
    if (code == PL_OK) {
        *ret_text = pl_arena_str(arena, pl_buf_view(&buf));
        if (pl_buf_failed(&buf) || pl_arena_failed(arena))
            code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory reading %s", path);
    }
    pl_buf_finish(&buf);
    return code;
}

/* ---- values ---- */

const char *config_expand(struct config_reader *reader, const struct doc_node *node)
{
    struct pl_buf buf;
    struct pl_str text = node->text;
    const char *result = NULL;

    pl_buf_init(&buf, PL_LIMIT_DOCUMENT_BYTES);
    for (size_t i = 0; i < text.len; i++) {
        const char *end;
        char *name;
        const char *value;

        if (text.ptr[i] != '$' || i + 1 >= text.len || text.ptr[i + 1] != '{') {
            pl_buf_char(&buf, text.ptr[i]);
            continue;
        }
        end = memchr(text.ptr + i, '}', text.len - i);
        if (!end) {
            doc_problem_at(reader->problems, node, false, "'${' has no '}'; write ${NAME}");
            goto out;
        }
        name = pl_arena_printf(reader->config->arena, "%.*s", (int)(end - text.ptr - (long)i - 2),
                               text.ptr + i + 2);
        value = name ? getenv(name) : NULL;
        if (!value) {
            doc_problem_at(reader->problems, node, false,
                           "the environment has no %s; set it or remove this key",
                           name ? name : "");
            goto out;
        }
        pl_buf_text(&buf, value);
        i = (size_t)(end - text.ptr);
    }
    result = pl_arena_str(reader->config->arena, pl_buf_view(&buf)).ptr;
    result = result ? result : "";
out:
    pl_buf_finish(&buf);
    return result;
}

const char *config_read_text(struct config_reader *reader, const struct doc_node *object,
                             const char *key)
{
    const struct doc_node *node = doc_get(object, key);

    if (!node)
        return NULL;
    if (node->type != DOC_STRING) {
        doc_problem_at(reader->problems, node, false, "%s is %s; it must be a string", key,
                       doc_type_name(node->type));
        return NULL;
    }
    return config_expand(reader, node);
}

bool config_check_keys(struct config_reader *reader, const struct doc_node *object,
                       const char *const *known, const char *const *later)
{
    size_t before = reader->problems->total;

    if (object->type != DOC_OBJECT) {
        doc_problem_at(reader->problems, object, false, "this is %s; it must be a mapping",
                       doc_type_name(object->type));
        return false;
    }
    for (size_t i = 0; i < object->count; i++) {
        const struct doc_node *member = object->items[i];
        bool found = false, due = false;
        const char *nearest;

        for (size_t k = 0; known[k]; k++)
            found = found || pl_str_is(member->key, known[k]);
        for (size_t k = 0; later[k]; k++)
            due = due || pl_str_is(member->key, later[k]);
        if (found)
            continue;
        nearest = doc_nearest(member->key, known);
        if (due)
            doc_problem_at(reader->problems, member, true,
                           "'%.*s' is not supported by this version; remove it",
                           PL_STR_ARG(member->key));
        else if (nearest)
            doc_problem_at(reader->problems, member, true, "unknown key '%.*s'; did you mean '%s'?",
                           PL_STR_ARG(member->key), nearest);
        else
            doc_problem_at(reader->problems, member, true, "unknown key '%.*s'; remove it",
                           PL_STR_ARG(member->key));
    }
    return reader->problems->total == before;
}

/* ---- sections ---- */

const char *config_read_key_file(struct config_reader *reader, const struct doc_node *node,
                                 const char *path)
{
    struct pl_str text;
    struct pl_err err;

    if (config_read_file(reader->config->arena, path, 65536, &text, &err) != PL_OK) {
        doc_problem_at(reader->problems, node, false, "%s", err.message);
        return NULL;
    }
    while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r' ||
                        text.ptr[text.len - 1] == ' '))
        text.len--;
    if (!text.len) {
        doc_problem_at(reader->problems, node, false, "%s is empty", path);
        return NULL;
    }
    return pl_arena_printf(reader->config->arena, "%.*s", PL_STR_ARG(text));
}

/* A path that is no file, or one without a certificate, would fail each call, at TLS. */
static void check_ca_file(struct config_reader *reader, const struct doc_node *node,
                          const char *path)
{
    static const char mark[] = "-----BEGIN ";
    struct pl_str text;
    struct pl_err err;

    if (config_read_file(reader->config->arena, path, PL_LIMIT_DOCUMENT_BYTES, &text, &err) !=
        PL_OK)
        doc_problem_at(reader->problems, node, false, "%s", err.message);
    else if (!text.len || !memmem(text.ptr, text.len, mark, strlen(mark)))
        doc_problem_at(reader->problems, node, false, "%s has no certificate (PEM) in it", path);
}

/* The provider was added: what it may be asked. */
static void read_lane(struct config_reader *reader, const struct doc_node *node)
{
    const struct provider *provider;
    struct pl_str model;
    struct pl_err err;
    const char *name = pl_arena_printf(reader->config->arena, "%.*s/any", PL_STR_ARG(node->key));

    if (!name ||
        providers_find(reader->config->providers, pl_str(name), &provider, &model, &err) != PL_OK)
        doc_problem_at(reader->problems, node, true, "out of memory");
    else
        config_limits_read(reader->problems, node, provider->lane);
}

static void read_provider(struct config_reader *reader, const struct doc_node *node)
{
    static const char *const known[] = {"kind",    "base_url", "api_key",     "api_key_file",
                                        "ca_file", "dialect",  "api_version", "limits",
                                        "models",  NULL};
    static const char *const later[] = {NULL};
    struct provider_options options = {.name = node->key.ptr};
    const char *file;
    struct pl_err err;

    if (!config_check_keys(reader, node, known, later))
        return;
    options.kind = config_read_text(reader, node, "kind");
    options.base_url = config_read_text(reader, node, "base_url");
    options.api_key = config_read_text(reader, node, "api_key");
    options.dialect = config_read_text(reader, node, "dialect");
    options.api_version = config_read_text(reader, node, "api_version");
    file = config_read_text(reader, node, "api_key_file");
    if (file && options.api_key)
        doc_problem_at(reader->problems, node, true, "give api_key or api_key_file, not both");
    else if (file)
        options.api_key = config_read_key_file(reader, doc_get(node, "api_key_file"), file);
    options.ca_file = config_read_text(reader, node, "ca_file");
    if (options.ca_file)
        check_ca_file(reader, doc_get(node, "ca_file"), options.ca_file);
    if (!options.kind)
        options.kind = options.name;
    if (reader->problems->total)
        return;
    if (providers_add(reader->config->providers, &options, &err) != PL_OK)
        doc_problem_at(reader->problems, node, true, "%s", err.message);
    else
        read_lane(reader, node);
}

static void read_providers(struct config_reader *reader, const struct doc_node *node)
{
    if (node->type != DOC_OBJECT) {
        doc_problem_at(reader->problems, node, false,
                       "providers is %s; it must be a mapping of names to providers",
                       doc_type_name(node->type));
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        read_provider(reader, node->items[i]);
}

static void allow_private(struct config_reader *reader, const struct doc_node *node)
{
    struct pl_err err;
    const char *text;

    if (node->type != DOC_STRING)
        doc_problem_at(reader->problems, node, false,
                       "this must be a string such as \"127.0.0.1:9000\"");
    else if ((text = config_expand(reader, node)) &&
             net_policy_allow(reader->config->policy, pl_str(text), &err) != PL_OK)
        doc_problem_at(reader->problems, node, false, "%s", err.message);
}

static void read_network(struct config_reader *reader, const struct doc_node *node)
{
    static const char *const known[] = {"allow_private", NULL};
    static const char *const later[] = {NULL};
    const struct doc_node *list;

    if (!config_check_keys(reader, node, known, later) || !(list = doc_get(node, "allow_private")))
        return;
    if (list->type != DOC_LIST) {
        doc_problem_at(reader->problems, list, false,
                       "allow_private is %s; it must be a list such as [\"10.1.0.0/16\"]",
                       doc_type_name(list->type));
        return;
    }
    for (size_t i = 0; i < list->count; i++)
        allow_private(reader, list->items[i]);
}

/* A member of `limits`, left alone when it is not there. */
static void read_limit(struct config_reader *reader, const struct doc_node *limits, const char *key,
                       const char *unit, unsigned least, unsigned most, size_t *ret_number)
{
    const struct doc_node *node = doc_get(limits, key);
    char *end = NULL;
    unsigned long long number;

    if (!node)
        return;
    number = node->type == DOC_NUMBER ? strtoull(node->text.ptr, &end, 10) : 0;
    if (node->type != DOC_NUMBER || *end || node->text.ptr[0] == '-' || number < least ||
        number > most)
        doc_problem_at(reader->problems, node, false,
                       "%s must be a whole number of %s from %u to %u", key, unit, least, most);
    else
        *ret_number = (size_t)number;
}

static void read_limits(struct config_reader *reader, const struct doc_node *node)
{
    static const char *const known[] = {"step_output_bytes", "body_bytes", "runs",
                                        "branches_per_run", NULL};
    static const char *const later[] = {"run_output_bytes", "branches_per_run", "run_timeout",
                                        NULL};
    struct config *config = reader->config;

    if (!config_check_keys(reader, node, known, later))
        return;
    read_limit(reader, node, "step_output_bytes", "bytes", 1024, 1u << 30,
               &config->step_output_bytes);
    read_limit(reader, node, "body_bytes", "bytes", 1024, 1u << 30, &config->body_bytes);
    read_limit(reader, node, "runs", "runs", 1, 1000000, &config->runs);
    read_limit(reader, node, "branches_per_run", "items", 1, 100000000, &config->branches);
}

static void read_models(struct config_reader *reader, const struct doc_node *node)
{
    config_read_models(reader->config, node, reader->problems);
}

static const struct {
    const char *key;
    void (*read)(struct config_reader *reader, const struct doc_node *node);
} sections[] = {
    {"providers", read_providers}, {"models", read_models}, {"secrets", config_read_secrets},
    {"network", read_network},     {"limits", read_limits},
};

static void read_document(struct config_reader *reader, const struct doc_node *root)
{
    static const char *const known[] = {"providers", "models", "secrets",
                                        "network",   "limits", NULL};
    static const char *const later[] = {"cors", "retention", NULL};

    if (root->type == DOC_NULL || !config_check_keys(reader, root, known, later))
        return;
    for (size_t i = 0; i < PL_ARRAY_LEN(sections); i++) {
        const struct doc_node *node = doc_get(root, sections[i].key);

        if (node)
            sections[i].read(reader, node);
    }
}

static enum pl_code load_file(struct config *config, const char *path,
                              struct doc_problems *problems, struct pl_err *err)
{
    struct config_reader reader = {.config = config, .problems = problems};
    struct pl_str text;
    struct doc_node *root;
    enum pl_code code = config_read_file(config->arena, path, PL_LIMIT_DOCUMENT_BYTES, &text, err);

    if (code != PL_OK)
        return code;
    code = doc_parse(config->arena, text, DOC_AUTO, &root, problems);
    if (code != PL_OK)
        return pl_err_set(err, code, "%s cannot be read", path);
    read_document(&reader, root);
    if (problems->total)
        return pl_err_set(err, PL_ERR_INVALID_CONFIG, "%s is not a valid configuration", path);
    return PL_OK;
}

enum pl_code config_load(const char *path, struct config **ret_config,
                         struct doc_problems *problems, struct pl_err *err)
{
    struct config *config = calloc(1, sizeof *config);
    enum pl_code code = PL_OK;

    if (!config)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    config->arena = pl_arena_create(0);
    config->providers = providers_create();
    config->secrets = secrets_create();
    config->policy = config->arena ? net_policy_create(config->arena) : NULL;
    config->step_output_bytes = PL_LIMIT_STEP_OUTPUT_BYTES;
    if (!config->policy || !config->providers || !config->secrets)
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK)
        code = providers_add_environment(config->providers, err);
    if (code == PL_OK && path)
        code = load_file(config, path, problems, err);
    if (code != PL_OK) {
        config_destroy(&config);
        return code;
    }
    *ret_config = config;
    return PL_OK;
}

void config_destroy(struct config **config)
{
    if (!*config)
        return;
    providers_destroy(&(*config)->providers);
    secrets_destroy(&(*config)->secrets);
    pl_arena_destroy(&(*config)->arena);
    free(*config);
    *config = NULL;
}
