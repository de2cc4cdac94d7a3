/* serve.h - the connections of the stand-in model, its log and its figures. Not the event loop
 * (main.c). One thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_SERVE_H
#define PLAIT_TESTS_FAKE_MODEL_SERVE_H

#include "base/compiler.h"

struct server;
struct conn;

struct server_options {
    const char *log_path; /* NULL: no log */
    const char *key;      /* NULL: any key, or none, will do */
};

/* NULL, with a message on stderr, when the log cannot be opened. */
struct server *server_create(const struct server_options *options);
/* Logs what is unfinished, closes everything, nulls. */
void server_destroy(struct server **server);

/* A connection was accepted: takes the descriptor. NULL when out of memory (it is closed then). */
struct conn *server_accept(struct server *server, int fd);
/* What epoll said of it. The connection may be gone afterwards, but its memory lives until
 * server_bury. */
void server_event(struct server *server, struct conn *conn, uint32_t events);
/* Sends what is due. */
void server_tick(struct server *server);
/* Frees the connections that ended; after a batch of events. */
void server_bury(struct server *server);
/* Microseconds until something is due, -1: nothing. */
int64_t server_wait_us(const struct server *server);

#endif
