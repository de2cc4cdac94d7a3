/* fuzz_tape.c - recordings of any bytes: one that is read can be asked for each of its calls, and
 * what differs from another of them can be told. The first byte says which is compared with which.
 */
#include "base/json.h"
#include "service/tape/tape.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static void answer(struct tape *tape, const struct tape_call *recorded, struct pl_str request)
{
    struct step_result result;
    struct pl_value *facts;
    struct tape_call *call;
    bool no_memory;

    call = tape_match(tape, recorded->path, recorded->step, "llm", request, &no_memory);
    must(!no_memory);
    if (!call || call->cancelled)
        return;
    step_result_init(&result);
    must(tape_result(call, &result));
    facts = step_result_take_facts(&result);
    must(!facts || json_check(pl_value_text(facts), 128, NULL, NULL) == PL_OK);
    pl_value_unref(&facts);
    step_result_finish(&result);
}

static void compare(const struct tape *tape, uint8_t which)
{
    const struct tape_call *a = tape_at(tape, which % tape_count(tape));
    const struct tape_call *b = tape_at(tape, (which / 16) % tape_count(tape));
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    must((tape_diff(a->request, b->request, "", 10, &out) == 0) == (out.len == 0));
    must(tape_diff(a->request, a->request, "", 10, &out) == 0);
    pl_buf_reset(&out);
    if (a->request.len) {
        tape_shorten(a->request, &out);
        must(json_check(pl_buf_view(&out), 128, NULL, NULL) == PL_OK);
    }
    pl_buf_finish(&out);
}

/* A call and when it came know each other, and no turn begins in the middle of one. */
static void walk(const struct tape *tape)
{
    const struct tape_mark *mark = tape_log_first(tape);

    must(!mark || (!mark->joined && !mark->never));
    for (; mark; mark = mark->next) {
        must(!mark->joined || !mark->then);
        must(!mark->call || (mark->kind == TAPE_RESULT && mark->call->mark == mark));
        must(mark->path.len || mark->kind == TAPE_TIME || mark->kind == TAPE_JQ);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tape *tape = tape_create(false);
    struct pl_err err;

    if (tape && size > 1 &&
        tape_read(tape, pl_str_n((const char *)data + 1, size - 1), &err) == PL_OK) {
        for (size_t i = 0; i < tape_count(tape) && i < 64; i++)
            answer(tape, tape_at(tape, i), PL_STR("{\"model\":\"x\",\"messages\":[1]}"));
        walk(tape);
        if (tape_count(tape))
            compare(tape, data[0]);
    }
    tape_destroy(&tape);
    return 0;
}
