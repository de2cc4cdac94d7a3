/* test_run_join.c - joins as arithmetic: for how the branches stand, what is decided? */
#include "base/limits.h"
#include "service/run/run_join.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

enum { OPEN, YES, NO }; /* not decided, satisfied, not satisfied */

struct stand {
    struct join_policy policy;
    unsigned total, succeeded, failed, skipped, cancelled;
    bool at_deadline;
    int answer;
    enum pl_code code;
    unsigned needed; /* before the decision */
};

#define ALL                        \
    {                              \
        .kind = JOIN_ALL, .min = 1 \
    }
#define ALL2                                          \
    {                                                 \
        .kind = JOIN_ALL, .min = 2, .min_given = true \
    }
#define SETTLED                        \
    {                                  \
        .kind = JOIN_SETTLED, .min = 1 \
    }
#define SETTLED2                                          \
    {                                                     \
        .kind = JOIN_SETTLED, .min = 2, .min_given = true \
    }
#define SETTLED0                                          \
    {                                                     \
        .kind = JOIN_SETTLED, .min = 0, .min_given = true \
    }
#define ALL0                                          \
    {                                                 \
        .kind = JOIN_ALL, .min = 0, .min_given = true \
    }
#define ANY                        \
    {                              \
        .kind = JOIN_ANY, .min = 1 \
    }
#define Q(k)                                         \
    {                                                \
        .kind = JOIN_QUORUM, .quorum = (k), .min = 1 \
    }
#define F(share)                                             \
    {                                                        \
        .kind = JOIN_FRACTION, .fraction = (share), .min = 1 \
    }

#define UNREACHABLE PL_ERR_QUORUM_UNREACHABLE
#define BRANCH      PL_ERR_BRANCH_FAILED
#define LATE        PL_ERR_JOIN_DEADLINE

static const struct stand stands[] = {
    /* policy, total, succeeded, failed, skipped, cancelled */
    {ALL, 3, 0, 0, 0, 0, false, OPEN, 0, 3},
    {ALL, 3, 2, 0, 0, 0, false, OPEN, 0, 3},
    {ALL, 3, 3, 0, 0, 0, false, YES, 0, 3},
    {ALL, 3, 2, 0, 1, 0, false, YES, 0, 2},
    {ALL, 3, 2, 1, 0, 0, false, NO, BRANCH, 3},
    {ALL, 3, 0, 0, 0, 1, false, NO, BRANCH, 3},
    {ALL, 0, 0, 0, 0, 0, false, YES, 0, 0},
    {ALL, 2, 0, 0, 2, 0, false, YES, 0, 0},
    {ALL, 3, 1, 0, 0, 0, true, YES, 0, 3},
    {ALL, 3, 0, 0, 0, 0, true, NO, LATE, 3},
    {ALL2, 3, 1, 0, 0, 0, true, NO, LATE, 3},
    {ALL2, 3, 2, 0, 0, 0, true, YES, 0, 3},
    {ALL2, 3, 2, 0, 0, 0, false, OPEN, 0, 3},
    {SETTLED, 3, 0, 3, 0, 0, false, YES, 0, 3},
    {SETTLED, 3, 1, 1, 0, 0, false, OPEN, 0, 3},
    {SETTLED, 3, 0, 0, 2, 1, false, YES, 0, 1},
    {SETTLED, 0, 0, 0, 0, 0, false, YES, 0, 0},
    {SETTLED2, 3, 0, 1, 0, 0, false, OPEN, 0, 3},
    {SETTLED2, 3, 0, 2, 0, 0, false, NO, UNREACHABLE, 3},
    {SETTLED2, 3, 1, 1, 1, 0, false, NO, UNREACHABLE, 2},
    {SETTLED2, 3, 0, 0, 3, 0, false, YES, 0, 0},
    {SETTLED2, 3, 2, 1, 0, 0, false, YES, 0, 3},
    {SETTLED, 3, 0, 1, 0, 0, true, NO, LATE, 3},
    {SETTLED, 3, 1, 1, 0, 0, true, YES, 0, 3},
    {SETTLED0, 3, 0, 1, 0, 0, true, YES, 0, 3},
    {SETTLED0, 3, 0, 1, 0, 0, false, OPEN, 0, 3},
    {ALL0, 3, 0, 0, 0, 0, true, YES, 0, 3},
    {ALL0, 3, 0, 1, 0, 0, false, NO, BRANCH, 3},
    {ANY, 3, 0, 2, 0, 0, false, OPEN, 0, 1},
    {ANY, 3, 1, 0, 0, 0, false, YES, 0, 1},
    {ANY, 3, 0, 2, 1, 0, false, NO, UNREACHABLE, 1},
    {ANY, 0, 0, 0, 0, 0, false, NO, UNREACHABLE, 1},
    {ANY, 3, 0, 0, 0, 0, true, NO, LATE, 1},
    {Q(2), 4, 1, 2, 0, 0, false, OPEN, 0, 2},
    {Q(2), 4, 2, 2, 0, 0, false, YES, 0, 2},
    {Q(2), 4, 1, 2, 0, 1, false, NO, UNREACHABLE, 2},
    {Q(2), 4, 1, 0, 3, 0, false, NO, UNREACHABLE, 2},
    {Q(5), 4, 0, 0, 0, 0, false, NO, UNREACHABLE, 5},
    {Q(2), 4, 1, 0, 0, 0, true, NO, LATE, 2},
    {F(0.5), 4, 1, 0, 0, 0, false, OPEN, 0, 2},
    {F(0.5), 4, 1, 0, 2, 0, false, YES, 0, 1},
    {F(0.5), 3, 1, 1, 0, 0, false, OPEN, 0, 2},
    {F(0.5), 3, 1, 2, 0, 0, false, NO, UNREACHABLE, 2},
    {F(0.5), 3, 0, 0, 3, 0, false, NO, UNREACHABLE, 1},
    {F(1), 3, 2, 0, 1, 0, false, YES, 0, 2},
    {F(0.9), 10, 9, 0, 0, 0, false, YES, 0, 9},
    {F(0.07), 100, 6, 0, 0, 0, false, OPEN, 0, 7},
    {F(0.07), 100, 7, 0, 0, 0, false, YES, 0, 7},
    {F(0.001), 3, 0, 0, 0, 0, false, OPEN, 0, 1},
};

