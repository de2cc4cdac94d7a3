/* sim.c - the simulated provider: answers from the loop's timers, the same for the same input. Not
 * a network call and not the options' syntax (sim_options.c). A row of providers.c.
 *
 * What differs between two equal calls (jitter, which of them fail, which vote) is drawn from a
 * hash of the request and the step's path, so a run can be repeated and gives the same. */
#include "service/llm/sim.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "service/llm/llm_call.h"
#include "service/llm/llm_errors.h"
#include "service/llm/llm_usage.h"
#include "service/llm/sim_options.h"
#include "service/llm/tool_calls.h"
#include "service/schema/schema_sample.h"
#include "service/workflow/workflow.h"

struct sim {
    struct llm_call *call;
    struct sim_options options;
    struct loop_timer timer;
    struct loop_mail mail; /* an answer without latency: at the turn's end, so nothing recurses */
    bool mailed, aborted;
    bool fails, times_out;
    pl_ms began, duration; /* duration ends the attempt, however */
    struct pl_buf text;    /* STREAM: the answer */
    size_t sent;           /* bytes of it given as deltas */
    size_t words, words_sent;
};

/* ---- chance ---- */

static uint64_t mix(uint64_t hash, struct pl_str text)
{
    return pl_hash_stable(pl_hash_stable(hash, text), PL_STR("\xff"));
}

/* A number in [0, 1) that is the same for the same call. `what` keeps the draws of one call apart.
 */
static double draw(const struct llm_request *request, const char *what)
{
    uint64_t hash = PL_HASH_STABLE_BEGIN;

    hash = mix(hash, pl_str(what));
    hash = mix(hash, request->model);
    hash = mix(hash, request->system);
    hash = mix(hash, request->messages);
    hash = mix(hash, request->identity);
    if (request->seed.len)
        hash = mix(hash, request->seed);
    for (unsigned i = 0; i < request->hedge; i++) /* a hedge has the answer, not the luck */
        hash = mix(hash, PL_STR("again"));
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 33;
    hash *= 0xc4ceb9fe1a85ec53u;
    hash ^= hash >> 33;
    return (double)(hash >> 11) / 9007199254740992.0;
}

/* The same for all hedges of it. */
static double draw_answer(const struct llm_request *request, const char *what)
{
    struct llm_request first = *request;

    first.hedge = 0;
    return draw(&first, what);
}

/* The index a path ends in ("verdict.3" has 3); false when it has none. */
static bool path_index(struct pl_str path, unsigned *ret_index)
{
    size_t i = path.len;
    unsigned index = 0;

    while (i > 0 && path.ptr[i - 1] >= '0' && path.ptr[i - 1] <= '9')
        i--;
    if (i == path.len || path.len - i > 9 || (i > 0 && path.ptr[i - 1] != '.'))
        return false;
    for (; i < path.len; i++)
        index = index * 10 + (unsigned)(path.ptr[i] - '0');
    *ret_index = index;
    return true;
}

static struct pl_str pick_vote(const struct sim *sim)
{
    const struct sim_options *options = &sim->options;
    const struct llm_request *request = &sim->call->request;
    unsigned place;

    if (request->sample >= 0)
        place = (unsigned)request->sample % options->total_votes;
    else if (path_index(request->identity, &place))
        place %= options->total_votes;
    else
        place = (unsigned)(draw_answer(request, "vote") * options->total_votes);
    for (unsigned i = 0; i < options->n_votes; i++) {
        if (place < options->votes[i].weight)
            return options->votes[i].answer;
        place -= options->votes[i].weight;
    }
    return options->votes[0].answer;
}

/* ---- the answer ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The length of `text` up to the end of its n-th word. */
static size_t words_length(struct pl_str text, size_t n)
{
    size_t i = 0;

    while (n-- > 0 && i < text.len) {
        while (i < text.len && is_space(text.ptr[i]))
            i++;
        while (i < text.len && !is_space(text.ptr[i]))
            i++;
    }
    return i;
}

