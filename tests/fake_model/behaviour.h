/* behaviour.h - what one request asks the stand-in model to do: the words of a model name and of a
 * "fake" object in the prompt, read into one struct. Not the answer itself (plan.c makes that).
 * Called by serve.c. */
#ifndef PLAIT_TESTS_FAKE_MODEL_BEHAVIOUR_H
#define PLAIT_TESTS_FAKE_MODEL_BEHAVIOUR_H

#include "base/str.h"

enum fault {
    FAULT_NONE,
    FAULT_HANG,     /* takes the request, sends nothing */
    FAULT_CUT,      /* half of the answer, then FIN */
    FAULT_RESET,    /* RST before the headers */
    FAULT_CLOSE,    /* FIN before the headers */
    FAULT_STALL,    /* headers, then nothing */
    FAULT_MIDSTALL, /* half of the answer, then nothing */
    FAULT_MIDRESET, /* half of the answer, then RST */
    FAULT_GARBAGE,  /* bytes that are not HTTP */
    FAULT_NOTJSON,  /* 200 with an HTML page */
    FAULT_BADJSON,  /* 200 with JSON that breaks off */
    FAULT_EMPTY,    /* 200 with empty content */
    FAULT_NOBODY,   /* 200 without a body */
    FAULT_ERR200,   /* 200 with an error object, in a stream as its first event */
    FAULT_ERRLATE,  /* 200, an error event in the middle of the stream */
    FAULT_BIG,      /* a body of big_mb MB */
    FAULT_GZIPBOMB, /* big_mb MB of zeros, gzipped */
    FAULT_REFUSE,   /* a refusal instead of content */
    FAULT_LENGTH,   /* finish_reason length */
    FAULT_FILTER,   /* finish_reason content_filter */
    FAULT_NODONE,   /* a stream without [DONE] */
    FAULT_NOFINISH, /* a stream that ends cleanly without finish_reason and [DONE] */
    FAULT_STATUS,   /* the HTTP status `status` */
};

enum {
    FAKE_PERCENTS = 4, /* -eSTATUSpP words one name may have */
    FAKE_TEXT = 512,   /* bytes of a `text` kept */
    FAKE_CODE = 48,
};

struct percent_fault {
    int status, percent;
};

struct behaviour {
    double latency_ms, jitter_ms;
    int slow_times, slow_percent; /* so many of 100 calls, drawn, take so many times as long */
    int words;
    enum fault fault;
    int status;      /* FAULT_STATUS */
    int times;       /* the fault hits only the first so many requests of one body; 0: all */
    int retry_after; /* -1: no header; in `retry_after_ms` when that is set */
    int retry_after_ms;
    int big_mb;
    int n_percents;
    struct percent_fault percents[FAKE_PERCENTS];
    char code[FAKE_CODE];  /* error.code; empty: the one that goes with the status */
    char text[FAKE_TEXT];  /* a fixed answer; empty: words */
    char calls[FAKE_TEXT]; /* tool calls, see calls.h; empty: none */
    int flip;              /* 1: JSON to a stream request, a stream to a plain one */
    int no_type;           /* 1: no Content-Type header */
    int should_retry;      /* x-should-retry: -1 none, 0 false, 1 true */
    int think;             /* 1: thoughts before the answer, wanted back (Anthropic) */
    bool anthropic;        /* it was asked by the Messages API, not Chat Completions */
    const char *problem;   /* what the error says, NULL: the usual */
};

/* Reads the words of a model name ("mock-200ms-e429p10"). Words it does not know are skipped. */
void behaviour_from_model(struct pl_str model, struct behaviour *ret_behaviour);

/* Applies a {"fake": {...}} found in the prompt, if there is one. */
void behaviour_from_prompt(struct pl_str prompt, struct behaviour *behaviour);

/* The `answers` of a {"fake": {...}} in the text, a JSON list; empty: there are none. Borrowed. */
struct pl_str behaviour_script(struct pl_str text);

/* "reset", "s503", ...: the fault's word, for the log. */
const char *fault_name(enum fault fault);

#endif
