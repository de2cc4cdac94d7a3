/* test_net_policy.c - which addresses may be called: a table of spellings, what the operator
 * allows, what stays shut. Run by ctest. */
#include "service/net/net_policy.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

static struct pl_arena *arena;
static struct net_policy *policy;

static void set_up(void)
{
    arena = pl_arena_create(0);
    policy = net_policy_create(arena);
    ck_assert_ptr_nonnull(policy);
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static bool permits(const struct net_policy *asked, const char *text, unsigned port,
                    struct pl_err *err)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&address, &in, sizeof in);
    } else {
        ck_assert_msg(inet_pton(AF_INET6, text, &in6.sin6_addr) == 1, "%s", text);
        memcpy(&address, &in6, sizeof in6);
    }
    return net_policy_permits(asked, (const struct sockaddr *)&address, err);
}

static const struct {
    const char *text;
    bool permitted;
} addresses[] = {
    /* both ends of every range, and what lies just outside */
    {"0.0.0.0", false},
    {"0.255.255.255", false},
    {"1.0.0.0", true},
    {"9.255.255.255", true},
    {"10.0.0.0", false},
    {"10.255.255.255", false},
    {"11.0.0.0", true},
    {"100.63.255.255", true},
    {"100.64.0.0", false},
    {"100.127.255.255", false},
    {"100.128.0.0", true},
    {"126.255.255.255", true},
    {"127.0.0.0", false},
    {"127.0.0.1", false},
    {"127.255.255.255", false},
    {"128.0.0.0", true},
    {"169.253.255.255", true},
    {"169.254.0.0", false},
    {"169.254.169.254", false},
    {"169.254.255.255", false},
    {"169.255.0.0", true},
    {"168.63.129.16", false},
    {"172.15.255.255", true},
    {"172.16.0.0", false},
    {"172.31.255.255", false},
    {"172.32.0.0", true},
    {"192.0.0.0", false},
    {"192.0.0.255", false},
    {"192.0.1.0", true},
    {"192.0.2.1", false},
    {"192.0.3.0", true},
    {"192.88.98.255", true},
    {"192.88.99.1", false},
    {"192.88.100.0", true},
    {"192.167.255.255", true},
    {"192.168.0.0", false},
    {"192.168.255.255", false},
    {"192.169.0.0", true},
    {"198.17.255.255", true},
    {"198.18.0.0", false},
    {"198.19.255.255", false},
    {"198.20.0.0", true},
    {"198.51.100.1", false},
    {"203.0.113.255", false},
    {"203.0.114.0", true},
    {"223.255.255.255", true},
    {"224.0.0.1", false},
    {"239.255.255.255", false},
    {"240.0.0.1", false},
    {"255.255.255.255", false},
    {"8.8.8.8", true},
    {"93.184.216.34", true},
    /* IPv6 */
    {"::", false},
    {"::1", false},
    {"2606:4700:4700::1111", true},
    {"2a00:1450:4001:80b::200e", true},
    {"3ffe:ffff::1", true},
    {"3fff::1", false},
    {"4000::1", false},
    {"fc00::1", false},
    {"fd00:ec2::254", false},
    {"fdff:ffff::1", false},
    {"fe80::1", false},
    {"febf::1", false},
    {"fec0::1", false},
    {"ff02::1", false},
    {"100::1", false},
    {"2001:db8::1", false},
    {"2001:db9::1", true},
    {"2001:2::1", false},
    {"2001:10::1", false},
    {"2001:20::1", false},
    {"5f00::1", false},
    /* IPv4 inside */
    {"::ffff:127.0.0.1", false},
    {"::ffff:10.1.2.3", false},
    {"::ffff:169.254.169.254", false},
    {"::ffff:8.8.8.8", true},
    {"::ffff:0:8.8.8.8", false},
    {"::127.0.0.1", false},
    {"::8.8.8.8", true},
    {"::2", false},
    {"64:ff9b::127.0.0.1", false},
    {"64:ff9b::a9fe:a9fe", false},
    {"64:ff9b::8.8.8.8", true},
    {"64:ff9b:1::10.0.0.1", false},
    {"64:ff9b:1::8.8.8.8", true},
    {"64:ff9b:1:7f00:0:100:808:808", false}, /* 127.0.0.1 round octet 8 */
    {"64:ff9b:2::8.8.8.8", false},
    {"2002:7f00:1::", false},
    {"2002:a9fe:a9fe::1", false},
    {"2002:c0a8:101::1", false},
    {"2002:808:808::1", true},
    {"2001:0:808:808:0:0:80ff:fffe", false}, /* Teredo, client 127.0.0.1 */
    {"2001:0:7f00:1:0:0:f7f7:f7f7", false},  /* Teredo, server 127.0.0.1 */
    {"2001:0:808:808:0:0:f7f7:f7f7", true},  /* Teredo, 8.8.8.8 twice */
};

