/* SPDX-License-Identifier: MIT */

/*
 * The server that the black-box suites run against, on the C interface: tests/FIXTURE.md says what
 * it answers. It runs once in a program or image; all its memory is static.
 */

#ifndef FIXTURE_H
#define FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capuchin.h"

/* What there is room for; connections, buffers and messages for each worker. */
#define FIXTURE_WORKERS 2
#define FIXTURE_FIELDS 64
#ifdef __rtems__
#define FIXTURE_CONNECTIONS 64
#define FIXTURE_BUFFERS 64
/* A body of the size that can be collected is echoed, so that it has to fit the rest, too. */
#define FIXTURE_BUFFER_SIZE 6144
#define FIXTURE_HEAD_BYTES 3072
#define FIXTURE_COLLECT_BYTES 1024
#define FIXTURE_MESSAGES 128
#ifdef CAPUCHIN_STACK_LIBBSD
/* Also the limit of sockets, and one that the server closed stays for a while: see config.h. */
#define FIXTURE_DESCRIPTORS 4096
#else
/* Connections, those that are being refused, listeners, the console. */
#define FIXTURE_DESCRIPTORS 192
#endif
#else
#define FIXTURE_CONNECTIONS 600
#define FIXTURE_BUFFERS 616
#define FIXTURE_BUFFER_SIZE 20480
#define FIXTURE_HEAD_BYTES 8192
#define FIXTURE_COLLECT_BYTES 4096
#define FIXTURE_MESSAGES 512
#define FIXTURE_DESCRIPTORS 4096
#endif

/* Threads of its own: one completes replies, eight make storms. */
#define FIXTURE_STORM_THREADS 8
#define FIXTURE_THREADS (1 + FIXTURE_STORM_THREADS)

/* What a fixture can be told; begin with FIXTURE_OPTIONS_DEFAULT. What it points to has to stay. */
struct fixture_options {
  const char *address;    /* NULL: every IPv4 address */
  const char *directory;  /* served instead of the baked pages; may be NULL */
  uint32_t port;          /* 0: the stack chooses */
  uint32_t workers;
  uint32_t connections;   /* of all workers together; 0: as many as there is room for */
  uint32_t buffers;       /* from here on of each worker */
  uint32_t buffer_size;
  uint32_t fields;
  uint32_t messages;
  capuchin_limits limits; /* 0 stands for the library's default */
};

#define FIXTURE_OPTIONS_DEFAULT                                                         \
  {                                                                                     \
    .port = 80, .workers = 1, .buffers = FIXTURE_BUFFERS,                               \
    .buffer_size = FIXTURE_BUFFER_SIZE, .fields = FIXTURE_FIELDS,                       \
    .messages = FIXTURE_MESSAGES,                                                       \
    .limits = {                                                                         \
      .head_bytes = FIXTURE_HEAD_BYTES, .collect_bytes = FIXTURE_COLLECT_BYTES          \
    }                                                                                   \
  }

/*
 * Sets one option from "name=number": timeout.NAME and limit.NAME with the names of FIXTURE.md, or
 * workers, port, buffers, buffer_size, fields, messages. False when there is no such name or
 * number; text need not end with NUL.
 */
bool fixture_set(struct fixture_options *options, const char *text, size_t length);

/* Starts the server and the threads that help it. 0, or -1 after one line that says why not. */
int fixture_start(const struct fixture_options *options, capuchin_server **server);

/* Ends storms, lets requests in flight finish, stops the server. The process has to end then. */
void fixture_stop(capuchin_server *server);

#ifdef __rtems__
/*
 * Writes what the image uses now as lines "name value", as snprintf(3) would. It looks at the whole
 * heap and every stack, so it is not for a worker's task.
 */
int fixture_resources_text(char *buffer, size_t size);
#endif

#endif
