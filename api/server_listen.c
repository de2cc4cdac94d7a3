/* server_listen.c - the listening socket, from "HOST:PORT". Not accepting: libmicrohttpd does. Made
 * here so that what is wrong with an address is said in plain words. */
#include "api/server_private.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096, HOST_MAX = 256, PORT_MAX = 8 };

static enum pl_code bad_address(const char *address, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "--listen %s: write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080",
                      address);
}

static enum pl_code split(const char *address, char host[HOST_MAX], char port[PORT_MAX],
                          struct pl_err *err)
{
    const char *colon = strrchr(address, ':'), *start = address;
    size_t len;

    if (!colon || colon == address || !colon[1] || strlen(colon + 1) >= PORT_MAX ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) /* getaddrinfo would cut it */
        return bad_address(address, err);
    len = (size_t)(colon - address);
    if (*start == '[') {
        if (colon[-1] != ']')
            return bad_address(address, err);
        start++;
        len -= 2;
    } else if (memchr(start, ':', len)) {
        return bad_address(address, err); /* an IPv6 address needs its brackets */
    }
    if (len == 0 || len >= HOST_MAX)
        return bad_address(address, err);
    memcpy(host, start, len);
    host[len] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return PL_OK;
}

static int open_socket(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    int error;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char port[PORT_MAX] = "0";
    unsigned number = 0;

    if (getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
        getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV) == 0)
        for (const char *at = port; *at >= '0' && *at <= '9'; at++)
            number = number * 10 + (unsigned)(*at - '0');
    return number;
}

enum pl_code server_listen(const char *address, int *ret_fd, unsigned *ret_port, struct pl_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[HOST_MAX], port[PORT_MAX];
    int error, fd = -1;

    if (split(address, host, port, err) != PL_OK)
        return PL_ERR_INVALID_ARGUMENT;
    error = getaddrinfo(host, port, &hints, &found);
    if (error)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "--listen %s: %s", address,
                          gai_strerror(error));
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = open_socket(info);
    error = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return pl_err_set(err, PL_ERR_IO, "cannot listen on %s: %s", address, strerror(error));
    *ret_fd = fd;
    *ret_port = port_of(fd);
    return PL_OK;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, address, sizeof v4);
        return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, address, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    return false;
}

bool api_listen_is_loopback(const char *address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[HOST_MAX], port[PORT_MAX];
    bool loopback = true;

    /* what cannot be read or found is refused by server_listen, with its reason */
    if (split(address, host, port, NULL) != PL_OK || getaddrinfo(host, port, &hints, &found) != 0)
        return true;
    for (const struct addrinfo *info = found; info; info = info->ai_next)
        loopback = loopback && is_loopback(info->ai_addr);
    freeaddrinfo(found);
    return loopback;
}
