/* doc_yaml.c - a document written in YAML: libyaml's events become the tree, within the core
 * schema. Not what plain scalars mean (doc_scalar.c) and not the tree (doc_build.c). Called by
 * doc_parse. */
#include "base/map.h"
#include "service/expr/expr_scan.h"
#include "service/workflow/doc_build.h"

#include <yaml.h>

enum { MAX_TAG_DIRECTIVES = 16 }; /* libyaml compares each with all before it */

#define QUOTE_IT                                                                             \
    "an expression in flow style ({ } or [ ]), or with ': ' or ' #' in it, must be quoted: " \
    "\"${ ... }\""

/* A value that aliases may name. Its extent is known once it is closed. */
struct anchor {
    struct doc_node *node;
    struct doc_extent extent;
    bool complete;
};

struct reader {
    yaml_parser_t parser;
    struct doc_builder builder;
    struct pl_str text;
    struct pl_map *anchors;
    struct anchor *open_anchors[PL_LIMIT_JSON_DEPTH]; /* of the open values, by level */
    unsigned documents;
    bool unquoted;
    /* A place in the text: libyaml counts characters, a problem counts bytes. Moves with the marks.
     */
    size_t index, offset, line, line_start;
};

/* ---- positions ---- */

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

static size_t next_character(struct pl_str text, size_t offset)
{
    offset++;
    while (offset < text.len && continues_character(text.ptr[offset]))
        offset++;
    return offset;
}

static size_t previous_character(struct pl_str text, size_t offset)
{
    offset--;
    while (offset > 0 && continues_character(text.ptr[offset]))
        offset--;
    return offset;
}

/* The byte offset of a mark. Marks mostly grow, so this is one pass over the text in all. */
static size_t offset_of(struct reader *reader, yaml_mark_t mark)
{
    while (reader->index < mark.index && reader->offset < reader->text.len) {
        reader->offset = next_character(reader->text, reader->offset);
        reader->index++;
    }
    while (reader->index > mark.index && reader->offset > 0) {
        reader->offset = previous_character(reader->text, reader->offset);
        reader->index--;
    }
    return reader->offset;
}

static struct doc_pos position_of(struct reader *reader, yaml_mark_t mark)
{
    size_t offset = offset_of(reader, mark);

    if (reader->line != mark.line || offset < reader->line_start) {
        reader->line = mark.line;
        reader->line_start = offset;
        for (size_t i = 0; i < mark.column && reader->line_start > 0; i++)
            reader->line_start = previous_character(reader->text, reader->line_start);
    }
    return (struct doc_pos){.line = (unsigned)mark.line + 1,
                            .column = (unsigned)(offset - reader->line_start) + 1};
}

/* The position of a byte, for errors below libyaml's scanner. */
static struct doc_pos position_of_byte(struct pl_str text, size_t offset)
{
    struct doc_pos pos = {.line = 1, .column = 1};

    for (size_t i = 0; i < offset && i < text.len; i++) {
        pos.column++;
        if (text.ptr[i] == '\n') {
            pos.line++;
            pos.column = 1;
        }
    }
    return pos;
}

/* ---- syntax errors ---- */

/* An unquoted scalar in which an expression begins but does not end. */
static bool has_open_expression(struct pl_str raw)
{
    size_t at = 0, close;
    bool escaped;

    while (expr_scan_open(raw, at, &at, &escaped)) {
        if (escaped)
            at += 3;
        else if (!expr_scan_close(raw, at, &close))
            return true;
        else
            at = close + 1;
    }
    return false;
}

/* True when an expression that began on this line was open, or just opening, where YAML gave up. */
static bool stopped_in_expression(struct reader *reader, size_t offset, struct doc_pos *pos)
{
    struct pl_str line;
    size_t at = 0, open = 0, close;
    bool found = false, escaped;

    if (offset < reader->line_start)
        return false;
    line = pl_str_n(reader->text.ptr + reader->line_start, offset - reader->line_start);
    if (offset < reader->text.len)
        line.len++;
    while (expr_scan_open(line, at, &open, &escaped)) {
        at = open + 2;
        found = false;
        if (escaped)
            continue;
        if (!expr_scan_close(line, open, &close)) {
            found = true;
            break;
        }
        at = close + 1;
    }
    if (found)
        pos->column = (unsigned)open + 1;
    return found;
}