static size_t count_words(struct pl_str text)
{
    size_t words = 0;

    for (size_t i = 0; i < text.len; i++)
        words += !is_space(text.ptr[i]) && (i == 0 || is_space(text.ptr[i - 1]));
    return words;
}

static void append_content(struct pl_str content, struct pl_buf *out)
{
    struct json_iter it;
    struct pl_str text;

    if (json_type(content) == JSON_STRING)
        json_decode_string(content, out);
    if (json_type(content) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        if (json_get(it.value, PL_STR("text"), &text) && json_type(text) == JSON_STRING)
            json_decode_string(text, out);
    }
}

static void append_last_user(struct pl_str messages, struct pl_buf *out)
{
    struct pl_str message, value;

    for (int64_t i = -1; json_at(messages, i, &message); i--) {
        if (json_get(message, PL_STR("role"), &value) && pl_str_is(value, "\"user\"")) {
            if (json_get(message, PL_STR("content"), &value))
                append_content(value, out);
            return;
        }
    }
}

static void write_echo(const struct sim *sim, struct pl_buf *out)
{
    static const char prefix[] = "[simulated] ";
    const struct sim_options *options = &sim->options;
    const size_t start = sizeof(prefix) - 1;

    pl_buf_text(out, prefix);
    append_last_user(sim->call->request.messages, out);
    if (options->tokens >= 0 && !pl_buf_failed(out)) {
        const struct pl_str message = pl_str_n(out->data + start, out->len - start);

        out->len = start + words_length(message, (size_t)options->tokens);
        out->data[out->len] = '\0';
    }
}

static void write_text(const struct sim *sim, struct pl_buf *out)
{
    const struct sim_options *options = &sim->options;

    if (options->text.ptr)
        sim_decode(options->text, out);
    else if (options->n_votes)
        sim_decode(pick_vote(sim), out);
    else
        write_echo(sim, out);
}

/* A fixed answer is JSON, or the text of a JSON string; another one is made up. */
static enum pl_code write_structured(const struct sim *sim, struct pl_buf *out, struct pl_err *err)
{
    const struct schema *schema = sim->call->request.schema->schema;
    const bool fixed = sim->options.text.ptr || sim->options.n_votes;
    struct pl_buf text;
    enum pl_code code = PL_OK;

    pl_buf_init(&text, out->max);
    write_text(sim, &text);
    if (pl_buf_failed(&text))
        out->failed = true;
    else if (!fixed)
        code = schema_sample_write(schema, pl_buf_view(&text), out, err);
    else if (json_check(pl_buf_view(&text), PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK)
        pl_buf_str(out, pl_buf_view(&text));
    else
        json_write_string(out, pl_buf_view(&text));
    pl_buf_finish(&text);
    if (code != PL_ERR_INVALID_INPUT)
        return code;
    return pl_err_set(err, PL_ERR_UNSUPPORTED,
                      "sim: no value was found that fits the schema; give one with "
                      "sim/echo?text=...");
}

/* On an error there is no answer. */
static enum pl_code write_answer(const struct sim *sim, struct pl_buf *out, struct pl_err *err)
{
    const struct llm_request *request = &sim->call->request;

    if (!request->schema)
        write_text(sim, out);
    else if (request->answer < (uint64_t)sim->options.bad_json)
        write_echo(sim, out); /* begins like a list and is none */
    else
        return write_structured(sim, out, err);
    return PL_OK;
}

/* ---- tools ---- */

static bool has_tool_result(struct pl_str messages)
{
    struct json_iter it;
    struct pl_str role;

    for (json_iter_init(&it, messages); json_iter_next(&it);) {
        if (json_get(it.value, PL_STR("role"), &role) && pl_str_is(role, "\"tool\""))
            return true;
    }
    return false;
}

static bool calls_tools(const struct sim *sim)
{
    const struct llm_request *request = &sim->call->request;

    return request->agent && request->tools.len && !sim->options.no_tools &&
           !has_tool_result(request->messages);
}

static enum pl_code add_call(const struct agent_tool *tool, struct pl_str echo, size_t max,
                             struct tool_calls *calls, struct pl_err *err)
{
    struct tool_call *call = tool_calls_add(calls, -1, max);

