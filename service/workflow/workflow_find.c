/* workflow_find.c - the step at a path: of the document ("research.web"), of an instance
 * ("reviews.17.summary"), of a workflow called by name ("sub.draft"). Any thread. */
#include "base/map.h"
#include "service/workflow/workflow.h"

enum { PATH_BYTES = 4096 }; /* far more than steps can be deep */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits(struct pl_str text, size_t from)
{
    size_t at = from;

    while (at < text.len && is_digit(text.ptr[at]))
        at++;
    return at - from;
}

/* One segment as patterns have it: a number is `*` (ids never begin with a digit), and the second
 * call of a tool in one turn, "search-2", is "search". */
static struct pl_str segment_pattern(struct pl_str segment)
{
    const char *dash = segment.len ? memchr(segment.ptr, '-', segment.len) : NULL;

    if (segment.len && digits(segment, 0) == segment.len &&
        (segment.len == 1 || segment.ptr[0] != '0'))
        return PL_STR("*");
    if (dash && dash > segment.ptr) {
        size_t at = (size_t)(dash - segment.ptr) + 1;

        if (at < segment.len && digits(segment, at) == segment.len - at && dash[1] != '0')
            return pl_str_n(segment.ptr, at - 1);
    }
    return segment;
}

/* The pattern of a path, 0 when it is longer than any. */
static size_t path_pattern(struct pl_str path, char out[static PATH_BYTES])
{
    size_t at = 0, used = 0;

    while (at <= path.len) {
        const char *dot = at < path.len ? memchr(path.ptr + at, '.', path.len - at) : NULL;
        size_t end = dot ? (size_t)(dot - path.ptr) : path.len;
        struct pl_str segment = segment_pattern(pl_str_n(path.ptr + at, end - at));

        if (used + segment.len + 1 > PATH_BYTES)
            return 0;
        if (at > 0)
            out[used++] = '.';
        if (segment.len)
            memcpy(out + used, segment.ptr, segment.len);
        used += segment.len;
        at = end + 1;
    }
    return used;
}

/* The step of a workflow called by name that `path` goes through, NULL: none. */
static const struct step_def *find_in_child(const struct workflow *workflow, struct pl_str pattern)
{
    for (size_t i = 1; i + 1 < pattern.len; i++) {
        const struct step_def *step;

        if (pattern.ptr[i] != '.')
            continue;
        step = pl_map_get(workflow->by_path, pl_str_n(pattern.ptr, i));
        if (step && step->kind == STEP_WORKFLOW && step->config.workflow->child)
            return workflow_find(step->config.workflow->child,
                                 pl_str_n(pattern.ptr + i + 1, pattern.len - i - 1));
    }
    return NULL;
}

const struct step_def *workflow_find(const struct workflow *workflow, struct pl_str path)
{
    const struct step_def *step = pl_map_get(workflow->by_path, path);
    char text[PATH_BYTES];
    struct pl_str pattern;

    if (step || path.len == 0)
        return step;
    pattern = pl_str_n(text, path_pattern(path, text));
    step = pl_map_get(workflow->by_path, pattern);
    return step ? step : find_in_child(workflow, pattern);
}