/* What helps with libyaml's commonest messages; "" for the others. */
static const char *advice(const struct reader *reader, size_t offset)
{
    struct pl_str problem = pl_str(reader->parser.problem);

    if (pl_str_starts(problem, PL_STR("mapping values are not allowed")))
        return "; check the indentation, or put text that has ': ' in it in quotes";
    if (pl_str_starts(problem, PL_STR("found character that cannot start"))) {
        if (offset < reader->text.len && reader->text.ptr[offset] == '\t')
            return "; indent with spaces, not with tabs";
        return "; put text that begins with this character in quotes";
    }
    if (pl_str_starts(problem, PL_STR("could not find expected ':'")))
        return "; write 'key: value', with a space after the colon";
    if (pl_str_starts(problem, PL_STR("did not find expected <document start>")))
        return "; the document ended before this line: check its indentation";
    if (pl_str_starts(problem, PL_STR("did not find expected key")))
        return "; check the indentation of this line";
    return "";
}

/* The value that YAML took for finished where an expression went on; NULL when that is not known.
 */
static const struct doc_node *cut_value(struct doc_builder *builder)
{
    const struct doc_frame *frame = doc_builder_frame(builder);
    const struct doc_node *last;

    if (!frame || builder->n_pending == frame->base)
        return NULL;
    last = builder->pending[builder->n_pending - 1];
    if (last->type != DOC_STRING || last->text.len == 0)
        return NULL;
    if (last->text.ptr[last->text.len - 1] == '$' || has_open_expression(last->text))
        return last;
    return NULL;
}

static void unquoted_error(struct reader *reader, struct doc_pos pos)
{
    struct doc_builder *builder = &reader->builder;
    const struct doc_node *cut = cut_value(builder);

    reader->unquoted = true;
    if (cut) {
        builder->code = PL_ERR_INVALID_YAML;
        doc_problem_add(builder->problems, pos.line, pos.column, doc_pointer(builder->arena, cut),
                        QUOTE_IT);
    } else {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML, pos, QUOTE_IT);
    }
}

static void syntax_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct doc_builder *builder = &reader->builder;
    struct doc_pos pos;
    size_t offset;

    if (parser->error == YAML_MEMORY_ERROR) {
        builder->code = PL_ERR_NO_MEMORY;
        return;
    }
    if (parser->error == YAML_READER_ERROR) {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML,
                         position_of_byte(reader->text, parser->problem_offset),
                         "%s (text must be UTF-8 without control characters)", parser->problem);
        return;
    }
    pos = position_of(reader, parser->problem_mark);
    offset = reader->offset;
    if (stopped_in_expression(reader, offset, &pos)) {
        unquoted_error(reader, pos);
    } else if (parser->context && parser->context_mark.line != parser->problem_mark.line) {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML, pos, "%s, %s that begins on line %zu%s",
                         parser->problem, parser->context, parser->context_mark.line + 1,
                         advice(reader, offset));
    } else {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML, pos, "%s%s", parser->problem,
                         advice(reader, offset));
    }
}

/* ---- tags ---- */

enum tag {
    TAG_NONE,
    TAG_STRING,
    TAG_INT,
    TAG_FLOAT,
    TAG_BOOL,
    TAG_NULL,
    TAG_MAP,
    TAG_SEQ,
    TAG_FOREIGN
};

static enum tag tag_of(const yaml_char_t *text)
{
    static const struct {
        const char *text;
        enum tag tag;
    } tags[] = {
        {"!", TAG_NONE},           {YAML_STR_TAG, TAG_STRING},
        {YAML_INT_TAG, TAG_INT},   {YAML_FLOAT_TAG, TAG_FLOAT},
        {YAML_BOOL_TAG, TAG_BOOL}, {YAML_NULL_TAG, TAG_NULL},
        {YAML_MAP_TAG, TAG_MAP},   {YAML_SEQ_TAG, TAG_SEQ},
    };