    if (!call)
        return PL_OK; /* tool_calls_check says why */
    pl_buf_str(&call->name, tool->id);
    if (tool->parameters.schema)
        return schema_sample_write(tool->parameters.schema, echo, &call->arguments, err);
    pl_buf_text(&call->arguments, "{}");
    return PL_OK;
}

/* One of an MCP server's, as the model is offered it. */
static enum pl_code add_mcp_call(const struct sim *sim, struct pl_str tool, struct pl_str echo,
                                 size_t max, struct tool_calls *calls, struct pl_err *err)
{
    struct pl_arena *arena = sim->call->arena;
    struct pl_str function = {0}, name = {0}, parameters = PL_STR("true");
    struct tool_call *call = tool_calls_add(calls, -1, max);
    const struct schema *schema = NULL;
    struct doc_problems problems;
    struct doc_node *root = NULL;

    if (!call)
        return PL_OK;
    json_get(tool, PL_STR("function"), &function);
    json_get(function, PL_STR("parameters"), &parameters);
    if (json_get(function, PL_STR("name"), &name))
        json_decode_string(name, &call->name);
    doc_problems_init(&problems, arena);
    if (doc_parse(arena, parameters, DOC_JSON, &root, &problems) == PL_OK && root)
        schema = schema_compile(arena, root, &problems);
    if (schema)
        return schema_sample_write(schema, echo, &call->arguments, err);
    pl_buf_text(&call->arguments, "{}");
    return PL_OK;
}

/* Every tool once, in order, with arguments that fit. */
static enum pl_code write_calls(const struct sim *sim, struct pl_buf *out, struct pl_err *err)
{
    const struct llm_request *request = &sim->call->request;
    const struct agent_config *agent = request->agent;
    struct tool_calls calls = {0};
    struct pl_buf echo;
    struct json_iter it;
    size_t at = 0;
    enum pl_code code = PL_OK;

    pl_buf_init(&echo, out->max);
    append_last_user(request->messages, &echo);
    for (size_t i = 0; code == PL_OK && i < agent->n_tools && i < TOOL_CALLS_MAX; i++)
        code = add_call(&agent->tools[i], pl_buf_view(&echo), out->max, &calls, err);
    for (json_iter_init(&it, request->tools); code == PL_OK && json_iter_next(&it); at++)
        if (at >= agent->n_tools && at < TOOL_CALLS_MAX)
            code = add_mcp_call(sim, it.value, pl_buf_view(&echo), out->max, &calls, err);
    if (code == PL_ERR_INVALID_INPUT)
        code = pl_err_set(err, PL_ERR_UNSUPPORTED,
                          "sim: no arguments were found that fit the parameters of a tool; "
                          "sim/echo?tools=0 calls none");
    if (code == PL_OK)
        code = tool_calls_check(&calls, err);
    if (code == PL_OK)
        tool_calls_write(&calls, PL_STR("null"), request->identity, out);
    out->failed |= pl_buf_failed(&echo);
    pl_buf_finish(&echo);
    tool_calls_finish(&calls);
    return code;
}

static size_t max_output(const struct llm_request *request)
{
    return request->max_output ? request->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;
}

/* ---- the end ---- */

static void complete(struct sim *sim)
{
    struct llm_call *call = sim->call;
    const struct llm_request *request = &call->request;

    call->result->usage.calls = 1;
    call->result->usage.input_tokens = llm_usage_guess_input(request);
    pl_buf_finish(&sim->text);
    loop_release(call->loop);
    call->complete(call);
}

/* The output, where tools were offered: a turn without calls. */
static struct pl_value *text_turn(const struct sim *sim, struct pl_str text)
{
    const struct tool_calls none = {0};
    struct pl_buf token, turn;
    struct pl_value *value = NULL;

