/* llm_parts.c - see llm_parts.h: messages and tool calls. The parts of a content are read in
 * llm_parts_content.c. Called by anthropic.c and gemini.c. */
#include "service/llm/llm_parts.h"

#include "base/json.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "service/llm/llm_parts_content.h"

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_string(struct pl_str json)
{
    return json.len && json_type(json) == JSON_STRING;
}

static enum pl_code bad(const struct llm_turn *turn, const char *why, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' element %zu %s", turn->index, why);
}

/* ---- tool calls ---- */

/* The arguments as an object: a string with JSON in it, or an object already. Empty when out of
 * memory. */
static struct pl_str read_arguments(struct pl_str json, struct pl_arena *arena)
{
    struct pl_str text = json, wrapped = {0};
    struct pl_buf buf;
    enum pl_code code = PL_OK;

    if (!json.len || json_type(json) == JSON_NULL)
        return PL_STR("{}");
    if (json_type(json) == JSON_STRING)
        text = json_trim(llm_parts_text(json, arena));
    if (!text.len)
        return PL_STR("{}"); /* how some models call a tool without parameters */
    if (json_type(json) == JSON_STRING)
        code = json_check(text, PL_LIMIT_JSON_DEPTH, NULL, NULL);
    if (code == PL_ERR_NO_MEMORY)
        return wrapped;
    if (code == PL_OK && json_type(text) == JSON_OBJECT)
        return text;
    if (code == PL_OK && json_type(text) == JSON_NULL)
        return PL_STR("{}");
    /* the conversation goes on after such a call: the model was told what is wrong with it */
    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    json_object_begin(&buf);
    json_add_string(&buf, "arguments", text);
    json_object_end(&buf);
    if (!pl_buf_failed(&buf))
        wrapped = pl_arena_str(arena, pl_buf_view(&buf));
    pl_buf_finish(&buf);
    return wrapped;
}

static enum pl_code read_call(const struct llm_turn *turn, struct pl_str json,
                              struct pl_arena *arena, struct llm_part_call *call,
                              struct pl_err *err)
{
    const struct pl_str id = member(json, "id"), function = member(json, "function");
    const struct pl_str name = member(function, "name");

    if (!is_string(name) || name.len <= 2)
        return bad(turn, "has a tool call without function.name", err);
    if (!is_string(id) || id.len <= 2)
        return bad(turn, "has a tool call without an id", err);
    call->id = llm_parts_text(id, arena);
    call->name = llm_parts_text(name, arena);
    call->arguments = read_arguments(member(function, "arguments"), arena);
    if (!call->arguments.len || pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return PL_OK;
}

static enum pl_code read_calls(struct llm_turn *turn, struct pl_str list, struct pl_arena *arena,
                               struct pl_err *err)
{
    const size_t count = list.len ? json_count(list) : 0;
    struct json_iter it;

    if (!list.len || json_type(list) == JSON_NULL)
        return PL_OK;
    if (json_type(list) != JSON_ARRAY)
        return bad(turn, "has tool_calls that are no list", err);
    turn->calls = pl_arena_alloc_array(arena, count + 1, sizeof(*turn->calls));
    if (!turn->calls)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (json_iter_init(&it, list); json_iter_next(&it); turn->n_calls++) {
        enum pl_code code = read_call(turn, it.value, arena, &turn->calls[turn->n_calls], err);

        if (code != PL_OK)
            return code;
    }
    return PL_OK;
}

/* The newest call with this id. */
static const struct llm_part_call *find_call(const struct llm_turns *turns, struct pl_str id)
{
    for (size_t i = turns->count; i-- > 0;) {
        for (size_t j = turns->items[i].n_calls; j-- > 0;)
            if (pl_str_eq(turns->items[i].calls[j].id, id))
                return &turns->items[i].calls[j];
    }
    return NULL;
}

static enum pl_code read_answered(const struct llm_turns *before, struct llm_turn *turn,
                                  struct pl_str id, struct pl_arena *arena, struct pl_err *err)
{
    struct pl_str text;

    if (!is_string(id) || id.len <= 2)
        return bad(turn, "is a tool's answer without tool_call_id", err);
    text = llm_parts_text(id, arena);
    turn->answers = find_call(before, text);
    if (pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (!turn->answers)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'messages' element %zu answers the tool call '%.*s', which no message "
                          "before it makes",
                          turn->index, PL_STR_ARG(text));
    return PL_OK;
}

/* ---- messages ---- */

static bool read_role(struct pl_str token, enum llm_role *ret_role)
{
    static const struct {
        const char *quoted;
        enum llm_role role;
    } roles[] = {
        {"\"system\"", LLM_ROLE_SYSTEM}, {"\"developer\"", LLM_ROLE_SYSTEM},
        {"\"user\"", LLM_ROLE_USER},     {"\"assistant\"", LLM_ROLE_ASSISTANT},
        {"\"tool\"", LLM_ROLE_TOOL},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(roles); i++) {
        if (pl_str_is(token, roles[i].quoted)) {
            *ret_role = roles[i].role;
            return true;
        }
    }
    return false;
}

static enum pl_code read_message(const struct llm_turns *before, struct pl_str message,
                                 struct pl_arena *arena, struct llm_turn *turn, struct pl_err *err)
{
    enum pl_code code;

    if (json_type(message) != JSON_OBJECT)
        return bad(turn, "is no object", err);
    if (!read_role(member(message, "role"), &turn->role))
        return bad(turn, "has no role of user, assistant, system, developer or tool", err);
    code = llm_parts_read_content(turn, member(message, "content"), arena, err);
    if (code == PL_OK && turn->role == LLM_ROLE_ASSISTANT) {
        code = read_calls(turn, member(message, "tool_calls"), arena, err);
        turn->replay = member(message, LLM_REPLAY_KEY);
    }
    if (code == PL_OK && turn->role == LLM_ROLE_TOOL)
        code = read_answered(before, turn, member(message, "tool_call_id"), arena, err);
    if (code == PL_OK && !turn->n_parts && !turn->n_calls && turn->role != LLM_ROLE_TOOL)
        code = bad(turn, "says nothing", err);
    return code;
}

enum pl_code llm_parts_read(struct pl_str messages, struct pl_arena *arena,
                            struct llm_turns *ret_turns, struct pl_err *err)
{
    struct llm_turns turns = {0};
    struct json_iter it;

    if (json_type(messages) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' must give a list of messages");
    turns.items = pl_arena_alloc_array(arena, json_count(messages) + 1, sizeof(*turns.items));
    if (!turns.items)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (json_iter_init(&it, messages); json_iter_next(&it); turns.count++) {
        struct llm_turn *turn = &turns.items[turns.count];
        enum pl_code code;

        turn->index = turns.count;
        code = read_message(&turns, it.value, arena, turn, err);
        if (code != PL_OK)
            return code;
    }
    *ret_turns = turns;
    return PL_OK;
}

bool llm_turn_replay(const struct llm_turn *turn, const char *kind, struct pl_str *ret_json)
{
    return turn->replay.len && json_get(turn->replay, pl_str(kind), ret_json);
}