START_TEST(a_join_is_decided_by_how_its_branches_stand)
{
    const struct stand *stand = &stands[_i];
    struct node_join join = {
        .total = stand->total,
        .succeeded = stand->succeeded,
        .failed = stand->failed,
        .skipped = stand->skipped,
        .cancelled = stand->cancelled,
        .winner = -1,
    };
    struct step_def def = {.kind = STEP_PARALLEL, .join = stand->policy};
    struct run_node node = {.def = &def, .join = &join};

    ck_assert_uint_eq(run_join_needed(&node), stand->needed);
    ck_assert_int_eq(run_join_decide(&node, stand->at_deadline), stand->answer != OPEN);
    ck_assert_int_eq(join.decided, stand->answer != OPEN);
    ck_assert_int_eq(join.satisfied, stand->answer == YES);
    ck_assert_str_eq(pl_code_text(join.code), pl_code_text(stand->code));
    ck_assert_int_eq(join.by_deadline, stand->at_deadline);
    ck_assert_msg(!join.decided || !run_join_decide(&node, false), "it was decided twice");
}
END_TEST

START_TEST(losers_are_told_why_they_are_stopped)
{
    struct node_join join = {.decided = true, .satisfied = true};
    struct step_def def = {.join = ANY};
    struct run_node node = {.def = &def, .join = &join};

    ck_assert_int_eq(run_join_reason(&node), CANCEL_LOST_RACE);
    def.join.kind = JOIN_QUORUM;
    ck_assert_int_eq(run_join_reason(&node), CANCEL_QUORUM_MET);
    join.satisfied = false;
    ck_assert_int_eq(run_join_reason(&node), CANCEL_SIBLING_FAILED);
    join.by_deadline = true;
    ck_assert_int_eq(run_join_reason(&node), CANCEL_DEADLINE);
}
END_TEST

enum { BRANCHES = 5 };

/* A parallel with a branch of each fate: counted, failed, skipped, cancelled, late. */
struct family {
    struct step_def defs[BRANCHES], *def_list[BRANCHES], def;
    struct run_node nodes[BRANCHES], node;
    struct node_join join;
};