    if (!text)
        return TAG_NONE;
    for (size_t i = 0; i < PL_ARRAY_LEN(tags); i++)
        if (!strcmp((const char *)text, tags[i].text))
            return tags[i].tag;
    return TAG_FOREIGN;
}

static bool fits_tag(enum tag tag, enum doc_type type, struct pl_str text)
{
    switch (tag) {
    case TAG_INT:
        return type == DOC_NUMBER && !memchr(text.ptr, '.', text.len) &&
               !memchr(text.ptr, 'e', text.len);
    case TAG_FLOAT:
        return type == DOC_NUMBER;
    case TAG_BOOL:
        return type == DOC_BOOL;
    case TAG_NULL:
        return type == DOC_NULL;
    case TAG_NONE:
    case TAG_STRING:
        return true;
    case TAG_MAP:
    case TAG_SEQ:
    case TAG_FOREIGN:
        break;
    }
    return false;
}

static void refuse_tag(struct reader *reader, const yaml_char_t *text, enum tag tag,
                       struct doc_pos pos)
{
    if (tag == TAG_FOREIGN)
        doc_builder_refuse(&reader->builder, pos, "the tag '%.80s' is not supported; remove it",
                           (const char *)text);
    else
        doc_builder_refuse(&reader->builder, pos, "the value does not fit its tag '%.80s'",
                           (const char *)text);
}

/* ---- scalars ---- */

struct scalar {
    enum doc_type type;
    struct pl_str text; /* what the node holds; in the arena */
    struct pl_str raw;  /* as decoded by YAML; in the arena */
    bool refused;
};

static bool comment_follows(struct reader *reader, const yaml_event_t *event)
{
    size_t offset = offset_of(reader, event->end_mark);

    while (offset < reader->text.len &&
           (reader->text.ptr[offset] == ' ' || reader->text.ptr[offset] == '\t'))
        offset++;
    return offset < reader->text.len && reader->text.ptr[offset] == '#';
}

static void refuse_unquoted(struct reader *reader, struct scalar *scalar, struct doc_pos pos)
{
    doc_builder_refuse(&reader->builder, pos, QUOTE_IT);
    reader->unquoted = true;
    scalar->refused = true;
}

static void resolve(struct reader *reader, const yaml_event_t *event, struct doc_pos pos,
                    struct scalar *scalar)
{
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    enum tag tag = tag_of(event->data.scalar.tag);
    const char *why = NULL;

    scalar->type = DOC_STRING;
    scalar->text = scalar->raw;
    if (memchr(scalar->raw.ptr, '\0', scalar->raw.len)) {
        doc_builder_refuse(&reader->builder, pos, "text may not hold the character NUL");
        scalar->refused = true;
        return;
    }
    if ((plain && !event->data.scalar.tag) || (tag != TAG_NONE && tag != TAG_STRING))
        why = doc_resolve_plain(reader->builder.arena, scalar->raw, &scalar->type, &scalar->text);
    if (scalar->type == DOC_NULL)
        scalar->text = (struct pl_str){0};
    if (why) {
        doc_builder_refuse(&reader->builder, pos, "%s", why);
        scalar->refused = true;
    } else if (!fits_tag(tag, scalar->type, scalar->text)) {
        refuse_tag(reader, event->data.scalar.tag, tag, pos);
        scalar->refused = true;
    }
}

static struct anchor *add_anchor(struct reader *reader, const yaml_char_t *name)
{
    struct pl_arena *arena = reader->builder.arena;
    struct anchor *anchor = pl_arena_alloc(arena, sizeof(*anchor));
    struct pl_str key = pl_arena_str(arena, pl_str((const char *)name));

    if (!reader->anchors)
        reader->anchors = pl_map_create(arena, 16);
    if (!anchor || !reader->anchors || pl_arena_failed(arena) ||
        !pl_map_put(reader->anchors, key, anchor, NULL)) {
        reader->builder.code = PL_ERR_NO_MEMORY;
        return NULL;
    }
    return anchor;
}

