/* workflow_cache.h - compiled workflows by content, so that a definition that comes again costs a
 * hash. Not the stored workflows (storage/) and no promise to keep anything: the least used go
 * first. Owned by the engine; any thread. A workflow is immutable, so one serves all tenants that
 * sent the same text. */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_CACHE_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_CACHE_H

#include "service/workflow/workflow.h"

struct workflow_cache;

enum {
    WORKFLOW_CACHE_MOST = 256,       /* definitions kept */
    WORKFLOW_CACHE_BYTES = 64 << 20, /* and bytes of theirs, but for the last one used */
    WORKFLOW_CACHE_KEY = 72,         /* room for a key and its NUL */
};

struct workflow_cache *workflow_cache_create(void);         /* NULL when out of memory */
void workflow_cache_destroy(struct workflow_cache **cache); /* nulls; accepts NULL */

/* The key of a text as it was sent. Returns `out`. */
const char *workflow_cache_key(struct pl_str text, enum doc_format format,
                               char out[static WORKFLOW_CACHE_KEY]);

/* What was put under a key (of a text, or a content hash); one reference is the caller's. NULL:
 * not there. */
struct workflow *workflow_cache_get(struct workflow_cache *cache, struct pl_str key);
/* References the workflow. Without memory nothing is kept, nor is one that calls others by name
 * under another key than its hash: what its text means changes with them. */
void workflow_cache_put(struct workflow_cache *cache, struct pl_str key, struct workflow *workflow);

#endif
