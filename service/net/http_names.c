/* http_names.c - the lines in front of names that are being looked up. Not a resolver. Called by
 * http_call.c. */
#include "service/net/http_names.h"

#include "service/net/http_outcome.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

enum { WINDOW_MOST = 64 }; /* lookups of one name at once when each of them fails */

/* One name; lives while a call looks it up or waits for that. */
struct http_name {
    struct pl_list node;
    struct pl_list line;
    unsigned going, window; /* calls under way to their address, and how many there may be */
    char host[HTTP_HOST_TEXT];
};

void http_names_init(struct http_names *names)
{
    pl_list_init(&names->active);
}

void http_names_finish(struct http_names *names)
{
    assert(pl_list_empty(&names->active));
    (void)names;
}

static bool needs_no_thread(const char *host)
{
    return (host[0] >= '0' && host[0] <= '9') || host[0] == '[' || host[0] == '\0' ||
           strcasecmp(host, "localhost") == 0 || strncasecmp(host, "localhost:", 10) == 0;
}

static struct http_name *find(struct http_names *names, const char *host)
{
    struct http_name *name;

    PL_LIST_EACH(node, &names->active)
    {
        name = pl_container_of(node, struct http_name, node);
        if (strcasecmp(name->host, host) == 0)
            return name;
    }
    name = calloc(1, sizeof *name);
    if (!name)
        return NULL;
    memcpy(name->host, host, strlen(host) + 1);
    name->window = 1;
    pl_list_init(&name->line);
    pl_list_append(&names->active, &name->node);
    return name;
}

bool http_names_enter(struct http_names *names, struct pl_str url, struct http_name_place *place)
{
    char host[HTTP_HOST_TEXT];
    struct http_name *name;

    if (needs_no_thread(http_outcome_host(url, host)))
        return true;
    name = find(names, host);
    if (!name)
        return true; /* no memory for order */
    place->name = name;
    if (name->going < name->window && pl_list_empty(&name->line)) {
        name->going++;
        return true;
    }
    pl_list_append(&name->line, &place->node);
    return false;
}

struct http_name *http_names_leave(struct http_name_place *place)
{
    struct http_name *name = place->name;

    if (!name)
        return NULL;
    place->name = NULL;
    if (pl_list_linked(&place->node)) {
        pl_list_remove(&place->node);
        return name;
    }
    name->going--;
    if (name->window < WINDOW_MOST)
        name->window++;
    return name;
}

struct http_name_place *http_names_next(struct http_name *name)
{
    struct pl_list *node;

    if (!name)
        return NULL;
    node = name->going < name->window ? pl_list_pop(&name->line) : NULL;
    if (node) {
        name->going++;
        return pl_container_of(node, struct http_name_place, node);
    }
    if (name->going == 0 && pl_list_empty(&name->line)) {
        pl_list_remove(&name->node);
        free(name);
    }
    return NULL;
}
