/* raw_client.h - bytes to a port of this machine and what comes back, for requests that no HTTP
 * client would send, or not so. Not an HTTP client. A failure ends the test (Check). One thread. */
#ifndef PLAIT_TESTS_SUPPORT_RAW_CLIENT_H
#define PLAIT_TESTS_SUPPORT_RAW_CLIENT_H

#include "base/compiler.h"

enum { RAW_PATIENCE_S = 20, RAW_ANSWER_MAX = 1 << 20 };

/* What was heard last, a NUL behind. */
extern char raw_answer[RAW_ANSWER_MAX];

/* A connection to 127.0.0.1; the caller's to close. A read gives up after RAW_PATIENCE_S. */
int raw_dial(unsigned port);
void raw_say(int fd, const char *text);
/* Reads until `until` is in the answer, or to the end when it is NULL; the answer. */
const char *raw_hear(int fd, const char *until);
/* A connection, a request, an answer. */
const char *raw_ask(unsigned port, const char *text, const char *until);

#endif
