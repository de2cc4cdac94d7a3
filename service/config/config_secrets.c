/* config_secrets.c - the section `secrets` of the configuration file. Not what a secret does
 * (secrets.h). Called by config.c. */
#include "service/config/config_private.h"
#include "service/secrets.h"

/* The list; at least one, or the secret could be sent nowhere. */
static void read_origins(struct config_reader *reader, const struct doc_node *secret)
{
    const struct doc_node *list = doc_get(secret, "origins");
    struct pl_err err;

    if (!list || list->type != DOC_LIST || !list->count) {
        doc_problem_at(reader->problems, list ? list : secret, !list,
                       "a secret needs 'origins', a list of where it may be sent, such as "
                       "[\"https://crm.example\"]");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct doc_node *node = list->items[i];
        const char *text;

        if (node->type != DOC_STRING)
            doc_problem_at(reader->problems, node, false,
                           "this is %s; write an origin such as https://crm.example",
                           doc_type_name(node->type));
        else if ((text = config_expand(reader, node)) &&
                 secrets_bind(reader->config->secrets, pl_str(text), &err) != PL_OK)
            doc_problem_at(reader->problems, node, false, "%s", err.message);
    }
}

/* NULL with a problem. */
static const char *read_value(struct config_reader *reader, const struct doc_node *secret)
{
    const struct doc_node *value = doc_get(secret, "value"), *file = doc_get(secret, "value_file");
    const char *path;

    if (!value == !file) {
        doc_problem_at(reader->problems, secret, true,
                       value ? "give value or value_file, not both"
                             : "a secret needs 'value' or 'value_file'");
        return NULL;
    }
    if (value)
        return config_read_text(reader, secret, "value");
    path = config_read_text(reader, secret, "value_file");
    return path ? config_read_key_file(reader, file, path) : NULL;
}

static void read_secret(struct config_reader *reader, const struct doc_node *node)
{
    static const char *const known[] = {"value", "value_file", "origins", NULL};
    static const char *const later[] = {NULL};
    const char *value;
    struct pl_err err;

    if (!config_check_keys(reader, node, known, later) || !(value = read_value(reader, node)))
        return;
    if (secrets_add(reader->config->secrets, node->key, pl_str(value), &err) != PL_OK)
        doc_problem_at(reader->problems, node, true, "%s", err.message);
    else
        read_origins(reader, node);
}

void config_read_secrets(struct config_reader *reader, const struct doc_node *node)
{
    if (node->type != DOC_OBJECT) {
        doc_problem_at(reader->problems, node, false,
                       "secrets is %s; it must be a mapping of names to secrets",
                       doc_type_name(node->type));
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        read_secret(reader, node->items[i]);
}
