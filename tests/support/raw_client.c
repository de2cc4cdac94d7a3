/* raw_client.c - see raw_client.h. */
#include "tests/support/raw_client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

char raw_answer[RAW_ANSWER_MAX];

int raw_dial(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = RAW_PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

void raw_say(int fd, const char *text)
{
    size_t len = strlen(text);

    ck_assert_int_eq(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

const char *raw_hear(int fd, const char *until)
{
    size_t len = 0;

    raw_answer[0] = '\0';
    while (!until || !strstr(raw_answer, until)) {
        ssize_t got = recv(fd, raw_answer + len, sizeof raw_answer - 1 - len, 0);

        if (got == 0 || (got < 0 && errno == ECONNRESET))
            break;
        ck_assert_msg(got > 0, "nothing more came after: %s", raw_answer);
        len += (size_t)got;
        raw_answer[len] = '\0';
    }
    ck_assert_msg(!until || strstr(raw_answer, until), "no '%s' in: %s", until, raw_answer);
    return raw_answer;
}

const char *raw_ask(unsigned port, const char *text, const char *until)
{
    int fd = raw_dial(port);

    raw_say(fd, text);
    raw_hear(fd, until);
    close(fd);
    return raw_answer;
}