static void anchor_scalar(struct reader *reader, const yaml_char_t *name, struct doc_node *node)
{
    struct anchor *anchor = add_anchor(reader, name);

    if (anchor)
        *anchor = (struct anchor){
            .node = node, .extent = {.nodes = 1, .bytes = node->text.len}, .complete = true};
}

/* A key that an alias may name needs a node although it is none. */
static void anchor_key(struct reader *reader, const yaml_char_t *name, const struct scalar *scalar)
{
    struct doc_node *node = pl_arena_alloc(reader->builder.arena, sizeof(*node));

    if (!node) {
        reader->builder.code = PL_ERR_NO_MEMORY;
        return;
    }
    node->type = scalar->type;
    node->text = scalar->text;
    anchor_scalar(reader, name, node);
}

static void key_event(struct reader *reader, const yaml_event_t *event, struct doc_pos pos,
                      struct scalar *scalar)
{
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (plain && scalar->raw.len == 0)
        doc_builder_refuse(&reader->builder, pos, "a key is missing before ':'");
    else if (plain && pl_str_is(scalar->raw, "<<"))
        doc_builder_refuse(&reader->builder, pos,
                           "merge keys ('<<') are not supported; write the members out");
    else if (plain && has_open_expression(scalar->raw))
        refuse_unquoted(reader, scalar, pos);
    if (event->data.scalar.anchor)
        anchor_key(reader, event->data.scalar.anchor, scalar);
    doc_builder_key(&reader->builder, scalar->raw, pos);
}

static void scalar_event(struct reader *reader, const yaml_event_t *event)
{
    struct doc_pos pos = position_of(reader, event->start_mark);
    struct pl_str value =
        pl_str_n((const char *)event->data.scalar.value, event->data.scalar.length);
    struct scalar scalar = {.raw = pl_arena_str(reader->builder.arena, value)};
    struct doc_node *node;

    if (pl_arena_failed(reader->builder.arena)) {
        reader->builder.code = PL_ERR_NO_MEMORY;
        return;
    }
    resolve(reader, event, pos, &scalar);
    if (doc_builder_wants_key(&reader->builder)) {
        key_event(reader, event, pos, &scalar);
        return;
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && has_open_expression(scalar.raw) &&
        comment_follows(reader, event))
        refuse_unquoted(reader, &scalar, pos);
    node = doc_builder_add(&reader->builder, scalar.type, scalar.text, pos);
    if (!node)
        return;
    node->refused = scalar.refused;
    if (event->data.scalar.anchor)
        anchor_scalar(reader, event->data.scalar.anchor, node);
}

/* ---- lists, objects, aliases ---- */

static void begin_event(struct reader *reader, const yaml_event_t *event, enum doc_type type,
                        const yaml_char_t *tag_text, const yaml_char_t *anchor_name)
{
    struct doc_pos pos = position_of(reader, event->start_mark);
    enum tag tag = tag_of(tag_text);
    struct doc_node *node;
    bool misfit;

    if (doc_builder_wants_key(&reader->builder)) {
        doc_builder_fail(&reader->builder, PL_ERR_INVALID_YAML, pos,
                         "a key must be text, not %s; put it in quotes", doc_type_name(type));
        return;
    }
    misfit = tag != TAG_NONE && tag != (type == DOC_OBJECT ? TAG_MAP : TAG_SEQ);
    if (misfit)
        refuse_tag(reader, tag_text, tag, pos);
    node = doc_builder_open(&reader->builder, type, pos);
    if (!node)
        return;
    node->refused = misfit;
    reader->open_anchors[reader->builder.depth - 1] = NULL;
    if (anchor_name) {
        struct anchor *anchor = add_anchor(reader, anchor_name);

        reader->open_anchors[reader->builder.depth - 1] = anchor;
        if (anchor)
            anchor->node = node;
    }
}

static void end_event(struct reader *reader)
{
    struct anchor *anchor = reader->open_anchors[reader->builder.depth - 1];
    struct doc_extent extent;

    doc_builder_close(&reader->builder, &extent);
    if (anchor && reader->builder.code == PL_OK) {
        anchor->extent = extent;
        anchor->complete = true;
    }
}

