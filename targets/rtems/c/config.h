/* SPDX-License-Identifier: MIT */
/*
 * The RTEMS configuration that the images share. Exactly one C file of an image defines
 * CONFIGURE_INIT and then includes this; before that it can define any of these macros otherwise.
 * The stack is chosen by -DCAPUCHIN_STACK_LEGACY, -DCAPUCHIN_STACK_LIBBSD or -DCAPUCHIN_STACK_OWN.
 */
#ifndef CAPUCHIN_EXAMPLE_CONFIG_H
#define CAPUCHIN_EXAMPLE_CONFIG_H

#if defined(CAPUCHIN_STACK_LEGACY) + defined(CAPUCHIN_STACK_LIBBSD) + defined(CAPUCHIN_STACK_OWN) != 1
#error "define CAPUCHIN_STACK_LEGACY, CAPUCHIN_STACK_LIBBSD or CAPUCHIN_STACK_OWN: make STACK=legacy does"
#endif

#include <rtems.h>

#define CONFIGURE_APPLICATION_NEEDS_CLOCK_DRIVER
#define CONFIGURE_APPLICATION_NEEDS_CONSOLE_DRIVER
/* Sets the time of day from the PC's clock: Date, Last-Modified and entity tags need it. */
#define CONFIGURE_APPLICATION_NEEDS_RTC_DRIVER

/*
 * A millisecond: deadlines are that fine, and the legacy stack sleeps whole ticks in select(2) and
 * for mbufs. In QEMU it costs no requests per second that can be told from noise, against 10 ms.
 */
#ifndef CONFIGURE_MICROSECONDS_PER_TICK
#define CONFIGURE_MICROSECONDS_PER_TICK 1000
#endif

/* Stacks, objects and malloc() draw on one pool, so none of them has to be guessed beforehand. */
#define CONFIGURE_UNIFIED_WORK_AREAS

/* Fills stacks with a pattern: rtems_stack_checker_report_usage() then shows high-water marks. */
#define CONFIGURE_STACK_CHECKER_ENABLED

#ifdef CAPUCHIN_STACK_OWN
/* Three for the console and a dozen for files: connections have none. */
#ifndef CONFIGURE_MAXIMUM_FILE_DESCRIPTORS
#define CONFIGURE_MAXIMUM_FILE_DESCRIPTORS 15
#endif
#endif

#ifndef CAPUCHIN_STACK_LIBBSD
/* Three for the console, the listener, 48 connections, and a dozen for files. */
#ifndef CONFIGURE_MAXIMUM_FILE_DESCRIPTORS
#define CONFIGURE_MAXIMUM_FILE_DESCRIPTORS 64
#endif
/* The stack has one task, the driver two; Init and a dozen are the application's. */
#ifndef CONFIGURE_MAXIMUM_TASKS
#define CONFIGURE_MAXIMUM_TASKS 16
#endif
/* One for each worker. The queues bring their own buffers: rtems_message_queue_construct(). */
#ifndef CONFIGURE_MAXIMUM_MESSAGE_QUEUES
#define CONFIGURE_MAXIMUM_MESSAGE_QUEUES 8
#endif
#ifndef CONFIGURE_MAXIMUM_SEMAPHORES
#define CONFIGURE_MAXIMUM_SEMAPHORES 8
#endif
#endif

#ifdef CAPUCHIN_STACK_LIBBSD
/*
 * Also the limit of sockets (kern.ipc.maxsockets cannot be raised beyond it), and a connection that
 * the server closed keeps its socket for a while: a burst needs many more than are open at a time.
 */
#ifndef CONFIGURE_MAXIMUM_FILE_DESCRIPTORS
#define CONFIGURE_MAXIMUM_FILE_DESCRIPTORS 4096
#endif
/* libbsd makes tasks, semaphores and timers as it goes. */
#ifndef CONFIGURE_UNLIMITED_ALLOCATION_SIZE
#define CONFIGURE_UNLIMITED_ALLOCATION_SIZE 32
#endif
#define CONFIGURE_UNLIMITED_OBJECTS
/* libbsd's own, which deletes what it keeps for a task when the task ends. */
#ifndef CONFIGURE_MAXIMUM_USER_EXTENSIONS
#define CONFIGURE_MAXIMUM_USER_EXTENSIONS 1
#endif
#endif

#define CONFIGURE_RTEMS_INIT_TASKS_TABLE

/* Init starts the network and the server, and ends. How urgent the server is, is its own affair. */
#ifndef CONFIGURE_INIT_TASK_PRIORITY
#define CONFIGURE_INIT_TASK_PRIORITY 40
#endif
#ifndef CONFIGURE_INIT_TASK_STACK_SIZE
#define CONFIGURE_INIT_TASK_STACK_SIZE (16 * 1024)
#endif
/* No floating-point context: nothing here computes with it, and a switch without it is cheaper. */
#ifndef CONFIGURE_INIT_TASK_ATTRIBUTES
#define CONFIGURE_INIT_TASK_ATTRIBUTES RTEMS_DEFAULT_ATTRIBUTES
#endif
#ifndef CONFIGURE_INIT_TASK_INITIAL_MODES
#define CONFIGURE_INIT_TASK_INITIAL_MODES RTEMS_DEFAULT_MODES
#endif

#include <rtems/confdefs.h>

#endif
