/* main.c - the stand-in model server: options, listening, the event loop. Not the answers (serve.c,
 * plan.c). See README.md; run by black-box tests and benchmarks. */
#include "tests/fake_model/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, BACKLOG = 65535 };

struct options {
    struct server_options server;
    const char *port_file;
    long port;
    bool with_parent;
};

static const char usage[] =
    "usage: fake_model [--port N] [--port-file FILE] [--log FILE] [--key KEY] [--with-parent]\n"
    "Answers POST /v1/chat/completions on 127.0.0.1 as the model's name says; see README.md.\n"
    "--port 0 (the default) takes a free one; the port is printed. --with-parent ends with its "
    "parent.\n";

static bool parse_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--with-parent") == 0) {
            options->with_parent = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--port") == 0)
            options->port = strtol(value, NULL, 10);
        else if (strcmp(argv[i], "--port-file") == 0)
            options->port_file = value;
        else if (strcmp(argv[i], "--log") == 0)
            options->server.log_path = value;
        else if (strcmp(argv[i], "--key") == 0)
            options->server.key = value;
        else
            return false;
        i++;
    }
    return options->port >= 0 && options->port < 65536;
}

static int listen_on(long port, int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)(void *)&address, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)(void *)&address, &len) != 0) {
        close(fd);
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Under another name first: who waits for the file never reads half of it. */
static bool write_port(const char *path, int port)
{
    char temporary[4096];
    FILE *file;
    bool ok;

    if (!path)
        return true;
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    file = fopen(temporary, "w");
    if (!file)
        return false;
    ok = fprintf(file, "%d\n", port) > 0;
    return fclose(file) == 0 && ok && rename(temporary, path) == 0;
}

static void accept_all(struct server *server, int listener, int epoll)
{
    static const int one = 1;

    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        event.data.ptr = server_accept(server, fd);
        if (event.data.ptr && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            server_event(server, event.data.ptr, EPOLLERR);
    }
}

static void loop(struct server *server, int listener, const int *signals, int epoll)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        const int64_t wait = server_wait_us(server);
        const struct timespec time = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        const int n = epoll_pwait2(epoll, events, EVENTS, wait < 0 ? NULL : &time, NULL);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == signals)
                return;
            if (!events[i].data.ptr)
                accept_all(server, listener, epoll);
            else
                server_event(server, events[i].data.ptr, events[i].events);
        }
        server_tick(server);
        server_bury(server);
    }
}

static int serve(struct server *server, int listener)
{
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    sigset_t set;
    int signals;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (epoll < 0 || signals < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        return 1;
    event.data.ptr = &signals;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &event) != 0)
        return 1;
    loop(server, listener, &signals, epoll);
    close(signals);
    close(epoll);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct server *server;
    struct rlimit files;
    int listener, port = 0, status;

    if (!parse_options(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.with_parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    listener = listen_on(options.port, &port);
    if (listener < 0 || !write_port(options.port_file, port)) {
        fprintf(stderr, "fake_model: cannot listen or tell the port: %s\n", strerror(errno));
        return 1;
    }
    server = server_create(&options.server);
    if (!server)
        return 1;
    printf("%d\n", port);
    fflush(stdout);
    status = serve(server, listener);
    server_destroy(&server);
    close(listener);
    return status;
}
