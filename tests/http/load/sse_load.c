/* sse_load.c - many readers of one service: opens idle readers of a run that stands still and
 * active ones of a run that moves, checks that no active reader misses an event or sees one twice,
 * and asks /healthz all the while. Not a test framework: prints one JSON line; exit status 1 when
 * an event was lost or a reader cut off. Run by tests/http/load/sse_load.sh.
 *
 *   sse_load PORT IDLE-RUN IDLE ACTIVE-RUN ACTIVE [HEADER-BYTES]
 *
 * One thread, epoll. Of the stream only "id: " lines and "event: run." are looked at. The active
 * run must end by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum kind { IDLE, ACTIVE, PROBE };

enum { LINE_KEPT = 32, PROBES_MAX = 100000 };

static const double patience_ms = 120000;

struct reader {
    enum kind kind;
    int fd;
    char line[LINE_KEPT]; /* the beginning of the line that comes in */
    unsigned line_len;
    bool headers_over, over;
    long last_id, count;
    uint64_t hash; /* of the ids seen, in order */
    double sent;
};

static int epoll = -1;
static unsigned short port;
static const char *padding;
static long lost, cut, bytes_in;
static double times[PROBES_MAX];
static size_t times_count;

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what)
{
    fprintf(stderr, "sse_load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void open_reader(struct reader *reader, const char *request)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};
    size_t len = strlen(request);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    reader->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (reader->fd < 0 || connect(reader->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    if (write(reader->fd, request, len) != (ssize_t)len)
        die("write");
    if (fcntl(reader->fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, reader->fd, &event) != 0)
        die("epoll_ctl");
}

/* ---- what comes in ---- */

static void take_line(struct reader *reader)
{
    long id;

    if (!reader->headers_over) {
        if (reader->line_len == 0 || (reader->line_len == 1 && reader->line[0] == '\r'))
            reader->headers_over = true;
        return;
    }
    if (strncmp(reader->line, "id: ", 4) == 0) {
        id = strtol(reader->line + 4, NULL, 10);
        if (id <= reader->last_id)
            lost++;
        reader->last_id = id;
        reader->count++;
        reader->hash = reader->hash * 1099511628211ULL + (uint64_t)id;
    } else if (strncmp(reader->line, "event: run.succeeded", 20) == 0) {
        reader->over = true;
    }
}

static void take(struct reader *reader, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n') {
            if (reader->line_len < LINE_KEPT - 1)
                reader->line[reader->line_len++] = data[i];
            continue;
        }
        reader->line[reader->line_len] = '\0';
        take_line(reader);
        reader->line_len = 0;
    }
}

static const char health[] = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

static void probe(struct reader *reader)
{
    reader->sent = now_ms();
    if (write(reader->fd, health, sizeof health - 1) < 0)
        die("write of a probe");
}

static void come_in(struct reader *reader)
{
    static char data[65536];
    ssize_t got = read(reader->fd, data, sizeof data);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        if (!reader->over) {
            cut++;
            fprintf(stderr, "sse_load: reader of kind %d cut off after %ld events\n",
                    (int)reader->kind, reader->count);
        }
        epoll_ctl(epoll, EPOLL_CTL_DEL, reader->fd, NULL);
        close(reader->fd);
        reader->fd = -1;
        reader->over = true;
        return;
    }
    bytes_in += got;
    if (reader->kind != PROBE) {
        take(reader, data, (size_t)got);
        return;
    }
    if (times_count < PROBES_MAX)
        times[times_count++] = now_ms() - reader->sent;
    reader->sent = 0;
}

