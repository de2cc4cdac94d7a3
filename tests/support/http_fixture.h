/* http_fixture.h - what the tests of http_call share: a pool of one loop, and a server that does
 * what a script says. Not a test. Included by test_http_call.c and test_http_faults.c, each of
 * which has its own. */
#ifndef PLAIT_TESTS_SUPPORT_HTTP_FIXTURE_H
#define PLAIT_TESTS_SUPPORT_HTTP_FIXTURE_H

#include "service/pool.h"
#include "tests/support/http_probe.h"
#include "tests/support/raw_server.h"

#include <check.h>
#include <signal.h>

static struct pool *pool;
static struct raw_server *server; /* stopped by tear_down */

PL_UNUSED static void set_up(void)
{
    struct pl_err err;

    signal(SIGPIPE, SIG_IGN);
    ck_assert_msg(pool_create(1, pl_clock_real(), &pool, &err) == PL_OK, "%s", err.message);
}

PL_UNUSED static void tear_down(void)
{
    pool_destroy(&pool);
    raw_server_stop(&server);
}

PL_UNUSED static struct loop *loop_0(void)
{
    return pool_loop(pool, 0);
}

/* The port of a server all of whose connections do the same. The steps must outlive the test. */
PL_UNUSED static unsigned serve(const struct raw_step *steps, size_t count)
{
    static struct raw_script script;

    script = (struct raw_script){steps, count};
    server = raw_server_start(&script, 1);
    return raw_server_port(server);
}
#define SERVE(...)                                             \
    ({                                                         \
        static const struct raw_step steps_[] = {__VA_ARGS__}; \
        serve(steps_, PL_ARRAY_LEN(steps_));                   \
    })

#endif
