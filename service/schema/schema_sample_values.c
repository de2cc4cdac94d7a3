/* schema_sample_values.c - numbers and strings made up for a schema: a few candidates each, the
 * first that fits is kept. Called by schema_sample.c. */
#include "base/json.h"
#include "base/utf8.h"
#include "service/schema/schema_sample_node.h"

#include <math.h>
#include <stdio.h>

/* ---- numbers ---- */

/* The narrowest bounds of all layers; numbers as doubles are good enough to look near. */
struct bounds {
    double low, high;                  /* infinite: none */
    struct pl_str low_text, high_text; /* as written; absent: none */
    struct pl_str step;                /* multipleOf; absent: none */
};

static void narrow(struct bounds *bounds, struct pl_str low, struct pl_str high)
{
    if (low.ptr && json_number(low) >= bounds->low) {
        bounds->low = json_number(low);
        bounds->low_text = low;
    }
    if (high.ptr && json_number(high) <= bounds->high) {
        bounds->high = json_number(high);
        bounds->high_text = high;
    }
}

static struct bounds bounds_of(const struct sample_layers *layers)
{
    struct bounds bounds = {.low = -INFINITY, .high = INFINITY};

    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];

        narrow(&bounds, layer->minimum, layer->maximum);
        narrow(&bounds, layer->above, layer->below);
        if (layer->multiple_of.ptr &&
            (!bounds.step.ptr || json_number_compare(layer->multiple_of, bounds.step) > 0))
            bounds.step = layer->multiple_of;
    }
    return bounds;
}

static bool try_text(struct sampler *sampler, const struct sample_layers *layers,
                     struct pl_str text)
{
    const size_t start = sampler->out->len;

    if (!text.len)
        return false;
    pl_buf_str(sampler->out, text);
    return sample_check(sampler, layers, start);
}

/* With so many digits behind the point; -1: as many as it needs. */
static bool try_double(struct sampler *sampler, const struct sample_layers *layers, double number,
                       int decimals)
{
    char text[400];

    if (!isfinite(number))
        return false;
    if (number == 0)
        number = 0; /* not -0 */
    if (decimals < 0)
        (void)snprintf(text, sizeof(text), "%.17g", number);
    else
        (void)snprintf(text, sizeof(text), "%.*f", decimals, number);
    return try_text(sampler, layers, pl_str(text));
}

/* Multiples of a step, from the lower bound on. */
static bool try_steps(struct sampler *sampler, const struct sample_layers *layers,
                      const struct bounds *bounds, sample_nth nth)
{
    const char *point = memchr(bounds->step.ptr, '.', bounds->step.len);
    double step = json_number(bounds->step), first = 1;
    int decimals = 0;

    while (point && point + 1 + decimals < bounds->step.ptr + bounds->step.len &&
           point[1 + decimals] >= '0' && point[1 + decimals] <= '9' && decimals < 30)
        decimals++;
    if (memchr(bounds->step.ptr, 'e', bounds->step.len) ||
        memchr(bounds->step.ptr, 'E', bounds->step.len))
        decimals = step < 1 ? 30 : 0;
    if (isfinite(bounds->low))
        first = ceil(bounds->low / step);
    else if (isfinite(bounds->high))
        first = floor(bounds->high / step) - nth - nth;
    /* Another step may have to be met as well: the smallest common one is not far, if there is. */
    for (unsigned i = 0; i < 100 && sample_goes_on(sampler); i++)
        if (try_double(sampler, layers, (first + nth + i) * step, decimals))
            return true;
    return try_text(sampler, layers, PL_STR("0"));
}

bool sample_number(struct sampler *sampler, const struct sample_layers *layers, sample_nth nth)
{
    const struct bounds bounds = bounds_of(layers);
    double base = 1;

    if (bounds.step.ptr && try_steps(sampler, layers, &bounds, nth))
        return true;
    if (isfinite(bounds.low))
        base = ceil(bounds.low);
    else if (isfinite(bounds.high))
        base = floor(bounds.high) - nth - nth;
    for (unsigned i = 0; i < 3; i++)
        if (try_double(sampler, layers, base + nth + i, 0))
            return true;
    return try_text(sampler, layers, bounds.low_text) ||
           try_text(sampler, layers, bounds.high_text) ||
           try_double(sampler, layers, floor(bounds.high) - nth, 0) ||
           try_double(sampler, layers, bounds.low / 2 + bounds.high / 2, -1) ||
           try_double(sampler, layers, bounds.low + 1.0 / (nth + 2), -1) ||
           try_double(sampler, layers, bounds.high - 1.0 / (nth + 2), -1) ||
           try_double(sampler, layers, -base - nth, 0);
}