    pl_buf_init(&token, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&turn, PL_LIMIT_STREAM_BYTES);
    json_write_string(&token, text);
    tool_calls_write(&none, pl_buf_view(&token), sim->call->request.identity, &turn);
    if (!pl_buf_failed(&token))
        value = pl_value_take(&turn);
    pl_buf_finish(&token);
    pl_buf_finish(&turn);
    return value;
}

static void succeed(struct sim *sim)
{
    struct step_result *result = sim->call->result;
    const bool turn = calls_tools(sim);
    enum pl_code code = PL_OK;

    if (!sim->text.len) {
        pl_buf_reset(&sim->text);
        code = turn ? write_calls(sim, &sim->text, &result->err)
                    : write_answer(sim, &sim->text, &result->err);
    }
    if (code == PL_OK && !pl_buf_failed(&sim->text)) {
        const struct pl_str text = pl_buf_view(&sim->text);

        result->usage.output_tokens = (int64_t)count_words(text);
        if (turn)
            result->output = pl_value_take(&sim->text);
        else
            result->output =
                sim->call->request.tools.len ? text_turn(sim, text) : pl_value_string(text);
    }
    if (sim->text.too_large)
        pl_err_set(&result->err, PL_ERR_RESPONSE_TOO_LARGE,
                   "the answer's text is larger than %zu bytes", sim->text.max);
    else if (!result->output && code == PL_OK)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was made");
    complete(sim);
}

static void fail(struct sim *sim)
{
    const struct sim_options *options = &sim->options;
    struct step_result *result = sim->call->result;
    struct llm_fault fault = {.status = options->fail_status,
                              .message = PL_STR("a simulated failure")};

    result->usage.output_tokens = (int64_t)sim->words_sent;
    if (options->fail_status)
        llm_fault_result(&fault, PL_ERR_PROVIDER_ERROR, result);
    else
        pl_err_set(&result->err, options->fail_code, "a simulated failure");
    pl_err_prefix(&result->err, "sim");
    result->retry_after = options->retry_after;
    result->free = result->err.code == PL_ERR_RATE_LIMITED;
    complete(sim);
}

static void time_out(struct sim *sim)
{
    pl_err_set(&sim->call->result->err, PL_ERR_TIMEOUT, "sim: no answer within %lld ms",
               (long long)sim->duration);
    complete(sim);
}

static void finish(struct sim *sim)
{
    if (sim->aborted) {
        pl_err_set(&sim->call->result->err, PL_ERR_CANCELLED, "cancelled");
        complete(sim);
    } else if (sim->times_out) {
        time_out(sim);
    } else if (sim->fails) {
        fail(sim);
    } else {
        succeed(sim);
    }
}

/* ---- time ---- */

static void on_mail(struct loop *loop, struct loop_mail *mail)
{
    (void)loop;
    finish(pl_container_of(mail, struct sim, mail));
}

/* When the next word is due. */
static pl_ms next_word_at(const struct sim *sim)
{
    const pl_ms n = (pl_ms)sim->words, next = (pl_ms)sim->words_sent + 1;

    return sim->began + (sim->duration * next + n - 1) / n;
}

/* Gives out the words that are due by now. */
static void send_words(struct sim *sim, size_t due)
{
    struct llm_call *call = sim->call;
    const struct pl_str rest = pl_str_n(sim->text.data + sim->sent, sim->text.len - sim->sent);
    const size_t len = due >= sim->words ? rest.len : words_length(rest, due - sim->words_sent);

    sim->words_sent = due;
    sim->sent += len;
    if (len)
        call->sink.delta(call->sink.arg, pl_str_n(rest.ptr, len));
}

static void on_timer(struct loop *loop, struct loop_timer *timer)
{
    struct sim *sim = pl_container_of(timer, struct sim, timer);
    const pl_ms elapsed = loop_now(loop) - sim->began;
    const pl_ms end = sim->began + sim->duration;

    if (sim->words) {
        size_t due = elapsed >= sim->duration
                         ? sim->words
                         : sim->words * (size_t)elapsed / (size_t)sim->duration;

        if (due > sim->words / 2 && sim->fails)
            due = sim->words / 2; /* a failure in the middle of the stream */
        if (due > sim->words_sent)
            send_words(sim, due);
    }
    if (loop_now(loop) >= end)
        finish(sim);
    else if (sim->words && sim->words_sent < sim->words && next_word_at(sim) > loop_now(loop))
        loop_timer_set(loop, timer, next_word_at(sim) < end ? next_word_at(sim) : end);
    else
        loop_timer_set(loop, timer, end);
}

/* How this attempt will go. */
static void decide(struct sim *sim)
{
    const struct sim_options *options = &sim->options;
    const struct llm_request *request = &sim->call->request;
    const pl_ms timeout = request->timeout ? request->timeout : PL_LIMIT_ATTEMPT_MS;

    sim->duration = options->latency;
    if (options->jitter)
        sim->duration += (pl_ms)(draw(request, "jitter") * (double)(options->jitter + 1));
    if (options->slow_rate > 0 && draw(request, "slow") < options->slow_rate)
        sim->duration *= options->slow;
    sim->fails = options->fails && (!options->times || request->attempt <= options->times) &&
                 (options->fail_rate >= 1 || draw(request, "fail") < options->fail_rate);
    if (sim->duration > timeout || (sim->fails && options->hangs)) {
        sim->duration = timeout;
        sim->times_out = true;
    }
}

/* Words go out one by one when somebody listens and there is time; a failure that is an answer of
 * another kind has none. */
static bool streams(const struct sim *sim)
{
    const struct sim_options *options = &sim->options;

    if (!sim->call->request.stream || !sim->call->sink.delta || sim->times_out || calls_tools(sim))
        return false;
    return !sim->fails || (!options->fail_status && (options->fail_code == PL_ERR_STREAM_ERROR ||
                                                     options->fail_code == PL_ERR_TRUNCATED));
}

static void sim_start(struct llm_call *call)
{
    struct sim *sim = pl_arena_alloc(call->arena, sizeof(*sim));
    struct loop *loop = call->loop;

    call->state = sim;
    if (!sim || sim_options_parse(call->request.model, &sim->options, &call->result->err)) {
        if (!sim)
            pl_err_set(&call->result->err, PL_ERR_NO_MEMORY, "out of memory");
        call->complete(call);
        return;
    }
    sim->call = call;
    loop_hold(loop);
    pl_buf_init(&sim->text, max_output(&call->request));
    decide(sim);
    if (streams(sim)) {
        if (write_answer(sim, &sim->text, NULL) != PL_OK)
            pl_buf_reset(&sim->text); /* the end says why */
        sim->words = pl_buf_failed(&sim->text) ? 0 : count_words(pl_buf_view(&sim->text));
    }
    sim->began = loop_now(loop);
    if (sim->duration > 0) {
        sim->timer.fire = on_timer;
        loop_timer_set(loop, &sim->timer,
                       sim->words ? next_word_at(sim) : sim->began + sim->duration);
        return;
    }
    if (sim->words)
        send_words(sim, sim->fails ? sim->words / 2 : sim->words);
    sim->mailed = true;
    sim->mail.deliver = on_mail;
    loop_at_turn_end(loop, &sim->mail);
}

static void sim_abort(struct llm_call *call)
{
    struct sim *sim = call->state;

    if (sim->aborted)
        return;
    sim->aborted = true;
    if (sim->mailed)
        return; /* it completes at the turn's end */
    call->result->usage.output_tokens = (int64_t)sim->words_sent;
    loop_timer_clear(call->loop, &sim->timer);
    finish(sim);
}

static bool sim_model_ok(const struct provider *provider, struct pl_str model, struct pl_err *err)
{
    struct sim_options options;

    (void)provider;
    return sim_options_parse(model, &options, err) == PL_OK;
}

const struct provider_ops sim_ops = {
    .kind = "sim",
    .start = sim_start,
    .abort = sim_abort,
    .model_ok = sim_model_ok,
};
