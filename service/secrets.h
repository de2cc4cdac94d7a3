/* secrets.h - what a workflow may name and never sees: texts of the operator's that go out with
 * requests to the origins they are bound to, and nowhere else. Not provider keys (llm/provider.h).
 * Made by config before threads, then read-only; asked by the http step (and by whatever else calls
 * tools) on any thread.
 *
 * Invariant: a value leaves this module in two ways only: into the header of a request to one of
 * its origins (secrets_take), and never when it has come back (secrets_hide takes it out of answers
 * before anybody reads them). It is in no event, row, log line, error text or expression. */
#ifndef PLAIT_SERVICE_SECRETS_H
#define PLAIT_SERVICE_SECRETS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct secrets;

enum { SECRET_BYTES_MIN = 8, SECRET_BYTES_MAX = 8192 };

/* An empty set; NULL when out of memory. */
struct secrets *secrets_create(void);
void secrets_destroy(struct secrets **secrets); /* wipes, nulls; accepts NULL */

/* Adds one, without origins: it goes nowhere yet. `value` is copied. Before threads. Errors:
 * INVALID_CONFIG (the name, there is one of it, the value is too short to be hidden or has
 * characters that no header may have), NO_MEMORY. */
enum pl_code secrets_add(struct secrets *secrets, struct pl_str name, struct pl_str value,
                         struct pl_err *err) PL_MUST_CHECK;
/* Binds the one added last to one more origin ("https://crm.example"). Errors: INVALID_CONFIG (not
 * scheme, host and port alone), NO_MEMORY. */
enum pl_code secrets_bind(struct secrets *secrets, struct pl_str origin,
                          struct pl_err *err) PL_MUST_CHECK;

/* Is there one of this name? When not, `err` says so and names the nearest (SECRET_UNKNOWN). NULL
 * has none. */
bool secrets_has(const struct secrets *secrets, struct pl_str name, struct pl_err *err);

/* The value, for a request to `url` alone: borrowed from the set. Errors: SECRET_UNKNOWN,
 * SECRET_DENIED (the URL's origin is none of the secret's), INVALID_ARGUMENT (the URL), NO_MEMORY.
 * `arena` for what is needed on the way. */
enum pl_code secrets_take(const struct secrets *secrets, struct pl_str name, struct pl_str url,
                          struct pl_arena *arena, struct pl_str *ret_value,
                          struct pl_err *err) PL_MUST_CHECK;

/* Takes every secret out of text that a server sent, in place, also where it is written as in JSON,
 * in a URL or in base64. Returns the new length, which is not larger. NULL hides nothing. */
size_t secrets_hide(const struct secrets *secrets, char *text, size_t len);

#endif
