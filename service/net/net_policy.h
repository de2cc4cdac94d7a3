/* net_policy.h - which addresses a request may connect to. Not names or URLs: it judges the binary
 * address that is really used, in curl's open-socket callback, so no spelling, redirect or DNS
 * answer gets round it. Made by config, asked by http_call. Immutable after it is built: any
 * thread.
 *
 * Denied by default: everything that is not public unicast: 0/8, 10/8, 100.64/10, 127/8,
 * 169.254/16, 172.16/12, 192.0.0/24, 192.0.2/24, 192.88.99/24, 192.168/16, 198.18/15,
 * 198.51.100/24, 203.0.113/24, 224/4, 240/4, ::, ::1, fc00::/7, fe80::/10, fec0::/10, ff00::/8,
 * 100::/64, 2001:db8::/32; mapped, compatible, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), 6to4 and
 * Teredo addresses are unwrapped and judged again; any family but IPv4 and IPv6. Link-local
 * metadata (169.254.169.254, fd00:ec2::254) stays denied whatever is allowed. */
#ifndef PLAIT_SERVICE_NET_NET_POLICY_H
#define PLAIT_SERVICE_NET_NET_POLICY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <sys/socket.h>

struct net_policy;

/* A policy that allows only public addresses. NULL when the arena failed. */
struct net_policy *net_policy_create(struct pl_arena *arena);
/* Also allows a range or one endpoint: "10.1.0.0/16", "127.0.0.1:9000", "[fd00::1]:80", "10.0.0.5".
 * Errors: INVALID_CONFIG. */
enum pl_code net_policy_allow(struct net_policy *policy, struct pl_str text,
                              struct pl_err *err) PL_MUST_CHECK;
/* May this address be connected to? When not, says why in `err` (ADDRESS_DENIED). A NULL policy
 * allows any IPv4 or IPv6. */
bool net_policy_permits(const struct net_policy *policy, const struct sockaddr *address,
                        struct pl_err *err);
/* A number for this policy in its present state, never used again for another: what keeps the
 * connections of policies apart. 0: no policy. */
uint64_t net_policy_id(const struct net_policy *policy);

#endif
