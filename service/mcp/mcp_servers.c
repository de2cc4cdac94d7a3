/* mcp_servers.c - see mcp_servers.h. Called by mcp_client.c and mcp_farewell.c on loops, and by the
 * engine at its start and end. */
#include "service/mcp/mcp_servers.h"

#include "base/list.h"
#include "base/map.h"
#include "base/sync.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

/* An entry of either table, one block with its texts. An era has no owner. */
struct entry {
    struct entry *next;  /* in its bucket */
    struct pl_list used; /* the longest unused first */
    uint64_t hash;       /* of the owner; of an era, of the URL */
    enum mcp_era era;
    struct pl_str owner, url, id, version;
};

struct table {
    struct entry *buckets[BUCKETS];
    struct pl_list used;
    size_t n, max;
};

struct mcp_servers {
    struct pl_mutex lock;
    struct table eras, sessions; /* guarded by lock */
};

static void table_init(struct table *table, size_t max)
{
    pl_list_init(&table->used);
    table->max = max;
}

struct mcp_servers *mcp_servers_create(void)
{
    struct mcp_servers *servers = calloc(1, sizeof(*servers));

    if (!servers)
        return NULL;
    pl_mutex_init(&servers->lock);
    table_init(&servers->eras, MCP_SERVERS_KEPT);
    table_init(&servers->sessions, MCP_SESSIONS_KEPT);
    return servers;
}

/* ---- entries ---- */

static void remove_entry(struct table *table, struct entry *entry)
{
    struct entry **at = &table->buckets[entry->hash % BUCKETS];

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    pl_list_remove(&entry->used);
    table->n--;
    free(entry);
}

static void table_finish(struct table *table)
{
    while (!pl_list_empty(&table->used))
        remove_entry(table, pl_container_of(table->used.next, struct entry, used));
}

void mcp_servers_destroy(struct mcp_servers **servers)
{
    struct mcp_servers *old = *servers;

    *servers = NULL;
    if (!old)
        return;
    table_finish(&old->eras);
    table_finish(&old->sessions);
    pl_mutex_finish(&old->lock);
    free(old);
}

static struct pl_str put(char **at, struct pl_str text)
{
    char *start = *at;

    if (text.len)
        memcpy(start, text.ptr, text.len);
    start[text.len] = '\0';
    *at = start + text.len + 1;
    return pl_str_n(start, text.len);
}

static void add_entry(struct table *table, const struct entry *like)
{
    struct entry *entry = calloc(1, sizeof(*entry) + like->owner.len + like->url.len +
                                        like->id.len + like->version.len + 4);
    char *at;

    if (!entry)
        return;
    at = (char *)(entry + 1);
    if (table->n >= table->max)
        remove_entry(table, pl_container_of(table->used.next, struct entry, used));
    entry->hash = like->hash;
    entry->era = like->era;
    entry->owner = put(&at, like->owner);
    entry->url = put(&at, like->url);
    entry->id = put(&at, like->id);
    entry->version = put(&at, like->version);
    entry->next = table->buckets[entry->hash % BUCKETS];
    table->buckets[entry->hash % BUCKETS] = entry;
    pl_list_append(&table->used, &entry->used);
    table->n++;
}

static struct entry *find_entry(struct table *table, uint64_t hash, struct pl_str owner,
                                struct pl_str url)
{
    struct entry *entry = table->buckets[hash % BUCKETS];

    while (entry &&
           !(entry->hash == hash && pl_str_eq(entry->owner, owner) && pl_str_eq(entry->url, url)))
        entry = entry->next;
    if (!entry)
        return NULL;
    pl_list_remove(&entry->used);
    pl_list_append(&table->used, &entry->used);
    return entry;
}

/* ---- eras ---- */

enum mcp_era mcp_servers_era(struct mcp_servers *servers, struct pl_str url)
{
    const struct entry *entry;
    enum mcp_era era;

    if (!servers)
        return MCP_ERA_UNKNOWN;
    pl_mutex_lock(&servers->lock);
    entry = find_entry(&servers->eras, pl_hash(url), PL_STR(""), url);
    era = entry ? entry->era : MCP_ERA_UNKNOWN;
    pl_mutex_unlock(&servers->lock);
    return era;
}

void mcp_servers_set_era(struct mcp_servers *servers, struct pl_str url, enum mcp_era era)
{
    struct entry *entry;

    if (!servers)
        return;
    pl_mutex_lock(&servers->lock);
    entry = find_entry(&servers->eras, pl_hash(url), PL_STR(""), url);
    if (entry)
        entry->era = era;
    else
        add_entry(&servers->eras, &(struct entry){.hash = pl_hash(url), .era = era, .url = url});
    pl_mutex_unlock(&servers->lock);
}

/* ---- sessions ---- */

static bool copy_session(const struct entry *entry, struct pl_arena *arena,
                         struct mcp_session *ret_session)
{
    *ret_session = (struct mcp_session){.id = pl_arena_str(arena, entry->id),
                                        .version = pl_arena_str(arena, entry->version)};
    return !pl_arena_failed(arena);
}

bool mcp_servers_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                         struct pl_arena *arena, struct mcp_session *ret_session)
{
    const struct entry *entry;
    bool found;

    if (!servers)
        return false;
    pl_mutex_lock(&servers->lock);
    entry = find_entry(&servers->sessions, pl_hash(owner), owner, url);
    found = entry && copy_session(entry, arena, ret_session);
    pl_mutex_unlock(&servers->lock);
    return found;
}

void mcp_servers_set_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                             const struct mcp_session *session)
{
    struct entry *entry;

    if (!servers)
        return;
    pl_mutex_lock(&servers->lock);
    entry = find_entry(&servers->sessions, pl_hash(owner), owner, url);
    if (entry)
        remove_entry(&servers->sessions, entry);
    add_entry(&servers->sessions, &(struct entry){.hash = pl_hash(owner),
                                                  .owner = owner,
                                                  .url = url,
                                                  .id = session->id,
                                                  .version = session->version});
    pl_mutex_unlock(&servers->lock);
}

void mcp_servers_drop_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                              struct pl_str id)
{
    struct entry *entry;

    if (!servers)
        return;
    pl_mutex_lock(&servers->lock);
    entry = find_entry(&servers->sessions, pl_hash(owner), owner, url);
    if (entry && pl_str_eq(entry->id, id))
        remove_entry(&servers->sessions, entry);
    pl_mutex_unlock(&servers->lock);
}

bool mcp_servers_take_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                              struct pl_arena *arena, struct mcp_session *ret_session)
{
    struct entry *entry;
    bool found;

    if (!servers)
        return false;
    pl_mutex_lock(&servers->lock);
    entry = find_entry(&servers->sessions, pl_hash(owner), owner, url);
    found = entry && copy_session(entry, arena, ret_session);
    if (entry)
        remove_entry(&servers->sessions, entry);
    pl_mutex_unlock(&servers->lock);
    return found;
}
