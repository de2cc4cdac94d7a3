/* behaviour.c - reads model names and "fake" objects. Not the serving. Called by serve.c. The words
 * are documented in README.md. */
#include "tests/fake_model/behaviour.h"

#include "base/json.h"

#include <stdlib.h>

static const struct {
    const char *word;
    enum fault fault;
} fault_words[] = {
    {"hang", FAULT_HANG},         {"cut", FAULT_CUT},           {"reset", FAULT_RESET},
    {"close", FAULT_CLOSE},       {"stall", FAULT_STALL},       {"midstall", FAULT_MIDSTALL},
    {"midreset", FAULT_MIDRESET}, {"garbage", FAULT_GARBAGE},   {"notjson", FAULT_NOTJSON},
    {"badjson", FAULT_BADJSON},   {"empty", FAULT_EMPTY},       {"nobody", FAULT_NOBODY},
    {"err200", FAULT_ERR200},     {"errlate", FAULT_ERRLATE},   {"gzipbomb", FAULT_GZIPBOMB},
    {"refuse", FAULT_REFUSE},     {"length", FAULT_LENGTH},     {"filter", FAULT_FILTER},
    {"nodone", FAULT_NODONE},     {"nofinish", FAULT_NOFINISH}, {"big", FAULT_BIG},
    {"status", FAULT_STATUS},
};

const char *fault_name(enum fault fault)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(fault_words); i++) {
        if (fault_words[i].fault == fault)
            return fault_words[i].word;
    }
    return "none";
}

static void copy_text(char *out, size_t size, struct pl_str text)
{
    const size_t len = text.len < size ? text.len : size - 1;

    if (len)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

/* "PREFIX<number>REST": true when the word has that form and nothing else. */
static bool numbered(const char *word, const char *prefix, const char *rest, int *ret_number)
{
    const size_t len = strlen(prefix);
    char *end;
    long number;

    if (strncmp(word, prefix, len) != 0 || word[len] < '0' || word[len] > '9')
        return false;
    number = strtol(word + len, &end, 10);
    if (strcmp(end, rest) != 0 || number > 100000000)
        return false;
    *ret_number = (int)number;
    return true;
}

static void set_status(struct behaviour *behaviour, int status)
{
    behaviour->fault = FAULT_STATUS;
    behaviour->status = status;
}

static void percent_word(const char *word, struct behaviour *behaviour)
{
    const char *p = strchr(word, 'p');
    struct percent_fault *percent;

    if (word[0] != 'e' || !p || behaviour->n_percents == FAKE_PERCENTS)
        return;
    percent = &behaviour->percents[behaviour->n_percents];
    percent->status = (int)strtol(word + 1, NULL, 10);
    percent->percent = (int)strtol(p + 1, NULL, 10);
    if (percent->status >= 200 && percent->status < 600 && percent->percent > 0)
        behaviour->n_percents++;
}

/* "slow20p5" */
static bool slow_word(const char *word, struct behaviour *behaviour)
{
    char *rest;
    long times, percent;

    if (strncmp(word, "slow", 4) != 0 || word[4] < '0' || word[4] > '9')
        return false;
    times = strtol(word + 4, &rest, 10);
    if (rest[0] != 'p' || rest[1] < '0' || rest[1] > '9')
        return false;
    percent = strtol(rest + 1, &rest, 10);
    if (*rest || times > 10000 || percent > 100)
        return false;
    behaviour->slow_times = (int)times;
    behaviour->slow_percent = (int)percent;
    return true;
}

static bool number_word(const char *word, struct behaviour *behaviour)
{
    int number;

    if (numbered(word, "j", "", &number))
        behaviour->jitter_ms = number;
    else if (numbered(word, "w", "", &behaviour->words))
        return true;
    else if ((numbered(word, "s", "", &number) || numbered(word, "", "", &number)) &&
             number >= 200 && number < 600)
        set_status(behaviour, number);
    else if (numbered(word, "", "ms", &number))
        behaviour->latency_ms = number;
    else if (numbered(word, "okafter", "", &behaviour->times))
        return true;
    else if (numbered(word, "big", "m", &behaviour->big_mb))
        behaviour->fault = FAULT_BIG;
    else if (numbered(word, "gzipbomb", "m", &behaviour->big_mb))
        behaviour->fault = FAULT_GZIPBOMB;
    else if (numbered(word, "fail", "", &behaviour->times))
        set_status(behaviour, 500);
    else if (numbered(word, "retryafter", "", &behaviour->retry_after) ||
             numbered(word, "retryafter", "ms", &behaviour->retry_after_ms)) {
        if (behaviour->fault == FAULT_NONE) {
            set_status(behaviour, 429);
            behaviour->times = behaviour->times ? behaviour->times : 1;
        }
    } else
        return false;
    return true;
}

static void apply_word(const char *word, struct behaviour *behaviour)
{
    if (number_word(word, behaviour) || slow_word(word, behaviour))
        return;
    for (size_t i = 0; i < PL_ARRAY_LEN(fault_words); i++) {
        if (strcmp(word, fault_words[i].word) == 0) {
            behaviour->fault = fault_words[i].fault;
            return;
        }
    }
    if (strncmp(word, "code:", 5) == 0)
        copy_text(behaviour->code, sizeof(behaviour->code), pl_str(word + 5));
    else if (strcmp(word, "flip") == 0)
        behaviour->flip = 1;
    else if (strcmp(word, "think") == 0)
        behaviour->think = 1;
    else if (strcmp(word, "notype") == 0)
        behaviour->no_type = 1;
    else if (strcmp(word, "dontretry") == 0)
        behaviour->should_retry = 0;
    else if (strcmp(word, "doretry") == 0)
        behaviour->should_retry = 1;
    else
        percent_word(word, behaviour);
}

static void apply_words(struct pl_str words, struct behaviour *behaviour)
{
    size_t start = 0;

    for (size_t i = 0; i <= words.len; i++) {
        char word[64];

        if (i < words.len && words.ptr[i] != '-')
            continue;
        copy_text(word, sizeof(word), pl_str_n(words.ptr + start, i - start));
        if (word[0])
            apply_word(word, behaviour);
        start = i + 1;
    }
}

void behaviour_from_model(struct pl_str model, struct behaviour *ret_behaviour)
{
    *ret_behaviour = (struct behaviour){
        .words = 12, .retry_after = -1, .retry_after_ms = -1, .big_mb = 1000, .should_retry = -1};
    apply_words(model, ret_behaviour);
}

/* The object that starts at `text`, up to its matching brace; empty when it does not end. */
static struct pl_str object_at(struct pl_str text)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && c == '{')
            depth++;
        else if (!in_string && c == '}' && --depth == 0)
            return pl_str_n(text.ptr, i + 1);
    }
    return (struct pl_str){0};
}