/* ---- the whole ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double part(double share)
{
    return times_count ? times[(size_t)(share * (double)(times_count - 1))] : -1;
}

static void wait_events(int timeout)
{
    static struct epoll_event events[1024];
    int n = epoll_wait(epoll, events, 1024, timeout);

    for (int i = 0; i < n; i++)
        come_in(events[i].data.ptr);
}

static void request_events(char *out, size_t size, const char *run)
{
    if ((size_t)snprintf(out, size,
                         "GET /v1/runs/%s/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: "
                         "text/event-stream\r\n%s\r\n",
                         run, padding) >= size)
        die("request too long");
}

static size_t open_all(struct reader *readers, size_t count, enum kind kind, const char *run)
{
    static char request[65536];

    request_events(request, sizeof request, run);
    for (size_t i = 0; i < count; i++) {
        readers[i].kind = kind;
        open_reader(&readers[i], request);
        if (i % 64 == 63)
            wait_events(0);
    }
    return count;
}

static size_t count_if(const struct reader *readers, size_t count,
                       bool (*is)(const struct reader *))
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += is(&readers[i]);
    return found;
}

static bool has_begun(const struct reader *reader)
{
    return reader->count > 0;
}

static bool is_over(const struct reader *reader)
{
    return reader->over;
}

static char *make_padding(size_t size)
{
    char *text = calloc(1, size + 256);
    size_t at = 0;

    if (!text)
        die("memory");
    while (at + 120 < size) {
        at += (size_t)snprintf(text + at, 32, "X-Pad-%05zu: ", at);
        memset(text + at, 'p', 100);
        at += 100;
        at += (size_t)snprintf(text + at, 8, "\r\n");
    }
    return text;
}

int main(int argc, char **argv)
{
    struct rlimit files = {20000, 20000};
    struct reader *readers, one = {.kind = PROBE, .headers_over = true};
    size_t idle, active, begun = 0;
    double began = now_ms(), opened;

    if (argc < 6) {
        fprintf(stderr, "usage: sse_load PORT IDLE-RUN IDLE ACTIVE-RUN ACTIVE [HEADER-BYTES]\n");
        return 2;
    }
    port = (unsigned short)strtoul(argv[1], NULL, 10);
    idle = strtoul(argv[3], NULL, 10);
    active = strtoul(argv[5], NULL, 10);
    padding = make_padding(argc > 6 ? strtoul(argv[6], NULL, 10) : 0);
    (void)setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(0);
    readers = calloc(idle + active + 1, sizeof *readers);
    if (epoll < 0 || !readers)
        die("begin");

    open_all(readers, idle, IDLE, argv[2]);
    while (begun < idle && now_ms() - began < patience_ms) {
        wait_events(50);
        begun = count_if(readers, idle, has_begun);
    }
    opened = now_ms() - began;
    printf("{\"idle\":%zu,\"idle_open\":%zu,\"open_ms\":%.0f", idle, begun, opened);
    fflush(stdout);
    if (active == 0) {
        /* stands still until told to go on: somebody measures the service */
        printf("}\n");
        fflush(stdout);
        while (read(0, &(char){0}, 1) > 0)
            ;
        return begun == idle ? 0 : 1;
    }

    open_all(readers + idle, active, ACTIVE, argv[4]);
    open_reader(&one, health);
    one.sent = now_ms();
    while (count_if(readers + idle, active, is_over) < active && now_ms() - began < patience_ms) {
        wait_events(1);
        if (one.sent <= 0)
            probe(&one);
    }
    for (size_t i = 1; i < active; i++)
        if (readers[idle + i].hash != readers[idle].hash ||
            readers[idle + i].count != readers[idle].count)
            lost++;
    qsort(times, times_count, sizeof times[0], by_size);
    printf(",\"active\":%zu,\"active_over\":%zu,\"events_each\":%ld,\"lost\":%ld,\"cut\":%ld,\"mb_"
           "in\":%.1f,\"ms\":%.0f,"
           "\"healthz\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
           active, count_if(readers + idle, active, is_over), readers[idle].count, lost, cut,
           (double)bytes_in / 1e6, now_ms() - began, times_count, part(0.5), part(0.99), part(1));
    return lost || cut || begun < idle || count_if(readers + idle, active, is_over) < active;
}