START_TEST(by_default_only_public_unicast_may_be_called)
{
    ck_assert_uint_ge(PL_ARRAY_LEN(addresses), 60);
    for (size_t i = 0; i < PL_ARRAY_LEN(addresses); i++) {
        struct pl_err err = {.code = PL_OK};
        bool permitted = permits(policy, addresses[i].text, 443, &err);

        ck_assert_msg(permitted == addresses[i].permitted, "%s", addresses[i].text);
        ck_assert_int_eq(err.code, permitted ? PL_OK : PL_ERR_ADDRESS_DENIED);
        if (!permitted)
            ck_assert_msg(strstr(err.message, "may not be called") != NULL, "%s", err.message);
    }
}
END_TEST

START_TEST(without_a_policy_any_ip_address_may_be_called)
{
    struct pl_err err;

    for (size_t i = 0; i < PL_ARRAY_LEN(addresses); i++)
        ck_assert(permits(NULL, addresses[i].text, 80, &err));
}
END_TEST

START_TEST(other_families_are_denied_with_and_without_a_policy)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct pl_err err;

    ck_assert(!net_policy_permits(policy, (const struct sockaddr *)&local, &err));
    ck_assert_int_eq(err.code, PL_ERR_ADDRESS_DENIED);
    ck_assert(!net_policy_permits(NULL, (const struct sockaddr *)&local, &err));
    ck_assert(!net_policy_permits(NULL, &none, &err));
}
END_TEST

START_TEST(what_the_operator_allows_is_open_and_its_neighbours_are_not)
{
    static const struct {
        const char *allow, *text;
        unsigned port;
        bool permitted;
    } table[] = {
        {"10.1.0.0/16", "10.1.255.255", 80, true},
        {"10.1.0.0/16", "10.2.0.0", 80, false},
        {"10.1.0.0/16", "::ffff:10.1.2.3", 80, true},
        {"10.1.0.0/16", "64:ff9b::10.1.2.3", 80, true},
        {"10.0.0.5", "10.0.0.5", 1, true},
        {"10.0.0.5", "10.0.0.4", 1, false},
        {"127.0.0.1:9000", "127.0.0.1", 9000, true},
        {"127.0.0.1:9000", "127.0.0.1", 9001, false},
        {"127.0.0.1:9000", "127.0.0.2", 9000, false},
        {"127.0.0.1:9000", "::ffff:127.0.0.1", 9000, true},
        {"127.0.0.1:9000", "::ffff:127.0.0.1", 9001, false},
        {"127.0.0.1:9000", "::1", 9000, false},
        {"[fd00::1]:80", "fd00::1", 80, true},
        {"[fd00::1]:80", "fd00::1", 81, false},
        {"[fd00::1]:80", "fd00::2", 80, false},
        {"[fd00::1]", "fd00::1", 7, true},
        {"fd00::1", "fd00::1", 7, true},
        {"fd00:1::/32", "fd00:1:ffff::1", 7, true},
        {"fd00:1::/32", "fd00:2::1", 7, false},
        {"::1", "::1", 7, true},
        {"64:ff9b::/96", "64:ff9b::10.0.0.1", 7, true},
        {"100.64.0.0/10", "100.127.0.1", 7, true},
        {"169.254.0.0/16", "169.254.1.1", 7, true},
        /* metadata stays shut, however it is wrapped */
        {"169.254.0.0/16", "169.254.169.254", 80, false},
        {"169.254.169.254", "169.254.169.254", 80, false},
        {"0.0.0.0/0", "169.254.169.254", 80, false},
        {"0.0.0.0/0", "100.100.100.200", 80, false},
        {"0.0.0.0/0", "::ffff:169.254.169.254", 80, false},
        {"::/0", "::ffff:169.254.169.254", 80, false},
        {"::/0", "64:ff9b::a9fe:a9fe", 80, false},
        {"::/0", "2002:a9fe:a9fe::", 80, false},
        {"::/0", "fd00:ec2::254", 80, false},
        {"fd00:ec2::254", "fd00:ec2::254", 80, false},
        {"0.0.0.0/0", "127.0.0.1", 80, true},
        {"::/0", "fe80::1", 80, true},
        {"::/0", "127.0.0.1", 80, false},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(table); i++) {
        struct net_policy *one = net_policy_create(arena);
        struct pl_err err = {.code = PL_OK};

        ck_assert_msg(net_policy_allow(one, pl_str(table[i].allow), &err) == PL_OK, "%s",
                      err.message);
        ck_assert_msg(permits(one, table[i].text, table[i].port, &err) == table[i].permitted,
                      "%s with %s allowed", table[i].text, table[i].allow);
    }
}
END_TEST

