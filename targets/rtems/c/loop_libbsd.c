/* SPDX-License-Identifier: MIT */
/*
 * The least a server on libbsd can do: one task, one kqueue, a fixed reply. What a real server adds
 * is measured against this.
 */

#define CONFIGURE_INIT
/* That of Capuchin's workers by default; images to be compared have one for both: README, "Figures". */
#ifndef SERVER_PRIORITY
#define SERVER_PRIORITY 120
#endif
#define CONFIGURE_INIT_TASK_PRIORITY SERVER_PRIORITY
#include "config.h"

#include "loop.h"
#include "network.h"

#include <errno.h>
#include <stdio.h>
#include <sys/event.h>

#define DESCRIPTORS CONFIGURE_MAXIMUM_FILE_DESCRIPTORS
#define EVENTS 64

static uint8_t matched[DESCRIPTORS];

static bool change(int queue, int descriptor, unsigned short action)
{
    struct kevent change;

    EV_SET(&change, descriptor, EVFILT_READ, action, 0, 0, NULL);
    return kevent(queue, &change, 1, NULL, 0, NULL) == 0;
}

/* Level-triggered: what one receive leaves is told again. */
static bool watch(int queue, int descriptor)
{
    return change(queue, descriptor, EV_ADD);
}

/* On FreeBSD a close takes a descriptor off the kqueue; here it would be told of for ever. */
static void end(int queue, int descriptor)
{
    if (!change(queue, descriptor, EV_DELETE) || close(descriptor) != 0)
        printf("loop: descriptor %d does not close: %s\n", descriptor, strerror(errno));
}

/* Returns false when the connection is over. */
static bool serve(int descriptor)
{
    static char bytes[LOOP_READ_BYTES];
    ssize_t count = recv(descriptor, bytes, sizeof bytes, 0);

    if (count <= 0)
        return count < 0 && errno == EWOULDBLOCK;
    return loop_answer(descriptor, &matched[descriptor], bytes, (size_t)count);
}

static void accept_all(int queue, int listener)
{
    int descriptor;

    while ((descriptor = accept(listener, NULL, NULL)) >= 0) {
        matched[descriptor] = 0;
        loop_tune(descriptor);
        if (!watch(queue, descriptor))
            close(descriptor);
    }
}

rtems_task Init(rtems_task_argument argument)
{
    int listener, queue;

    (void)argument;
    if (capuchin_example_network_start() != 0)
        rtems_fatal(RTEMS_FATAL_SOURCE_EXIT, 1);
    listener = loop_listen();
    queue = kqueue();
    if (listener < 0 || queue < 0 || !watch(queue, listener)) {
        printf("loop: no listener or no kqueue: raise the limits in config.h\n");
        rtems_fatal(RTEMS_FATAL_SOURCE_EXIT, 1);
    }
    printf("ready\n");

    for (;;) {
        static struct kevent events[EVENTS];
        int count = kevent(queue, NULL, 0, events, EVENTS, NULL);

        for (int i = 0; i < count; i++) {
            int descriptor = (int)events[i].ident;

            if (descriptor == listener)
                accept_all(queue, listener);
            else if (!serve(descriptor))
                end(queue, descriptor);
        }
    }
}
