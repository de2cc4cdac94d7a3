/* bus_texts.c - see bus_texts.h. A text is found by run and path, and a run's texts are on one
 * list: a piece costs a look-up, however wide the run is. */
#include "service/events/bus_texts.h"

#include "base/limits.h"
#include "base/map.h"
#include "service/events/bus.h"

#include <stdlib.h>

enum { BUCKETS = 4096 };

struct bus_text_run {
    struct pl_list link; /* on its bucket */
    struct pl_list texts;
    size_t id_len;
    char id[];
};

struct bus_texts {
    struct pl_list runs[BUCKETS];  /* by id */
    struct pl_list paths[BUCKETS]; /* bus_texts, by id and path */
};

struct bus_texts *bus_texts_create(void)
{
    struct bus_texts *texts = calloc(1, sizeof *texts);

    if (!texts)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        pl_list_init(&texts->runs[i]);
        pl_list_init(&texts->paths[i]);
    }
    return texts;
}

/* The run goes with its last text. */
static void text_free(struct bus_text *text)
{
    struct bus_text_run *run = text->of;

    pl_list_remove(&text->run_link);
    pl_list_remove(&text->path_link);
    pl_buf_finish(&text->text);
    free(text);
    if (pl_list_empty(&run->texts)) {
        pl_list_remove(&run->link);
        free(run);
    }
}

void bus_texts_destroy(struct bus_texts **texts)
{
    if (!*texts)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (!pl_list_empty(&(*texts)->paths[i]))
            text_free(pl_container_of((*texts)->paths[i].next, struct bus_text, path_link));
    free(*texts);
    *texts = NULL;
}

static struct pl_list *path_bucket(struct bus_texts *texts, struct pl_str run, struct pl_str path)
{
    return &texts->paths[(pl_hash(run) * 31 + pl_hash(path)) % BUCKETS];
}

static struct bus_text_run *find_run(struct bus_texts *texts, struct pl_str id)
{
    struct pl_list *bucket = &texts->runs[pl_hash(id) % BUCKETS];

    PL_LIST_EACH(link, bucket)
    {
        struct bus_text_run *run = pl_container_of(link, struct bus_text_run, link);

        if (pl_str_eq(pl_str_n(run->id, run->id_len), id))
            return run;
    }
    return NULL;
}

static struct bus_text *find_text(struct bus_texts *texts, struct pl_str run, struct pl_str path)
{
    struct pl_list *bucket = path_bucket(texts, run, path);

    PL_LIST_EACH(link, bucket)
    {
        struct bus_text *text = pl_container_of(link, struct bus_text, path_link);

        if (pl_str_eq(pl_str_n(text->path, text->path_len), path) &&
            pl_str_eq(pl_str_n(text->of->id, text->of->id_len), run))
            return text;
    }
    return NULL;
}

static struct bus_text_run *make_run(struct bus_texts *texts, struct pl_str id)
{
    struct bus_text_run *run = calloc(1, sizeof *run + id.len);

    if (!run)
        return NULL;
    pl_list_init(&run->texts);
    run->id_len = id.len;
    if (id.len)
        memcpy(run->id, id.ptr, id.len);
    pl_list_append(&texts->runs[pl_hash(id) % BUCKETS], &run->link);
    return run;
}

static struct bus_text *make_text(struct bus_texts *texts, struct pl_str id, struct pl_str path)
{
    struct bus_text *text = calloc(1, sizeof *text + path.len);
    struct bus_text_run *run = text ? find_run(texts, id) : NULL;

    if (text && !run)
        run = make_run(texts, id);
    if (!run) {
        free(text);
        return NULL;
    }
    text->of = run;
    text->path_len = path.len;
    if (path.len)
        memcpy(text->path, path.ptr, path.len);
    pl_buf_init(&text->text, PL_LIMIT_STREAM_BYTES);
    pl_list_append(&run->texts, &text->run_link);
    pl_list_append(path_bucket(texts, id, path), &text->path_link);
    return text;
}

void bus_texts_add(struct bus_texts *texts, struct pl_str run, const struct bus_event *delta)
{
    struct bus_text *text = find_text(texts, run, delta->path);

    if (!text)
        text = make_text(texts, run, delta->path);
    if (!text)
        return; /* the next piece does not follow on, and makes a broken one */
    if (text->attempt != delta->attempt) {
        pl_buf_reset(&text->text);
        text->attempt = delta->attempt;
        text->broken = false;
    }
    text->at = delta->at;
    text->broken = text->broken || text->text.len != delta->offset;
    if (text->broken)
        return;
    pl_buf_str(&text->text, delta->data);
    if (pl_buf_failed(&text->text)) {
        text->broken = true;
        pl_buf_finish(&text->text);
    }
}

void bus_texts_end(struct bus_texts *texts, struct pl_str run, struct pl_str path)
{
    struct bus_text *text = find_text(texts, run, path);

    if (text)
        text_free(text);
}

const struct bus_text *bus_texts_next(struct bus_texts *texts, struct pl_str run,
                                      const struct bus_text *at)
{
    struct bus_text_run *of = at ? at->of : find_run(texts, run);
    struct pl_list *link;

    if (!of)
        return NULL;
    link = at ? at->run_link.next : of->texts.next;
    return link == &of->texts ? NULL : pl_container_of(link, struct bus_text, run_link);
}