static void family_init(struct family *f, enum join_kind kind)
{
    static const char *const ids[BRANCHES] = {"good", "bad", "skipped", "stopped", "late"};
    static const enum node_state states[BRANCHES] = {NODE_SUCCEEDED, NODE_FAILED, NODE_SKIPPED,
                                                     NODE_CANCELLED, NODE_SUCCEEDED};

    *f = (struct family){.def = {.kind = STEP_PARALLEL, .join.kind = kind},
                         .join = {.total = BRANCHES,
                                  .succeeded = 2,
                                  .counted = 1,
                                  .failed = 1,
                                  .skipped = 1,
                                  .cancelled = 1,
                                  .decided = true,
                                  .satisfied = true,
                                  .winner = -1}};
    for (unsigned i = 0; i < BRANCHES; i++) {
        f->defs[i].id = pl_str(ids[i]);
        f->def_list[i] = &f->defs[i];
        f->nodes[i] = (struct run_node){.def = &f->defs[i], .state = states[i]};
    }
    f->nodes[0].counted = true;
    f->nodes[0].output = pl_value_new(PL_STR("{\"x\": 1}"));
    f->nodes[1].error = pl_value_new(PL_STR("{\"code\":\"refused\"}"));
    f->nodes[4].output = pl_value_new(PL_STR("\"late\""));
    f->def.children = f->def_list;
    f->def.n_children = BRANCHES;
    f->node = (struct run_node){.def = &f->def, .join = &f->join};
}

static void family_finish(struct family *f)
{
    for (unsigned i = 0; i < BRANCHES; i++) {
        pl_value_unref(&f->nodes[i].output);
        pl_value_unref(&f->nodes[i].error);
    }
}

static const struct family *family_at_hand; /* an accessor is given the joining node alone */

static struct join_branch branch_at(const struct run_node *node, size_t index)
{
    const struct run_node *branch = &family_at_hand->nodes[index];

    (void)node;
    return (struct join_branch){.id = branch->def->id,
                                .state = branch->state,
                                .counted = branch->counted,
                                .output = branch->output,
                                .error = branch->error};
}

static void check_value(struct family *f, const char *expected)
{
    bool too_large = true;
    struct pl_value *value;

    family_at_hand = f;
    value = run_join_value(&f->node, BRANCHES, branch_at, false, &too_large);

    ck_assert_ptr_nonnull(value);
    ck_assert(!too_large);
    ck_assert_str_eq(test_str(pl_value_text(value)), expected);
    pl_value_unref(&value);
}

START_TEST(the_value_has_every_branch_in_the_order_written)
{
    struct family f;

    family_init(&f, JOIN_QUORUM);
    check_value(&f, "{\"good\":{\"x\": 1},\"bad\":null,\"skipped\":null,\"stopped\":null,"
                    "\"late\":null}");
    f.def.join.kind = JOIN_SETTLED;
    check_value(&f, "{\"good\":{\"x\": 1},\"bad\":{\"error\":{\"code\":\"refused\"}},"
                    "\"skipped\":null,\"stopped\":null,\"late\":null}");
    f.def.join.kind = JOIN_ANY;
    f.join.winner = 0;
    check_value(&f, "{\"x\": 1}");
    family_finish(&f);
}
END_TEST

START_TEST(the_report_adds_up)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct family f;

    family_init(&f, JOIN_ANY);
    f.join.winner = 0;
    ck_assert_str_eq(test_str(run_join_report(&f.node, arena)),
                     "{\"policy\":\"any\",\"satisfied_by\":\"any\",\"needed\":1,\"total\":5,"
                     "\"counted\":1,\"failed\":1,\"cancelled\":1,\"missing\":2,\"winner\":\"good\","
                     "\"code\":null}");
    f.join.satisfied = false;
    f.join.by_deadline = true;
    f.join.code = PL_ERR_JOIN_DEADLINE;
    f.join.winner = -1;
    ck_assert_str_eq(test_str(run_join_report(&f.node, arena)),
                     "{\"policy\":\"any\",\"satisfied_by\":null,\"needed\":1,\"total\":5,"
                     "\"counted\":1,\"failed\":1,\"cancelled\":1,\"missing\":2,\"winner\":null,"
                     "\"code\":\"join_deadline\"}");
    family_finish(&f);
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_join");
    TCase *tests = tcase_create("run_join");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tests, a_join_is_decided_by_how_its_branches_stand, 0,
                        (int)PL_ARRAY_LEN(stands));
    tcase_add_test(tests, losers_are_told_why_they_are_stopped);
    tcase_add_test(tests, the_value_has_every_branch_in_the_order_written);
    tcase_add_test(tests, the_report_adds_up);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
