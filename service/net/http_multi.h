/* http_multi.h - the curl multi handles of a loop: which transfer goes into which, and their
 * descriptors and timers on the loop's epoll. Not requests (http_call.c) and not easy handles
 * (http_easy.c). Loop thread only.
 *
 * One multi handle with ten thousand transfers takes more than twice the time of ten with a
 * thousand each, so each is filled to PL_LIMIT_TRANSFERS_PER_MULTI. The first that has room gets
 * the transfer: its connections are warm. Traffic of different policies is kept in different multi
 * handles, since curl does not ask again about a connection that it reuses. */
#ifndef PLAIT_SERVICE_NET_HTTP_MULTI_H
#define PLAIT_SERVICE_NET_HTTP_MULTI_H

#include "service/net/http_easy.h"
#include "service/net/http_names.h"
#include "service/net/http_pace.h"
#include "service/net/loop.h"

#include <curl/curl.h>

struct http_multi;
struct http_multis;

/* A transfer has ended; its easy handle is still in its multi, the callee takes it out. Not inside
 * curl. */
typedef void http_multi_ended(struct http_easy *easy, CURLcode result);

/* Those of a loop, made at the first call and freed with the loop; NULL when out of memory. `begin`
 * is called for a call whose turn to begin has come (http_multis_pace). */
struct http_multis *http_multis_of(struct loop *loop, http_multi_ended *ended,
                                   void (*begin)(struct http_pace_place *place));

/* True inside one of curl's callbacks, where nothing may be added or removed. */
bool http_multis_busy(const struct http_multis *multis);

/* Begins the transfer; NULL when out of memory. */
struct http_multi *http_multis_add(struct http_multis *multis, uint64_t policy,
                                   struct http_easy *easy);
/* Takes it out; when it has not ended, its connection is closed at once. */
void http_multi_remove(struct http_multi *multi, struct http_easy *easy);

/* The loop's idle easy handles. */
struct http_easy_pool *http_multis_easies(struct http_multis *multis);
/* The loop's names that are being looked up. */
struct http_names *http_multis_names(struct http_multis *multis);

/* Which calls of the loop may begin now. */
struct http_pace *http_multis_pace(struct http_multis *multis);

/* Opens a socket for curl that the loop's epoll knows to be new; CURL_SOCKET_BAD and errno when it
 * cannot. */
curl_socket_t http_multis_socket(struct http_multis *multis, const struct curl_sockaddr *address);
/* CURLOPT_CLOSESOCKETFUNCTION, with the multis as data. */
int http_multis_close_socket(void *multis, curl_socket_t fd);

#endif
