/* test_mcp_servers.c - what a process knows of MCP servers: eras, sessions, and that it does not
 * grow without end. Run by ctest. */
#include "service/mcp/mcp_servers.h"

#include <check.h>
#include <stdio.h>

static struct mcp_servers *servers;
static struct pl_arena *arena;

static void set_up(void)
{
    servers = mcp_servers_create();
    arena = pl_arena_create(0);
    ck_assert_ptr_nonnull(servers);
}

static void tear_down(void)
{
    mcp_servers_destroy(&servers);
    pl_arena_destroy(&arena);
}

START_TEST(an_era_is_of_a_url_and_may_change)
{
    ck_assert_int_eq(mcp_servers_era(servers, PL_STR("http://a/")), MCP_ERA_UNKNOWN);
    mcp_servers_set_era(servers, PL_STR("http://a/"), MCP_ERA_STATELESS);
    mcp_servers_set_era(servers, PL_STR("http://b/"), MCP_ERA_STATELESS);
    mcp_servers_set_era(servers, PL_STR("http://a/"), MCP_ERA_SESSION);
    ck_assert_int_eq(mcp_servers_era(servers, PL_STR("http://a/")), MCP_ERA_SESSION);
    ck_assert_int_eq(mcp_servers_era(servers, PL_STR("http://b/")), MCP_ERA_STATELESS);
}
END_TEST

START_TEST(a_session_is_of_one_owner_and_dropped_by_its_id)
{
    const struct mcp_session one = {PL_STR("one"), PL_STR("2025-06-18")},
                             two = {PL_STR("two"), PL_STR("v")};
    struct mcp_session found;
    struct pl_str url = PL_STR("http://a/");

    mcp_servers_set_session(servers, PL_STR("run:x"), url, &one);
    ck_assert(!mcp_servers_session(servers, PL_STR("run:y"), url, arena, &found));
    ck_assert(mcp_servers_session(servers, PL_STR("run:x"), url, arena, &found));
    ck_assert(pl_str_is(found.id, "one") && pl_str_is(found.version, "2025-06-18"));
    mcp_servers_set_session(servers, PL_STR("run:x"), url, &two);
    mcp_servers_drop_session(servers, PL_STR("run:x"), url,
                             PL_STR("one")); /* made anew meanwhile */
    ck_assert(mcp_servers_session(servers, PL_STR("run:x"), url, arena, &found));
    ck_assert(pl_str_is(found.id, "two"));
    mcp_servers_drop_session(servers, PL_STR("run:x"), url, PL_STR("two"));
    ck_assert(!mcp_servers_session(servers, PL_STR("run:x"), url, arena, &found));
}
END_TEST

START_TEST(a_session_is_taken_once)
{
    const struct mcp_session one = {PL_STR("one"), PL_STR("v")};
    struct mcp_session found;

    mcp_servers_set_session(servers, PL_STR("o"), PL_STR("u"), &one);
    ck_assert(mcp_servers_take_session(servers, PL_STR("o"), PL_STR("u"), arena, &found));
    ck_assert(pl_str_is(found.id, "one"));
    ck_assert(!mcp_servers_take_session(servers, PL_STR("o"), PL_STR("u"), arena, &found));
}
END_TEST

START_TEST(the_longest_unused_is_forgotten_first)
{
    char url[32];

    mcp_servers_set_era(servers, PL_STR("kept"), MCP_ERA_SESSION);
    mcp_servers_set_era(servers, PL_STR("lost"), MCP_ERA_SESSION);
    for (int i = 0; i < MCP_SERVERS_KEPT - 1; i++) {
        (void)mcp_servers_era(servers, PL_STR("kept"));
        snprintf(url, sizeof(url), "http://%d/", i);
        mcp_servers_set_era(servers, pl_str(url), MCP_ERA_STATELESS);
    }
    ck_assert_int_eq(mcp_servers_era(servers, PL_STR("kept")), MCP_ERA_SESSION);
    ck_assert_int_eq(mcp_servers_era(servers, PL_STR("lost")), MCP_ERA_UNKNOWN);
}
END_TEST

START_TEST(without_a_table_nothing_is_known)
{
    struct mcp_session found;

    mcp_servers_set_era(NULL, PL_STR("a"), MCP_ERA_SESSION);
    ck_assert_int_eq(mcp_servers_era(NULL, PL_STR("a")), MCP_ERA_UNKNOWN);
    ck_assert(!mcp_servers_take_session(NULL, PL_STR("o"), PL_STR("u"), arena, &found));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp_servers");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_era_is_of_a_url_and_may_change);
    tcase_add_test(tests, a_session_is_of_one_owner_and_dropped_by_its_id);
    tcase_add_test(tests, a_session_is_taken_once);
    tcase_add_test(tests, the_longest_unused_is_forgotten_first);
    tcase_add_test(tests, without_a_table_nothing_is_known);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