/* ---- strings ---- */

struct lengths {
    size_t least, most; /* code points */
};

static struct lengths lengths_of(const struct sample_layers *layers)
{
    struct lengths lengths = {0, SIZE_MAX};

    for (size_t i = 0; i < layers->count; i++) {
        if (layers->items[i]->min_length > lengths.least)
            lengths.least = layers->items[i]->min_length;
        if (layers->items[i]->max_length < lengths.most)
            lengths.most = layers->items[i]->max_length;
    }
    return lengths;
}

/* Writes a text as a string and sees whether it fits. */
static bool try_string(struct sampler *sampler, const struct sample_layers *layers,
                       struct pl_str text)
{
    const size_t start = sampler->out->len;

    json_write_string(sampler->out, text);
    return sample_check(sampler, layers, start);
}

/* The echo so many times, cut and filled up to the lengths that are allowed. */
static void shape(const struct sampler *sampler, const struct lengths *lengths, sample_nth nth,
                  unsigned times, struct pl_buf *text)
{
    size_t count = 0, at = 0;

    if (nth)
        pl_buf_printf(text, "%u ", nth + 1);
    while (times-- > 0)
        pl_buf_str(text, sampler->echo);
    while (at < text->len && count < lengths->most) {
        unsigned len = pl_utf8_length(text->data + at, text->len - at);

        at += len ? len : 1;
        count++;
    }
    if (at < text->len) {
        text->len = at;
        text->data[at] = '\0';
    }
    for (; count < lengths->least && !pl_buf_failed(text); count++)
        pl_buf_char(text, 'x');
}

/* An example of a well-known format, NULL when there is none. */
static const char *example_of(struct pl_str format)
{
    static const char *const examples[][2] = {
        {"date", "2024-01-31"},
        {"date-time", "2024-01-31T12:30:00Z"},
        {"time", "12:30:00Z"},
        {"duration", "P1DT2H"},
        {"email", "someone@example.com"},
        {"idn-email", "someone@example.com"},
        {"hostname", "example.com"},
        {"idn-hostname", "example.com"},
        {"ipv4", "192.0.2.1"},
        {"ipv6", "2001:db8::1"},
        {"uri", "https://example.com/"},
        {"uri-reference", "https://example.com/"},
        {"iri", "https://example.com/"},
        {"iri-reference", "https://example.com/"},
        {"uuid", "123e4567-e89b-42d3-a456-426614174000"},
        {"json-pointer", "/a"},
        {"regex", "^a+$"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(examples); i++)
        if (pl_str_is(format, examples[i][0]))
            return examples[i][1];
    return NULL;
}

static bool try_patterns(struct sampler *sampler, const struct sample_layers *layers,
                         const struct lengths *lengths, sample_nth nth, struct pl_buf *text)
{
    for (size_t i = 0; i < layers->count; i++) {
        const struct schema_pattern *pattern = layers->items[i]->pattern;

        for (unsigned extra = 0; pattern && extra <= 2 * lengths->least + 4 && extra <= 2048;
             extra = extra < 8 ? extra + 1 : extra + extra / 4) {
            for (sample_nth turn = 0; turn < 4; turn++) {
                pl_buf_reset(text);
                sample_pattern(pattern, extra, nth + turn, turn == 3, text);
                if (!sample_goes_on(sampler) || pl_buf_failed(text))
                    return false;
                if (try_string(sampler, layers, pl_buf_view(text)))
                    return true;
            }
        }
    }
    return false;
}

bool sample_string(struct sampler *sampler, const struct sample_layers *layers, sample_nth nth)
{
    const struct lengths lengths = lengths_of(layers);
    struct pl_buf text;
    bool found = false;

    pl_buf_init(&text, sampler->out->max);
    for (size_t i = 0; !found && nth == 0 && i < layers->count; i++) {
        const char *example = example_of(layers->items[i]->format);

        found = example && try_string(sampler, layers, pl_str(example));
    }
    for (unsigned i = 0; !found && i < 2 && sample_goes_on(sampler); i++) {
        pl_buf_reset(&text);
        shape(sampler, &lengths, nth, 1 + 4 * i, &text); /* longer: `oneOf` may ask for that */
        found = try_string(sampler, layers, pl_buf_view(&text));
        found = found || (i == 0 && try_patterns(sampler, layers, &lengths, nth, &text));
    }
    sampler->out->failed |= pl_buf_failed(&text);
    sampler->out->too_large |= text.too_large;
    pl_buf_finish(&text);
    return found;
}
