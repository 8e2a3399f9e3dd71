/* SPDX-License-Identifier: MIT */
/*
 * The least a server on the legacy stack can do: one task, one message queue, a fixed reply. What a
 * real server adds is measured against this.
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
#include <rtems/rtems_bsdnet.h>
#include <stdio.h>

#define DESCRIPTORS CONFIGURE_MAXIMUM_FILE_DESCRIPTORS

/*
 * One for each descriptor. `changes` counts what the stack told and the worker has not yet looked
 * at; a message is in the queue only while it is not zero, so the queue cannot overflow. It counts
 * rather than marks because data and the end of the stream are two changes, and two receives.
 */
struct connection {
    volatile unsigned changes;
    uint8_t matched;
};

static struct connection connections[DESCRIPTORS];
static RTEMS_MESSAGE_QUEUE_BUFFER(sizeof(int)) queue_buffers[DESCRIPTORS];
static rtems_id queue;

/* Adds to a connection's changes, also a negative number, and returns what they were before. */
static unsigned count_changes(struct connection *connection, unsigned more)
{
    rtems_interrupt_level level;
    unsigned before;

    rtems_interrupt_local_disable(level);
    before = connection->changes;
    connection->changes = before + more;
    rtems_interrupt_local_enable(level);
    return before;
}

/* Runs in a network task, with the network semaphore held. */
static void changed(struct socket *socket, void *argument)
{
    struct connection *connection = argument;
    int descriptor = (int)(connection - connections);

    (void)socket;
    if (count_changes(connection, 1) == 0)
        rtems_message_queue_send(queue, &descriptor, sizeof descriptor);
}

static void watch(int descriptor, void (*callback)(struct socket *, void *))
{
    struct sockwakeup wakeup = { callback, &connections[descriptor] };

    setsockopt(descriptor, SOL_SOCKET, SO_RCVWAKEUP, &wakeup, sizeof wakeup);
}

/* Takes what is there. Returns false when the connection is over; nothing to read is no end. */
static bool serve_once(int descriptor)
{
    static char bytes[LOOP_READ_BYTES];
    ssize_t count;

    do {
        count = recv(descriptor, bytes, sizeof bytes, 0);
        if (count <= 0)
            return count < 0 && errno == EWOULDBLOCK;
        if (!loop_answer(descriptor, &connections[descriptor].matched, bytes, (size_t)count))
            return false;
    } while (count == sizeof bytes);
    return true;
}

static bool serve(int descriptor)
{
    struct connection *connection = &connections[descriptor];
    unsigned seen;

    do {
        seen = connection->changes;
        for (unsigned i = 0; i < seen; i++)
            if (!serve_once(descriptor))
                return false;
    } while (count_changes(connection, -seen) != seen);
    return true;
}

/* The stack must forget the callback first: the socket outlives its descriptor in TIME_WAIT. */
static void end(int descriptor)
{
    watch(descriptor, NULL);
    close(descriptor);
}

/* Accepts what waits; what finds no descriptor waits until one is closed. */
static void accept_all(int listener)
{
    int descriptor;

    while ((descriptor = accept(listener, NULL, NULL)) >= 0) {
        /* What came before the callback was set was told to nobody: data, and the end. */
        connections[descriptor] = (struct connection){ .changes = 2 };
        loop_tune(descriptor);
        watch(descriptor, changed);
        if (!serve(descriptor))
            end(descriptor);
    }
}

rtems_task Init(rtems_task_argument argument)
{
    const rtems_message_queue_config config = {
        .name = rtems_build_name('L', 'O', 'O', 'P'),
        .maximum_pending_messages = DESCRIPTORS,
        .maximum_message_size = sizeof(int),
        .storage_area = queue_buffers,
        .storage_size = sizeof queue_buffers,
    };
    int listener;

    (void)argument;
    if (capuchin_example_network_start() != 0)
        rtems_fatal(RTEMS_FATAL_SOURCE_EXIT, 1);
    listener = loop_listen();
    if (listener < 0 || rtems_message_queue_construct(&config, &queue) != RTEMS_SUCCESSFUL) {
        printf("loop: no listener or no queue: raise the limits in config.h\n");
        rtems_fatal(RTEMS_FATAL_SOURCE_EXIT, 1);
    }
    watch(listener, changed);
    printf("ready\n");

    for (;;) {
        int descriptor;
        size_t size;

        rtems_message_queue_receive(queue, &descriptor, &size, RTEMS_WAIT, RTEMS_NO_TIMEOUT);
        if (descriptor == listener) {
            unsigned seen;

            do {
                seen = connections[listener].changes;
                accept_all(listener);
            } while (count_changes(&connections[listener], -seen) != seen);
        } else if (!serve(descriptor)) {
            end(descriptor);
            /* The descriptor is free for a client that found none. */
            accept_all(listener);
        }
    }
}
