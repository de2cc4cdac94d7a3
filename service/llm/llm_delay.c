/* llm_delay.c - see llm_delay.h. Called by gemini_errors.c and openai_answer.c. */
#include "service/llm/llm_delay.h"

enum { DIGITS_MAX = 15, DAY_MS = 24 * 3600 * 1000 };

/* A number; *ret_used: its length, 0 where there is none. */
static double take_number(struct pl_str text, size_t *ret_used)
{
    double number = 0, scale = 1;
    bool point = false;
    size_t i = 0;

    for (; i < text.len && i < DIGITS_MAX; i++) {
        const char c = text.ptr[i];

        if (c == '.' && i > 0 && !point && i + 1 < text.len && text.ptr[i + 1] >= '0' &&
            text.ptr[i + 1] <= '9') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        number = number * 10 + (c - '0');
        if (point)
            scale *= 10;
    }
    *ret_used = i;
    return number / scale;
}

/* What the unit at the start of the text has in ms, 0: none; *ret_used: its length. */
static double take_unit(struct pl_str text, size_t *ret_used)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {
        {"ms", 1},    {" milliseconds", 1}, {"s", 1000},    {" second", 1000},
        {"m", 60000}, {" minute", 60000},   {"h", 3600000},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(units); i++) {
        if (pl_str_starts(text, pl_str(units[i].name))) {
            *ret_used = strlen(units[i].name);
            return units[i].ms;
        }
    }
    *ret_used = 0;
    return 0;
}

pl_ms llm_delay_read(struct pl_str text)
{
    double sum = 0;
    bool any = false;

    for (;;) {
        size_t digits, letters;
        const double number = take_number(text, &digits);
        const double unit = take_unit(pl_str_n(text.ptr + digits, text.len - digits), &letters);

        if (!digits || unit <= 0)
            break;
        any = true;
        sum += number * unit;
        text = pl_str_n(text.ptr + digits + letters, text.len - digits - letters);
    }
    if (!any || sum > DAY_MS)
        return -1;
    return (pl_ms)sum + (sum > (double)(pl_ms)sum);
}

pl_ms llm_delay_of_message(struct pl_str message)
{
    static const char *const words[] = {"retry in ", "retry after ", "try again in "};

    for (size_t i = 0; message.len && i < PL_ARRAY_LEN(words); i++) {
        const size_t len = strlen(words[i]);
        const char *at = memmem(message.ptr, message.len, words[i], len);

        if (at)
            return llm_delay_read(
                pl_str_n(at + len, message.len - len - (size_t)(at - message.ptr)));
    }
    return -1;
}
