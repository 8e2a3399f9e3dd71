/* SPDX-License-Identifier: MIT */

/*
 * An image that runs the conformance suite of event channels and tells the verdict on the console:
 * a line for each case, then "capuchin: conformance: N passed, M failed".
 */

#include "network.h"

#include <rtems.h>
#include <rtems/bspIo.h>

int capuchin_examine(void);

static rtems_task Init(rtems_task_argument argument)
{
  (void) argument;
  if (capuchin_example_network_start() == 0) {
    (void) capuchin_examine();
  }
  rtems_task_exit();
}

/* The suite has 70 pairs of sockets open at a time, and 8 tasks besides. */
#ifndef CAPUCHIN_STACK_LIBBSD
/* FD_SETSIZE: the legacy stack's select() takes no more. */
#define CONFIGURE_MAXIMUM_FILE_DESCRIPTORS 256
#else
/* Connections that were closed keep theirs for a while. */
#define CONFIGURE_MAXIMUM_FILE_DESCRIPTORS 320
#endif
/* libbsd's configuration has as many objects as there is memory for. */
#ifndef CAPUCHIN_STACK_LIBBSD
#define CONFIGURE_MAXIMUM_TASKS 24
/* Its service routine is the interrupt that sends messages. */
#define CONFIGURE_MAXIMUM_TIMERS 1
#endif

/*
 * Less urgent than the network's tasks: what one socket sends over the loopback the other can
 * receive at once, as the cases have it.
 */
#define CONFIGURE_INIT_TASK_PRIORITY 200
/*
 * The suite's helpers are as urgent as itself, and there are cases in which it always has something
 * to do. It has no slices of time: a wait for sockets leaves equals their turn by itself, and does not
 * keep libbsd's relay from hearing of others.
 */
/* The suite keeps lists of events on its stack. */
#define CONFIGURE_INIT_TASK_STACK_SIZE (64 * 1024)

/* Pipes, for the case that kqueue refuses them. */
#ifdef CAPUCHIN_STACK_LIBBSD
#define CONFIGURE_IMFS_ENABLE_MKFIFO
#endif

#define CONFIGURE_INIT
#include "config.h"
