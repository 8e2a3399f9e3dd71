/* SPDX-License-Identifier: MIT */
/* What the two loops share: the reply, the search for the blank line, and the listener. */
#ifndef CAPUCHIN_EXAMPLE_LOOP_H
#define CAPUCHIN_EXAMPLE_LOOP_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOP_PORT 80
#define LOOP_BACKLOG 128
#define LOOP_READ_BYTES 2048

#define LOOP_REPLY_BYTES 128

static const char loop_reply[LOOP_REPLY_BYTES + 1] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 63\r\n"
    "\r\n"
    "This is what a loop that does nothing else can answer at most.\n";

static const char loop_last_reply[LOOP_REPLY_BYTES + 1] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 44\r\n"
    "Connection: close\r\n"
    "\r\n"
    "This is what a loop can answer, and the end\n";

_Static_assert(sizeof loop_reply == LOOP_REPLY_BYTES + 1, "all replies are of one size");

/*
 * Counts the blank lines in the bytes, which is the number of requests without a body. `matched` is
 * how much of a blank line the bytes before ended with.
 */
static inline unsigned loop_requests(uint8_t *matched, const char *bytes, size_t count)
{
    static const char blank[] = "\r\n\r\n";
    unsigned requests = 0;

    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != blank[*matched])
            *matched = bytes[i] == '\r';
        else if (++*matched == sizeof blank - 1) {
            *matched = 0;
            requests++;
        }
    }
    return requests;
}

/* Finds the field only when it comes in one piece and in this spelling, as a bench sends it. */
static inline bool loop_is_last(const char *bytes, size_t count)
{
    static const char field[] = "Connection: close";

    return memmem(bytes, count, field, sizeof field - 1) != NULL;
}

/* Answers what was read. Returns false when the connection is over. */
static inline bool loop_answer(int descriptor, uint8_t *matched, const char *bytes, size_t count)
{
    bool is_last = loop_is_last(bytes, count);
    const char *reply = is_last ? loop_last_reply : loop_reply;

    for (unsigned left = loop_requests(matched, bytes, count); left > 0; left--) {
        if (send(descriptor, reply, LOOP_REPLY_BYTES, 0) != LOOP_REPLY_BYTES)
            return false; /* a client that does not read its replies */
    }
    return !is_last;
}

/*
 * Sends what is there at once. Without it the legacy stack is slow: it cuts a send of 97 to 203
 * bytes in two packets, and the second one waits until the client acknowledges the first.
 */
static inline void loop_tune(int descriptor)
{
    int yes = 1;

    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/* A listener that does not block. What it accepts inherits that on both stacks. */
static inline int loop_listen(void)
{
    const struct sockaddr_in address = {
        .sin_len = sizeof address,
        .sin_family = AF_INET,
        .sin_port = htons(LOOP_PORT),
    };
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener >= 0
        && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0
        && bind(listener, (const struct sockaddr *)&address, sizeof address) == 0
        && listen(listener, LOOP_BACKLOG) == 0 && ioctl(listener, FIONBIO, &yes) == 0)
        return listener;
    if (listener >= 0)
        close(listener);
    return -1;
}

#endif