START_TEST(what_is_no_address_is_refused_with_examples)
{
    static const char *const bad[] = {
        "",           "localhost",     "10.0.0",       "10.0.0.256",  "10.0.0.0/33",
        "10.0.0.0/",  "10.0.0.1/8",    "10.0.0.0/-1",  "10.0.0.0/8x", "127.0.0.1:",
        "1.2.3.4:0",  "1.2.3.4:99999", "1.2.3.4:http", "[fd00::1",    "[fd00::1]80",
        "[fd00::1]:", "[10.0.0.1]:80", "fd00::/129",   "fd00::1/48",  "[]",
        "*",          "10.*",          "0x7f.1",       "10.0.0.1 ",   "[fd00::1]:80:90",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct pl_err err = {.code = PL_OK};

        ck_assert_msg(net_policy_allow(policy, pl_str(bad[i]), &err) == PL_ERR_INVALID_CONFIG, "%s",
                      bad[i]);
        ck_assert_uint_gt(strlen(err.message), 0);
    }
    ck_assert_int_eq(net_policy_allow(policy, pl_str_n("10.0.0.1\0x", 10), NULL),
                     PL_ERR_INVALID_CONFIG);
}
END_TEST

START_TEST(each_state_of_each_policy_has_a_number_of_its_own)
{
    struct net_policy *other = net_policy_create(arena);
    uint64_t before = net_policy_id(policy);
    struct pl_err err;

    ck_assert_uint_eq(net_policy_id(NULL), 0);
    ck_assert_uint_ne(before, 0);
    ck_assert_uint_ne(before, net_policy_id(other));
    ck_assert_int_eq(net_policy_allow(policy, PL_STR("10.0.0.1"), &err), PL_OK);
    ck_assert_uint_ne(before, net_policy_id(policy));
    ck_assert_uint_ne(net_policy_id(other), net_policy_id(policy));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/net_policy");
    TCase *tcase = tcase_create("net_policy");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, by_default_only_public_unicast_may_be_called);
    tcase_add_test(tcase, without_a_policy_any_ip_address_may_be_called);
    tcase_add_test(tcase, other_families_are_denied_with_and_without_a_policy);
    tcase_add_test(tcase, what_the_operator_allows_is_open_and_its_neighbours_are_not);
    tcase_add_test(tcase, what_is_no_address_is_refused_with_examples);
    tcase_add_test(tcase, each_state_of_each_policy_has_a_number_of_its_own);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
