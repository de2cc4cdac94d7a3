/* time_text.c - times and durations of clock.h as text. Not a calendar: UTC and RFC 3339 only.
 * Called by whatever shows a time or reads one from a document. */
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

static const pl_ms MS_DAY = 86400000;
static const pl_ms LAST_TIME = 253402300799999;  /* 9999-12-31T23:59:59.999Z */
static const pl_ms FIRST_TIME = -62167219200000; /* 0000-01-01T00:00:00.000Z */
static const pl_ms LONGEST_DURATION = (pl_ms)10 * 366 * 86400000;

/* Days since 1970-01-01 of a date of the Gregorian calendar, counted in years that begin in March.
 */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t era, of_era, of_year;

    year -= month <= 2;
    era = (year >= 0 ? year : year - 399) / 400;
    of_era = year - era * 400;
    of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t era, of_era, year_of_era, of_year, march;

    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    of_era = days - era * 146097;
    year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    march = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * march + 2) / 5 + 1);
    *month = (int)(march < 10 ? march + 3 : march - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static void put_digits(char *out, int64_t number, int digits)
{
    while (digits-- > 0) {
        out[digits] = (char)('0' + number % 10);
        number /= 10;
    }
}

char *pl_time_format(pl_ms time, char out[PL_TIME_TEXT])
{
    int year, month, day;
    int64_t days, ms;

    if (time > LAST_TIME)
        time = LAST_TIME;
    if (time < FIRST_TIME)
        time = FIRST_TIME;
    days = time / MS_DAY - (time % MS_DAY < 0);
    ms = time - days * MS_DAY;
    date_of(days, &year, &month, &day);
    memcpy(out, "0000-00-00T00:00:00.000Z", PL_TIME_TEXT);
    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, day, 2);
    put_digits(out + 11, ms / 3600000, 2);
    put_digits(out + 14, ms / 60000 % 60, 2);
    put_digits(out + 17, ms / 1000 % 60, 2);
    put_digits(out + 20, ms % 1000, 3);
    return out;
}

/* Takes exactly `digits` digits off the front. */
static bool take_digits(struct pl_str *text, size_t digits, int64_t *ret_number)
{
    int64_t number = 0;

    if (text->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text->ptr[i] < '0' || text->ptr[i] > '9')
            return false;
        number = number * 10 + (text->ptr[i] - '0');
    }
    *text = pl_str_n(text->ptr + digits, text->len - digits);
    *ret_number = number;
    return true;
}

static bool take_char(struct pl_str *text, const char *one_of)
{
    if (text->len == 0 || text->ptr[0] == '\0' || !strchr(one_of, text->ptr[0]))
        return false;
    *text = pl_str_n(text->ptr + 1, text->len - 1);
    return true;
}

static bool take_date(struct pl_str *text, int64_t *ret_days)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, length;

    if (!take_digits(text, 4, &year) || !take_char(text, "-") || !take_digits(text, 2, &month) ||
        !take_char(text, "-") || !take_digits(text, 2, &day) || month < 1 || month > 12)
        return false;
    length = lengths[month - 1];
    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
        length = 29;
    if (day < 1 || day > length)
        return false;
    *ret_days = days_of(year, month, day);
    return true;
}

/* Milliseconds of the day. A leap second reads as the second after it. */
static bool take_clock(struct pl_str *text, int64_t *ret_ms)
{
    int64_t hour, minute, second, ms = 0, scale = 100;

    if (!take_digits(text, 2, &hour) || !take_char(text, ":") || !take_digits(text, 2, &minute) ||
        !take_char(text, ":") || !take_digits(text, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    if (take_char(text, ".")) {
        int64_t digit;

        if (!take_digits(text, 1, &digit))
            return false;
        do {
            ms += digit * scale;
            scale /= 10; /* digits past milliseconds are cut */
        } while (take_digits(text, 1, &digit));
    }
    *ret_ms = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    return true;
}

static bool take_offset(struct pl_str *text, int64_t *ret_ms)
{
    int64_t hour, minute, sign;

    *ret_ms = 0;
    if (take_char(text, "Zz"))
        return true;
    if (text->len == 0)
        return false;
    sign = text->ptr[0] == '-' ? -1 : 1;
    if (!take_char(text, "+-") || !take_digits(text, 2, &hour) || !take_char(text, ":") ||
        !take_digits(text, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *ret_ms = sign * (hour * 60 + minute) * 60000;
    return true;
}

bool pl_time_parse(struct pl_str text, pl_ms *ret_time)
{
    int64_t days, ms, offset;

    if (!take_date(&text, &days) || !take_char(&text, "Tt ") || !take_clock(&text, &ms) ||
        !take_offset(&text, &offset) || text.len)
        return false;
    *ret_time = days * MS_DAY + ms - offset;
    return true;
}

/* Takes "12" or "1.5" off the front, in thousandths, cut; false when there is none or it is far too
 * big. */
static bool take_number(struct pl_str *text, int64_t *ret_thousandths)
{
    int64_t number = 0, digit, scale = 100;

    if (!take_digits(text, 1, &digit))
        return false;
    do {
        number = number * 10 + digit;
        if (number > LONGEST_DURATION)
            return false;
    } while (take_digits(text, 1, &digit));
    number *= 1000;
    if (take_char(text, ".")) {
        if (!take_digits(text, 1, &digit))
            return false;
        do {
            number += digit * scale;
            scale /= 10;
        } while (take_digits(text, 1, &digit));
    }
    *ret_thousandths = number;
    return true;
}

/* The unit at the front in milliseconds, 0 when there is none. */
static pl_ms take_unit(struct pl_str *text)
{
    if (pl_str_starts(*text, PL_STR("ms"))) {
        *text = pl_str_n(text->ptr + 2, text->len - 2);
        return 1;
    }
    if (take_char(text, "s"))
        return 1000;
    if (take_char(text, "m"))
        return 60000;
    return take_char(text, "h") ? 3600000 : 0;
}

bool pl_duration_parse(struct pl_str text, pl_ms *ret_duration)
{
    pl_ms total = 0, unit, last = INT64_MAX;
    int64_t number;

    do {
        if (!take_number(&text, &number))
            return false;
        unit = take_unit(&text);
        if (!unit && last == INT64_MAX && !text.len)
            unit = 1000; /* a plain number of seconds */
        if (!unit || unit >= last)
            return false; /* "1m1h", "5 s": units only get smaller, and nothing stands between */
        last = unit;
        if (number > LONGEST_DURATION / unit * 1000)
            return false;
        total += number * unit / 1000;
        if (total > LONGEST_DURATION)
            return false;
    } while (text.len);
    *ret_duration = total;
    return true;
}

char *pl_duration_format(pl_ms duration, char out[24])
{
    if (duration < 0)
        duration = 0;
    if (duration < 1000)
        snprintf(out, 24, "%" PRId64 " ms", duration);
    else if (duration < 60000)
        snprintf(out, 24, "%" PRId64 ".%" PRId64 " s", duration / 1000, duration / 100 % 10);
    else if (duration < 3600000)
        snprintf(out, 24, "%" PRId64 "m %02" PRId64 "s", duration / 60000, duration / 1000 % 60);
    else
        snprintf(out, 24, "%" PRId64 "h %02" PRId64 "m", duration / 3600000, duration / 60000 % 60);
    return out;
}
