/* id.c - ids that sort by time. Not secrets. Called where rows and requests get their names.
 *
 * The 128 bits: 48 of milliseconds, 16 that count up within a millisecond from a random start, 64
 * random. The first 64 are one atomic that only ever grows, which is what makes a later id sort
 * later, also when the time handed in goes back and when one millisecond has more than 65,536 ids.
 */
#include "base/id.h"

#include "base/random.h"

#include <stdatomic.h>
#include <string.h>

enum { ID_DIGITS = 26, ID_PREFIX_MAX = 8 };

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

static _Atomic uint64_t last_head;

/* The next value of the growing half. */
static uint64_t next_head(pl_ms now, uint64_t start)
{
    const uint64_t ms = now < 0 ? 0 : (uint64_t)now & 0xFFFFFFFFFFFFu;
    const uint64_t fresh = ms << 16 | start;
    uint64_t last = atomic_load_explicit(&last_head, memory_order_relaxed), head;

    do {
        head = fresh > last ? fresh : last + 1;
    } while (!atomic_compare_exchange_weak_explicit(&last_head, &last, head, memory_order_relaxed,
                                                    memory_order_relaxed));
    return head;
}

char *pl_id_new(const char *prefix, pl_ms now, char out[PL_ID_TEXT])
{
    size_t len = strnlen(prefix, ID_PREFIX_MAX);
    uint64_t random[2], head, tail;

    pl_random_bytes(random, sizeof(random));
    head = next_head(now, random[0] & 0x3FFF); /* a low start leaves room to count */
    tail = random[1];
    memcpy(out, prefix, len);
    out[len++] = '_';
    /* From the last digit backwards, five bits each; the first digit gets the three that are left.
     */
    for (size_t i = ID_DIGITS; i-- > 0;) {
        out[len + i] = alphabet[tail & 31];
        tail = tail >> 5 | head << 59;
        head >>= 5;
    }
    out[len + ID_DIGITS] = '\0';
    return out;
}

bool pl_id_valid(const char *prefix, const char *text)
{
    size_t len = strlen(prefix);

    if (strncmp(text, prefix, len) != 0 || text[len] != '_')
        return false;
    text += len + 1;
    if (strlen(text) != ID_DIGITS || text[0] > '7')
        return false;
    return strspn(text, alphabet) == ID_DIGITS;
}