static void take_int(struct pl_str fake, const char *key, int *ret_number)
{
    struct pl_str value;
    int64_t number;

    if (json_get(fake, pl_str(key), &value) && json_int(value, &number))
        *ret_number = (int)number;
}

static void take_double(struct pl_str fake, const char *key, double *ret_number)
{
    struct pl_str value;

    if (json_get(fake, pl_str(key), &value) && json_type(value) == JSON_NUMBER)
        *ret_number = json_number(value);
}

static void take_text(struct pl_str fake, const char *key, char *out, size_t size)
{
    struct pl_str value;
    struct pl_buf text;

    if (!json_get(fake, pl_str(key), &value) || json_type(value) != JSON_STRING)
        return;
    pl_buf_init(&text, (size_t)1 << 20);
    json_decode_string(value, &text);
    copy_text(out, size, pl_buf_view(&text));
    pl_buf_finish(&text);
}

/* The value of the "fake" member of an object in the text; empty: there is none. */
static struct pl_str find_fake(struct pl_str text)
{
    const char *found = text.len ? memmem(text.ptr, text.len, "{\"fake\"", 7) : NULL;
    struct pl_str object, fake;

    if (!found)
        return (struct pl_str){0};
    object = object_at(pl_str_n(found, text.len - (size_t)(found - text.ptr)));
    if (json_check(object, 16, NULL, NULL) || !json_get(object, PL_STR("fake"), &fake))
        return (struct pl_str){0};
    return fake;
}

struct pl_str behaviour_script(struct pl_str text)
{
    const struct pl_str fake = find_fake(text);
    struct pl_str answers;

    if (!fake.len || !json_get(fake, PL_STR("answers"), &answers))
        return (struct pl_str){0};
    return answers;
}

void behaviour_from_prompt(struct pl_str prompt, struct behaviour *behaviour)
{
    const struct pl_str fake = find_fake(prompt);
    struct pl_str value;
    char words[128] = "";

    if (!fake.len)
        return;
    take_double(fake, "latency_ms", &behaviour->latency_ms);
    take_double(fake, "jitter_ms", &behaviour->jitter_ms);
    take_int(fake, "words", &behaviour->words);
    take_text(fake, "fault", words, sizeof(words));
    apply_words(pl_str(words), behaviour);
    take_int(fake, "status", &behaviour->status);
    if (json_get(fake, PL_STR("status"), &value))
        behaviour->fault = FAULT_STATUS;
    take_int(fake, "retry_after", &behaviour->retry_after);
    take_int(fake, "times", &behaviour->times);
    take_text(fake, "text", behaviour->text, sizeof(behaviour->text));
    take_text(fake, "code", behaviour->code, sizeof(behaviour->code));
}
