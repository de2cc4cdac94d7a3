/* jq_wire.c - putting requests together and taking them apart. Not the sending (jq_pool,
 * jq_worker).
 */
#include "service/expr/jq_wire.h"

void jq_wire_put_head(struct pl_buf *out, const struct jq_request_head *head)
{
    pl_buf_append(out, head, sizeof *head);
}

void jq_wire_put_index(struct pl_buf *out, uint32_t index)
{
    pl_buf_append(out, &index, sizeof index);
}

void jq_wire_put_text(struct pl_buf *out, struct pl_str text, bool fold)
{
    struct jq_text_head head = {.size = (uint32_t)text.len, .fold = fold};

    pl_buf_append(out, &head, sizeof head);
    pl_buf_str(out, text);
}

size_t jq_wire_text_size(struct pl_str text)
{
    return sizeof(struct jq_text_head) + text.len;
}

static size_t indexes_size(const struct jq_request_head *head)
{
    return (size_t)head->n_indexes * sizeof(uint32_t);
}

size_t jq_wire_body_size(const struct jq_request_head *head)
{
    return indexes_size(head) + (size_t)head->texts_size + (size_t)head->document_size;
}

uint32_t jq_wire_index(struct pl_str body, uint32_t position)
{
    uint32_t index;

    memcpy(&index, body.ptr + (size_t)position * sizeof index, sizeof index);
    return index;
}

struct pl_str jq_wire_texts(struct pl_str body, const struct jq_request_head *head)
{
    return pl_str_n(body.ptr + indexes_size(head), (size_t)head->texts_size);
}

bool jq_wire_next_text(struct pl_str texts, size_t *at, struct pl_str *ret_text, bool *ret_fold)
{
    struct jq_text_head head;

    if (texts.len - *at < sizeof head)
        return false;
    memcpy(&head, texts.ptr + *at, sizeof head);
    *at += sizeof head;
    if (texts.len - *at < head.size)
        return false;
    *ret_text = pl_str_n(texts.ptr + *at, head.size);
    *ret_fold = head.fold != 0;
    *at += head.size;
    return true;
}

struct pl_str jq_wire_document(struct pl_str body, const struct jq_request_head *head)
{
    return pl_str_n(body.ptr + indexes_size(head) + head->texts_size, (size_t)head->document_size);
}
