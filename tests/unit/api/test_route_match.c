/* test_route_match.c - which row a method and a path find, and that the table is one whose rows do
 * not stand in each other's way. */
#include "api/openapi.h"
#include "api/routes.h"
#include "base/json.h"

#include <check.h>
#include <stdlib.h>

static struct api_request request;
static const struct api_route *route;
static const char *allow;

static enum pl_code match(const char *method, const char *path)
{
    struct pl_err err = {0};

    route = NULL;
    allow = NULL;
    request.method = pl_str(method);
    request.path = pl_str(path);
    return api_route_match(&request, &route, &allow, &err);
}

static void set_up(void)
{
    request.arena = pl_arena_create(0);
}

static void tear_down(void)
{
    pl_arena_destroy(&request.arena);
}

START_TEST(a_path_finds_its_row_and_params)
{
    ck_assert_int_eq(match("GET", "/v1/runs"), PL_OK);
    ck_assert_ptr_eq(route->handler, handle_runs_list);
    ck_assert_int_eq(match("POST", "/v1/runs"), PL_OK);
    ck_assert_ptr_eq(route->handler, handle_runs_create);
    ck_assert_int_eq(match("POST", "/v1/runs/run_1/steps/reviews.17/cancel"), PL_OK);
    ck_assert_ptr_eq(route->handler, handle_step_cancel);
    ck_assert(pl_str_is(request.params[0], "run_1"));
    ck_assert(pl_str_is(request.params[1], "reviews.17"));
    ck_assert_int_eq(match("HEAD", "/healthz"), PL_OK);
    ck_assert_ptr_eq(route->handler, handle_healthz);
}
END_TEST

START_TEST(nearly_the_path_is_not_the_path)
{
    static const char *const bad[] = {"/",           "/v1",
                                      "/v1/runs/",   "/v1/runs//steps",
                                      "/v1/runs/a/", "/v1/Runs",
                                      "//v1/runs",   "/v1/runs/a/b/c",
                                      "/healthz/",   "/v1/runs/a/steps/b/cancel/c"};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        ck_assert_msg(match("GET", bad[i]) == PL_ERR_NOT_FOUND, "%s", bad[i]);
}
END_TEST

START_TEST(another_method_is_told_which_there_are)
{
    ck_assert_int_eq(match("PATCH", "/v1/runs/x"), PL_ERR_NOT_ALLOWED);
    ck_assert_str_eq(allow, "GET, HEAD, DELETE");
    ck_assert_int_eq(match("get", "/healthz"), PL_ERR_NOT_ALLOWED);
    ck_assert_str_eq(allow, "GET, HEAD");
    ck_assert_int_eq(match("OPTIONS", "/v1/workflows/a"), PL_ERR_NOT_ALLOWED);
    ck_assert_str_eq(allow, "PUT, GET, HEAD, DELETE");
}
END_TEST

START_TEST(every_row_is_whole_and_finds_itself)
{
    for (size_t i = 0; i < api_routes_count; i++) {
        const struct api_route *row = &api_routes[i];

        ck_assert(row->method && row->pattern && row->handler && row->summary && row->statuses);
        ck_assert_msg(match(row->method, row->pattern) == PL_OK && route == row, "%s %s",
                      row->method, row->pattern);
    }
}
END_TEST

START_TEST(the_openapi_document_has_every_row_and_only_known_schemas)
{
    struct pl_buf out;
    struct pl_str paths, components, schemas, item;
    struct pl_err err = {0};

    pl_buf_init(&out, 1 << 20);
    openapi_write(&out);
    ck_assert(!pl_buf_failed(&out));
    ck_assert_msg(json_check(pl_buf_view(&out), 64, NULL, &err) == PL_OK, "%s", err.message);
    ck_assert(json_get(pl_buf_view(&out), PL_STR("paths"), &paths));
    ck_assert(json_get(pl_buf_view(&out), PL_STR("components"), &components));
    ck_assert(json_get(components, PL_STR("schemas"), &schemas));
    for (size_t i = 0; i < api_routes_count; i++) {
        ck_assert(json_get(paths, pl_str(api_routes[i].pattern), &item));
        if (api_routes[i].request_schema)
            ck_assert(json_get(schemas, pl_str(api_routes[i].request_schema), &item));
        if (api_routes[i].response_schema)
            ck_assert(json_get(schemas, pl_str(api_routes[i].response_schema), &item));
    }
    pl_buf_finish(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("route_match");
    TCase *tests = tcase_create("route_match");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_path_finds_its_row_and_params);
    tcase_add_test(tests, nearly_the_path_is_not_the_path);
    tcase_add_test(tests, another_method_is_told_which_there_are);
    tcase_add_test(tests, every_row_is_whole_and_finds_itself);
    tcase_add_test(tests, the_openapi_document_has_every_row_and_only_known_schemas);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
