/* random.c - random bytes by libsodium. Not a generator of its own. Called by id and map. */
#include "base/random.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

static pthread_once_t sodium_once = PTHREAD_ONCE_INIT;

static void start_sodium(void)
{
    if (sodium_init() < 0)
        abort(); /* no source of randomness: nothing that needs an id can work */
}

void pl_random_bytes(void *out, size_t len)
{
    pthread_once(&sodium_once, start_sodium);
    randombytes_buf(out, len);
}