static void alias_event(struct reader *reader, const yaml_event_t *event)
{
    struct doc_builder *builder = &reader->builder;
    struct doc_pos pos = position_of(reader, event->start_mark);
    struct pl_str name = pl_str((const char *)event->data.alias.anchor);
    const struct anchor *anchor = reader->anchors ? pl_map_get(reader->anchors, name) : NULL;

    if (!anchor) {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML, pos,
                         "the alias '*%.80s' names no anchor before it; put text that begins "
                         "with '*' in quotes",
                         name.ptr);
    } else if (!anchor->complete) {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML, pos,
                         "the alias '*%.80s' stands inside the value it names", name.ptr);
    } else if (!doc_builder_wants_key(builder)) {
        (void)doc_builder_copy(builder, anchor->node, &anchor->extent, pos);
    } else if (anchor->node->type == DOC_LIST || anchor->node->type == DOC_OBJECT) {
        doc_builder_fail(builder, PL_ERR_INVALID_YAML, pos,
                         "a key must be text, and '*%.80s' is %s", name.ptr,
                         doc_type_name(anchor->node->type));
    } else {
        doc_builder_key(builder, anchor->node->text, pos);
    }
}

static void document_event(struct reader *reader, const yaml_event_t *event)
{
    if (reader->documents++ > 0)
        doc_builder_fail(&reader->builder, PL_ERR_INVALID_YAML,
                         position_of(reader, event->start_mark),
                         "a second document begins here; one file holds one document");
}

static void handle(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        document_event(reader, event);
        break;
    case YAML_SCALAR_EVENT:
        scalar_event(reader, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        begin_event(reader, event, DOC_LIST, event->data.sequence_start.tag,
                    event->data.sequence_start.anchor);
        break;
    case YAML_MAPPING_START_EVENT:
        begin_event(reader, event, DOC_OBJECT, event->data.mapping_start.tag,
                    event->data.mapping_start.anchor);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        end_event(reader);
        break;
    case YAML_ALIAS_EVENT:
        alias_event(reader, event);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

/* ---- the whole text ---- */

static bool too_many_directives(struct pl_str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    unsigned count = 0;

    while (at && at < end && (at = memmem(at, (size_t)(end - at), "%TAG", 4))) {
        /* Line breaks are LF, CR, and characters that end in one of the other three bytes. */
        if (at == text.ptr || strchr("\n\r\x85\xA8\xA9", at[-1]))
            count++;
        at += 4;
    }
    return count > MAX_TAG_DIRECTIVES;
}

static void read_events(struct reader *reader)
{
    bool end = false;

    while (!end && reader->builder.code == PL_OK) {
        yaml_event_t event;

        if (!yaml_parser_parse(&reader->parser, &event)) {
            syntax_error(reader);
            return;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        handle(reader, &event);
        yaml_event_delete(&event);
    }
    if (reader->builder.code == PL_OK && !reader->builder.root)
        (void)doc_builder_add(&reader->builder, DOC_NULL, (struct pl_str){0},
                              (struct doc_pos){.line = 1, .column = 1});
}

enum pl_code doc_parse_yaml(struct pl_arena *arena, struct pl_str text, struct doc_node **ret_root,
                            struct doc_problems *problems, bool *ret_unquoted)
{
    struct reader reader = {.text = text};
    enum pl_code code;

    *ret_unquoted = false;
    if (too_many_directives(text)) {
        doc_problem_add(problems, 1, 1, "", "%%TAG directives are not supported; remove them");
        return PL_ERR_INVALID_YAML;
    }
    if (!yaml_parser_initialize(&reader.parser))
        return PL_ERR_NO_MEMORY;
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.ptr, text.len);
    doc_builder_init(&reader.builder, arena, problems, PL_ERR_INVALID_YAML);
    read_events(&reader);
    code = doc_builder_result(&reader.builder, ret_root);
    *ret_unquoted = reader.unquoted;
    doc_builder_finish(&reader.builder);
    yaml_parser_delete(&reader.parser);
    return code;
}
