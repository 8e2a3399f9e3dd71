/* SPDX-License-Identifier: MIT */

/*
 * Capuchin: an HTTP/1.1 server for RTEMS.
 *
 * An application fills in a capuchin_config, calls capuchin_start() and goes on; worker tasks of the
 * server's own answer requests from then on. Handlers run on a worker's task, one at a time, and must
 * not block: what takes time is deferred and completed from any other task, or from an interrupt
 * handler, by capuchin_complete().
 *
 * All memory is the application's: see capuchin_memory_size(). Nothing is allocated while requests are
 * answered. Strings are UTF-8 or ASCII and end with NUL unless a length goes with them; what a client
 * sent comes with a length and may hold any byte.
 *
 * Where a call returns a status, the one line on the console that goes with an error says what to
 * change, and the application goes on.
 */

#ifndef CAPUCHIN_H
#define CAPUCHIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __rtems__
#include <rtems.h>
#else
/* Elsewhere the library is linked with test doubles of RTEMS's directives. */
typedef uint32_t rtems_status_code;
#define RTEMS_SUCCESSFUL 0
#define RTEMS_TOO_MANY 5
#define RTEMS_TIMEOUT 6
#define RTEMS_INVALID_SIZE 8
#define RTEMS_INVALID_ADDRESS 9
#define RTEMS_INVALID_NUMBER 10
#define RTEMS_RESOURCE_IN_USE 12
#define RTEMS_UNSATISFIED 13
#define RTEMS_INCORRECT_STATE 14
#define RTEMS_INVALID_PRIORITY 19
#define RTEMS_IO_ERROR 27
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A running server; lies in the memory that the application gave. */
typedef struct capuchin_server capuchin_server;

/* A request whose head is complete. Only during the call that is given it. */
typedef struct capuchin_request capuchin_request;

/* A reply that is to be written. Only during the call that is given it. */
typedef struct capuchin_reply capuchin_reply;

/* Room for more of a streamed reply. Only during the call that is given it. */
typedef struct capuchin_stream capuchin_stream;

/* Bytes with a length, without a NUL. data is NULL where there is no such thing. */
typedef struct {
  const char *data;
  size_t length;
} capuchin_text;

/*
 * The claim check of a deferred reply: plain data, may be copied, kept or lost. It is good for the one
 * start of a server that it comes from; one that is all zeros is no ticket.
 */
typedef struct {
  uint32_t index;
  uint32_t generation;
  uint32_t sequence;
  uint16_t worker;
  uint16_t start; /* another number for each capuchin_start(), and never 0 */
} capuchin_ticket;

/*
 * The types of the constants below have 32 bits everywhere. An enum would have as many as the compiler
 * chooses: one byte with -fshort-enums, which some ABIs imply.
 */

/* Request methods (RFC 9110 section 9.3, RFC 5789). */
typedef int32_t capuchin_method;
enum {
  CAPUCHIN_GET = 0,
  CAPUCHIN_HEAD = 1,
  CAPUCHIN_POST = 2,
  CAPUCHIN_PUT = 3,
  CAPUCHIN_DELETE = 4,
  CAPUCHIN_OPTIONS = 5,
  CAPUCHIN_PATCH = 6
};

/*
 * What a handler returns: the result of the capuchin_reply_... call that ended the reply. A handler
 * that ended none returns CAPUCHIN_FAILED: the client gets 500, the console a line.
 */
typedef int32_t capuchin_next;
enum {
  CAPUCHIN_FAILED = 0,
  CAPUCHIN_ANSWERED = 1,
  CAPUCHIN_DEFERRED = 2,
  CAPUCHIN_RECEIVING = 3,
  CAPUCHIN_COLLECTING = 4
};

/* What a streaming handler returns. */
typedef int32_t capuchin_progress;
enum {
  CAPUCHIN_MORE = 0,   /* more follows: call again when there is room */
  CAPUCHIN_WAIT = 1,   /* nothing now: call again when the ticket is completed */
  CAPUCHIN_DONE = 2,   /* that was the last piece */
  CAPUCHIN_BROKEN = 3  /* cannot be finished: the client is to see an incomplete reply */
};

/*
 * What a handler returns for a piece of a body; or an HTTP error status (400 to 599), which ends the
 * request: the client gets it as the response, and the rest of the body is not read.
 */
enum {
  CAPUCHIN_BODY_TAKEN = 0, /* the piece was used or copied */
  CAPUCHIN_BODY_WAIT = 1   /* nothing of it was taken: call again with it when the ticket is completed */
};

/* What goes with a request from its beginning to its end. */
typedef struct {
  void *application;      /* capuchin_config.application */
  void *argument;         /* capuchin_route.argument */
  uint64_t *state;        /* two numbers of the handler's own, zero at the beginning of a request */
  capuchin_ticket ticket; /* names this request, for capuchin_complete() */
  uint64_t now_ms;        /* milliseconds since boot */
  uint64_t unix_time;     /* seconds since 1970-01-01 00:00:00 UTC */
  const void *parameters; /* for capuchin_parameter() */
  const capuchin_request *request; /* in the functions request, body, received and collected; NULL in
                                      resume, stream and abandoned */
  const char *reason;     /* body may set it before it returns an error status: a text for the client, that
                             stays as it is; see capuchin_refuse_body() */
  int32_t client;         /* for capuchin_client_address() */
} capuchin_exchange;

/*
 * The functions that answer a route's requests. Only request is needed; the others belong to what it
 * may return.
 */
typedef struct {
  /* The head of a request is there. */
  capuchin_next (*request)(
    capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply);
  /*
   * A piece of the body, never empty, after capuchin_reply_receive(). CAPUCHIN_BODY_TAKEN, or
   * CAPUCHIN_BODY_WAIT when there is no place for it yet: the server receives no more from this client
   * until exchange->ticket is completed, and then calls again with the same bytes, perhaps with more
   * behind them; after limits.handler_ms the client gets 503. An HTTP error status ends the request.
   */
  int (*body)(capuchin_exchange *exchange, const void *piece, size_t length);
  /* The body has ended, after capuchin_reply_receive(). */
  capuchin_next (*received)(capuchin_exchange *exchange, capuchin_reply *reply);
  /* The whole body is there, after capuchin_reply_collect(). */
  capuchin_next (*collected)(
    capuchin_exchange *exchange,
    const capuchin_request *request,
    const void *body,
    size_t length,
    capuchin_reply *reply);
  /* A deferred reply was completed with value. */
  capuchin_next (*resume)(capuchin_exchange *exchange, uint64_t value, capuchin_reply *reply);
  /* Room for more of a streamed reply. */
  capuchin_progress (*stream)(capuchin_exchange *exchange, capuchin_stream *out);
  /* The request ends without the handler: free what its state refers to. */
  void (*abandoned)(capuchin_exchange *exchange);
} capuchin_handler;

/*
 * A row of the routing table. A pattern is a path whose segments may be parameters: "/led/:id" takes
 * one segment, "/files" and then a last segment '*' all the rest. It has no query. Patterns are tried in
 * the order of the table; a route that is never reached, because an earlier one takes all of its requests,
 * is an error. HEAD is answered by the GET route unless it has its own.
 */
typedef struct {
  capuchin_method method;
  const char *pattern;
  const capuchin_handler *handler;
  void *argument;
} capuchin_route;

/* A page of the site that is baked into the image. Content is never copied: it stays as it is. */
typedef struct {
  const char *path; /* "/", "/style.css"; a path that ends in '/' is a directory's index page */
  const char *type; /* Content-Type; NULL: by the path's extension */
  const void *content;
  size_t length;
  const void *gzip; /* the same in gzip coding, for clients that take it; may be NULL */
  size_t gzip_length;
  const char *cache_control; /* may be NULL */
  uint64_t modified; /* Last-Modified, in seconds since 1970; 0: unknown */
} capuchin_page;

/* Limits and timeouts; 0 stands for the default, which is given. */
typedef struct {
  uint32_t head_bytes;              /* of a request's head: request line and fields; half of buffer_size */
  uint32_t collect_bytes;           /* of a body for capuchin_reply_collect(), whatever its head's length;
                                       a quarter of buffer_size */
  uint32_t body_bytes;              /* of any body; no limit */
  uint32_t drain_bytes;             /* of an unread body, to keep its connection; 65,536 */
  uint32_t requests_per_connection; /* no limit */
  uint32_t first_byte_ms;           /* from accept to a request; 20,000 */
  uint32_t head_ms;                 /* from a head's first byte to its end; 10,000 */
  uint32_t body_ms;                 /* between two pieces of a body; for 4,096 bytes, or the rest, of one
                                       that is collected; 30,000 */
  uint32_t handler_ms;              /* for a deferred reply; 60,000 */
  uint32_t write_ms;                /* for the client to take 4,096 bytes of a reply, or the rest; 30,000 */
  uint32_t idle_ms;                 /* between two requests; 75,000 */
  uint32_t linger_ms;               /* for the client to take the last reply; 2,000 */
  uint32_t drain_ms;                /* for requests in flight when the server stops; 8,000 */
} capuchin_limits;

/* What a server is made of; begin with CAPUCHIN_CONFIG_DEFAULT. What it points to stays as it is. */
typedef struct {
  size_t config_size;            /* sizeof(capuchin_config): header and library have to agree */
  const char *address;           /* IPv4, or IPv6 with libbsd; NULL: every IPv4 address */
  uint16_t port;                 /* 0: the stack chooses, see capuchin_port() */
  uint16_t workers;              /* worker tasks; with more than one, another task accepts for them */
  uint16_t connections;          /* in service at a time, for each worker */
  uint16_t buffers;              /* for each worker: as many connections can have bytes in flight */
  uint16_t buffer_size;          /* bytes of each: limits.head_bytes and limits.collect_bytes for requests,
                                    32 for what frames chunks, and the rest for a response's head and content;
                                    CAPUCHIN_BUFFER_SIZE_MINIMUM at least */
  uint16_t fields;               /* field lines that a request may have */
  uint16_t messages;             /* completions and others that may be under way to a worker */
  uint16_t descriptors;          /* CONFIGURE_MAXIMUM_FILE_DESCRIPTORS: all of them have their turn */
  uint32_t priority;             /* of the worker tasks; less urgent than the network's tasks */
  size_t stack_size;             /* of each worker task; CAPUCHIN_STACK_SIZE_MINIMUM at least */
  const capuchin_route *routes;
  size_t route_count;
  const capuchin_page *pages;
  size_t page_count;
  const char *directory;         /* files below it are served where no route or page fits; may be NULL;
                                    CAPUCHIN_MEMORY_SIZE_DIRECTORY bytes of memory more */
  bool follow_links;             /* of the directory: also those that lead out of it */
  void *application;             /* handed to every handler */
  void (*on_message)(void *application, uint64_t value); /* for capuchin_send(); may be NULL */
  capuchin_limits limits;
  void *memory;                  /* capuchin_memory_size() bytes, aligned for a uint64_t */
  size_t memory_size;
} capuchin_config;

/* Values of CAPUCHIN_CONFIG_DEFAULT that CAPUCHIN_MEMORY_SIZE_DEFAULT counts with. */
#define CAPUCHIN_DEFAULT_WORKERS 1u
#define CAPUCHIN_DEFAULT_CONNECTIONS 32u
#define CAPUCHIN_DEFAULT_BUFFERS 6u
/* Heads up to 4,096 bytes, as browsers with cookies send them; collected bodies up to 2,048. */
#define CAPUCHIN_DEFAULT_BUFFER_SIZE 8192u
#define CAPUCHIN_DEFAULT_FIELDS 32u
#define CAPUCHIN_DEFAULT_MESSAGES 32u
#define CAPUCHIN_DEFAULT_DESCRIPTORS 64u

#define CAPUCHIN_CONFIG_DEFAULT                                                  \
  {                                                                              \
    .config_size = sizeof(capuchin_config), .port = 80,                          \
    .workers = CAPUCHIN_DEFAULT_WORKERS,                                         \
    .connections = CAPUCHIN_DEFAULT_CONNECTIONS,                                 \
    .buffers = CAPUCHIN_DEFAULT_BUFFERS,                                         \
    .buffer_size = CAPUCHIN_DEFAULT_BUFFER_SIZE,                                 \
    .fields = CAPUCHIN_DEFAULT_FIELDS,                                           \
    .messages = CAPUCHIN_DEFAULT_MESSAGES,                                       \
    .descriptors = CAPUCHIN_DEFAULT_DESCRIPTORS,                                 \
    .priority = 120, .stack_size = 8192                                          \
  }

/*
 * The server itself, and handlers that call snprintf(3), were measured to use 3.5 KB with the legacy
 * stack and 4 KB with libbsd; what handlers have on the stack besides comes on top.
 */
#define CAPUCHIN_STACK_SIZE_MINIMUM 6144u

/* The smallest buffer_size, and what of it head_bytes and collect_bytes have to leave. */
#define CAPUCHIN_BUFFER_SIZE_MINIMUM 2048u
#define CAPUCHIN_BUFFER_OVERHEAD 480u

/* Bytes of each; the library's own build checks them. Elsewhere than on RTEMS there is enough. */
#ifdef __rtems__
#define CAPUCHIN_SIZE_SERVER 208u
#define CAPUCHIN_SIZE_WORKER 2496u
#define CAPUCHIN_SIZE_ACCEPTOR 1536u
#define CAPUCHIN_SIZE_CONNECTION 136u
#define CAPUCHIN_SIZE_FILE 128u
#define CAPUCHIN_SIZE_MESSAGE 52u
#define CAPUCHIN_SIZE_DESCRIPTOR 52u
#define CAPUCHIN_SIZE_ROUTE 28u
#define CAPUCHIN_SIZE_PAGE 232u
#else
#define CAPUCHIN_SIZE_SERVER 2048u
#define CAPUCHIN_SIZE_WORKER 10240u
#define CAPUCHIN_SIZE_ACCEPTOR 4096u
#define CAPUCHIN_SIZE_CONNECTION 176u
#define CAPUCHIN_SIZE_FILE 192u
#define CAPUCHIN_SIZE_MESSAGE 96u
#define CAPUCHIN_SIZE_DESCRIPTOR 96u
#define CAPUCHIN_SIZE_ROUTE 112u
#define CAPUCHIN_SIZE_PAGE 320u
#endif

/*
 * Bytes of memory that a server of this configuration needs; its memory and memory_size do not matter. For
 * memory that is allocated before the start, once:
 *
 *   config.memory_size = capuchin_memory_size(&config);
 *   config.memory = malloc(config.memory_size);
 *
 * 0 when config is NULL or was not begun with CAPUCHIN_CONFIG_DEFAULT.
 */
size_t capuchin_memory_size(const capuchin_config *config);

/*
 * The same as a constant, for static memory: an upper bound, and a close one; capuchin_start() says when it
 * is not enough. The sizes are those of the configuration, and limits.head_bytes is half of buffer_size at
 * most. It includes sixteen connections more, which are only refused. A directory needs
 * CAPUCHIN_MEMORY_SIZE_DIRECTORY besides.
 */
#define CAPUCHIN_MEMORY_SIZE(workers, connections, buffers, buffer_size, fields, messages,    \
                             descriptors, routes, pages)                                      \
  (CAPUCHIN_SIZE_SERVER +                                                                     \
   (workers) * (CAPUCHIN_SIZE_WORKER + ((connections) + 16u) * CAPUCHIN_SIZE_CONNECTION +     \
                (buffers) * ((buffer_size) + 8u * ((fields) + 1u)) + (buffer_size) / 2u +     \
                (messages) * CAPUCHIN_SIZE_MESSAGE +                                          \
                (descriptors) * CAPUCHIN_SIZE_DESCRIPTOR) +                                   \
   ((workers) > 1 ? CAPUCHIN_SIZE_ACCEPTOR + (descriptors) * CAPUCHIN_SIZE_DESCRIPTOR : 0u) + \
   (routes) * CAPUCHIN_SIZE_ROUTE + (pages) * CAPUCHIN_SIZE_PAGE)

/* The same for the sizes of CAPUCHIN_CONFIG_DEFAULT, with so many descriptors. */
#define CAPUCHIN_MEMORY_SIZE_DESCRIPTORS(descriptors, routes, pages)                      \
  CAPUCHIN_MEMORY_SIZE(                                                                   \
    CAPUCHIN_DEFAULT_WORKERS, CAPUCHIN_DEFAULT_CONNECTIONS, CAPUCHIN_DEFAULT_BUFFERS,     \
    CAPUCHIN_DEFAULT_BUFFER_SIZE, CAPUCHIN_DEFAULT_FIELDS, CAPUCHIN_DEFAULT_MESSAGES,     \
    descriptors, routes, pages)

/* The same for the sizes of CAPUCHIN_CONFIG_DEFAULT. */
#define CAPUCHIN_MEMORY_SIZE_DEFAULT(routes, pages) \
  CAPUCHIN_MEMORY_SIZE_DESCRIPTORS(CAPUCHIN_DEFAULT_DESCRIPTORS, routes, pages)

/* What a directory needs besides: an open file for each buffer. */
#define CAPUCHIN_MEMORY_SIZE_DIRECTORY(workers, buffers) \
  ((workers) * (buffers) * CAPUCHIN_SIZE_FILE)

/*
 * Starts a server. The network has to be up. The calling task waits until the workers listen; *server
 * is set before, so that handlers can use it, and is as it was when an error is returned. Nothing is
 * written to the memory before all but routes and pages was found to be right.
 *
 * RTEMS_SUCCESSFUL
 * RTEMS_INVALID_ADDRESS   a pointer is NULL that must not be, or memory is not aligned
 * RTEMS_INVALID_SIZE      memory is too small, or the library's header is another one
 * RTEMS_INVALID_NUMBER    a number or a text in the configuration cannot be: the line says which
 * RTEMS_INVALID_PRIORITY  no such task priority
 * RTEMS_RESOURCE_IN_USE   another socket has the address and port, or another server the memory
 * RTEMS_TOO_MANY          no task, message queue or file descriptor is left: the line says which
 * RTEMS_IO_ERROR          there is no network, or it refused: the address may be another machine's
 */
rtems_status_code capuchin_start(const capuchin_config *config, capuchin_server **server);

/*
 * Stops a server: no new connections, and requests in flight may finish within limits.drain_ms, or
 * are cut off at once. Returns when the workers' tasks have ended.
 *
 * The memory is the application's again then. So whoever calls capuchin_complete(), capuchin_send() or
 * another function with this server has to be through with that, tasks and interrupt handlers alike,
 * before the memory is used for anything else; while the server drains they may go on, and with the
 * next server they may begin when its capuchin_start() has returned.
 *
 * RTEMS_SUCCESSFUL
 * RTEMS_INVALID_ADDRESS  server is NULL
 * RTEMS_INCORRECT_STATE  called by one of the server's own handlers, for whose end it would wait
 */
rtems_status_code capuchin_stop(capuchin_server *server, bool at_once);

/* The port that the server listens on. */
uint16_t capuchin_port(const capuchin_server *server);

/*
 * Completes a deferred reply, or has a waiting streamed one or a body that was not taken go on: the
 * handler's resume (with value), stream or body is called on the worker's task. From any task and from interrupt handlers; never
 * blocks. A ticket whose request is gone completes nothing.
 *
 * RTEMS_SUCCESSFUL
 * RTEMS_TOO_MANY         as many messages as the configuration has are under way: try again later
 * RTEMS_INCORRECT_STATE  the server does not run, or not any more; one that drains does
 * RTEMS_INVALID_NUMBER   no ticket of this server's: another's, or of an earlier start, or zeros
 * RTEMS_INVALID_ADDRESS  server is NULL
 */
rtems_status_code capuchin_complete(capuchin_server *server, capuchin_ticket ticket, uint64_t value);

/*
 * Calls on_message with value on the task of worker 0, or of another up to config.workers - 1; as
 * capuchin_complete() otherwise. RTEMS_INVALID_NUMBER: there is no such worker.
 */
rtems_status_code capuchin_send(capuchin_server *server, uint16_t worker, uint64_t value);

/* ---- requests ---- */

/*
 * A request can be looked at in the functions that are given it, and in body and received by
 * exchange->request. What these calls return is valid until the function returns.
 */

capuchin_method capuchin_request_method(const capuchin_request *request);
/* Decoded and normalised, beginning with '/'. */
capuchin_text capuchin_request_path(const capuchin_request *request);
/* As it came, without the '?'. */
capuchin_text capuchin_request_query(const capuchin_request *request);
/*
 * The value of the query's first parameter of this name, decoded: "%41" is 'A' and '+' a space. It is
 * written to buffer, followed by a NUL; it may hold any byte. Returns its length, or one of the numbers
 * below; buffer holds an empty text then.
 */
int capuchin_request_query_value(
  const capuchin_request *request, const char *name, char *buffer, size_t size);
#define CAPUCHIN_NO_VALUE (-1)   /* there is no such parameter */
#define CAPUCHIN_BAD_VALUE (-2)  /* a '%' in it is not followed by two hexadecimal digits */
#define CAPUCHIN_LONG_VALUE (-3) /* it does not fit into size bytes together with the NUL */
/* The same for a body that an HTML form has sent (application/x-www-form-urlencoded). */
int capuchin_form_value(
  const void *form, size_t length, const char *name, char *buffer, size_t size);
/* The first field of this name, whatever its case. */
capuchin_text capuchin_request_field(const capuchin_request *request, const char *name);
/*
 * The field line with this number, counted from 0 in the order in which they came; false when there are
 * no more. Both texts may be NULL pointers.
 */
bool capuchin_request_field_at(
  const capuchin_request *request, size_t index, capuchin_text *name, capuchin_text *value);
/* The body's length as announced, 0 without a body; false for one in chunks, whose length is not known. */
bool capuchin_request_body_length(const capuchin_request *request, uint64_t *length);
/*
 * The decoded value of ":name", or of "*"; nothing where there is none, exchange is NULL, or
 * exchange->request is.
 */
capuchin_text capuchin_parameter(const capuchin_exchange *exchange, const char *name);
/*
 * Writes the client's address and port, as in "192.168.1.7:49152" or "[fe80::1]:49152", as snprintf(3)
 * would: returns the length without the NUL, whether or not it fitted; 54 bytes are always enough. With
 * the library `own` the port is missing. May be called in each of a handler's functions.
 */
int capuchin_client_address(const capuchin_exchange *exchange, char *buffer, size_t size);
/* What body returns to end the request with an error status and a text for the client. */
static inline int capuchin_refuse_body(capuchin_exchange *exchange, int status, const char *reason)
{
  exchange->reason = reason;
  return status;
}

/* ---- replies ---- */

/*
 * First the status (200 unless set) and fields, then one of the calls that end the reply. Framing
 * (Content-Length, Transfer-Encoding, Connection, Date, Trailer) is the server's and refused as a
 * field, as are control bytes: the client gets 500 then and the console a line. The same goes for a
 * status outside 200 to 599.
 */
void capuchin_reply_status(capuchin_reply *reply, int status);
void capuchin_reply_field(capuchin_reply *reply, const char *name, const char *value);
void capuchin_reply_field_bytes(
  capuchin_reply *reply, const char *name, const void *value, size_t length);
/* The connection ends after this reply. Before the status. */
void capuchin_reply_close(capuchin_reply *reply);

/*
 * Ends the reply with content that is copied; it has to fit the buffer's part for responses together with
 * the head: 2,016 bytes with the default sizes.
 */
capuchin_next capuchin_reply_body(capuchin_reply *reply, const void *content, size_t length);
/* Ends the reply with content that stays as it is until the server stops; of any length. */
capuchin_next capuchin_reply_static(capuchin_reply *reply, const void *content, size_t length);
/* Ends the reply without content. */
capuchin_next capuchin_reply_empty(capuchin_reply *reply);
/* Ends the reply with a text that ends with NUL, as text/plain; NULL fails. */
capuchin_next capuchin_reply_text(capuchin_reply *reply, const char *text);
/* An error reply whose text names the status and why (may be NULL). */
capuchin_next capuchin_reply_error(capuchin_reply *reply, int status, const char *why);
/*
 * Ends the reply with what write puts into the buffer that it is given: it returns the length, or a
 * negative number or more than room when that did not go; the client gets 500 then.
 */
capuchin_next capuchin_reply_write(
  capuchin_reply *reply, int (*write)(void *argument, char *buffer, size_t room), void *argument);
/* Ends the head; the handler's stream, which it has to have, supplies the content, of unknown length. */
capuchin_next capuchin_reply_stream(capuchin_reply *reply);
/* As above; exactly length bytes have to follow. */
capuchin_next capuchin_reply_stream_of(capuchin_reply *reply, uint64_t length);
/* The reply comes later: keep exchange->ticket, see capuchin_complete(). */
capuchin_next capuchin_reply_defer(capuchin_reply *reply);
/*
 * Has the body handed over in pieces as it arrives, however long it is. The request's head stays in a
 * buffer until then, so that each upload that is under way takes one of config.buffers. Only from the
 * function request; to prepare something that takes time, let body wait.
 */
capuchin_next capuchin_reply_receive(capuchin_reply *reply);
/*
 * Has the body handed over in one piece; 413 when it is longer than limits.collect_bytes. Only from the
 * function request.
 */
capuchin_next capuchin_reply_collect(capuchin_reply *reply);

/* Bytes that still fit. */
size_t capuchin_stream_room(const capuchin_stream *out);
/* Adds bytes, as many as fit; returns how many. */
size_t capuchin_stream_put(capuchin_stream *out, const void *bytes, size_t length);

/* printf(3) as content. */
struct capuchin_print_arguments {
  const char *format;
  va_list *values;
};

static inline int capuchin_print_into(void *argument, char *buffer, size_t room)
{
  struct capuchin_print_arguments *print = (struct capuchin_print_arguments *) argument;
  int length = vsnprintf(buffer, room, print->format, *print->values);

  /* What needs the NUL's place has been cut. */
  return length >= 0 && (size_t) length < room ? length : -1;
}

static inline capuchin_next capuchin_reply_printf(
  capuchin_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline capuchin_next capuchin_reply_printf(capuchin_reply *reply, const char *format, ...)
{
  va_list values;
  struct capuchin_print_arguments print = { format, &values };
  capuchin_next next;

  va_start(values, format);
  next = capuchin_reply_write(reply, capuchin_print_into, &print);
  va_end(values);
  return next;
}

/* ---- to look at ---- */

/*
 * All counters as lines "name value", summed over the workers, as snprintf(3) would write them:
 * returns the length without the NUL, whether or not it fitted into size bytes.
 */
int capuchin_counters_text(const capuchin_server *server, char *buffer, size_t size);
/* One counter by its name in that text; 0 for an unknown name. Wraps at its end. */
uint32_t capuchin_counter(const capuchin_server *server, const char *name);

/*
 * The command "capuchin" for RTEMS's shell: prints counters and connections of all running servers.
 *
 *   rtems_shell_add_cmd("capuchin", "net", CAPUCHIN_SHELL_HELP, capuchin_shell);
 */
#define CAPUCHIN_SHELL_HELP "capuchin [counters|connections] - state of the HTTP server"
int capuchin_shell(int argc, char **argv);

/*
 * TCP/IP for images that have no network stack: only in the library `own`, which brings it. One network
 * card (virtio-net on PCI), IPv4, and one server with one worker, whose task does the work of the stack,
 * too: nobody answers, not even a ping, while no server runs. It knows 32 machines of its own network at a
 * time, the gateway among them; with more, they wait for each other.
 */
typedef struct {
  size_t config_size;     /* sizeof(capuchin_network): header and library have to agree */
  const char *address;    /* IPv4; NULL: a DHCP server is asked */
  const char *gateway;    /* the way to other networks; may be NULL. DHCP tells its own */
  uint16_t prefix_length; /* of the address's network: 24 for the mask 255.255.255.0 */
  uint16_t sockets;       /* connections at a time, and some for those that end and those that begin */
  uint16_t receive_size;  /* bytes of each that were received and not read: the window */
  uint16_t send_size;     /* bytes of each that are on their way */
  void *memory;           /* CAPUCHIN_NETWORK_MEMORY_SIZE bytes, aligned for a uint64_t */
  size_t memory_size;
} capuchin_network;

#define CAPUCHIN_NETWORK_DEFAULT                                               \
  {                                                                            \
    .config_size = sizeof(capuchin_network), .prefix_length = 24,              \
    .sockets = 40, .receive_size = 1024, .send_size = 1460                     \
  }

/* Bytes of a socket, its buffers not counted; the library's own build checks it. */
#define CAPUCHIN_SIZE_SOCKET 400u

/* Bytes of memory for a network of these sizes. DHCP has a socket besides. */
#define CAPUCHIN_NETWORK_MEMORY_SIZE(sockets, receive_size, send_size) \
  ((sockets) * (CAPUCHIN_SIZE_SOCKET + (receive_size) + (send_size)) + CAPUCHIN_SIZE_SOCKET)

/*
 * Starts the network, once, by a task with 6 KB of stack at least; the memory is its own from then on. capuchin_start() comes after it, with a
 * configuration whose address is NULL and whose workers are 1; descriptors may be 1.
 *
 * RTEMS_SUCCESSFUL
 * RTEMS_INVALID_ADDRESS  a pointer is NULL that must not be, or memory is not aligned
 * RTEMS_INVALID_SIZE     memory is too small, or the library's header is another one
 * RTEMS_INVALID_NUMBER   a number or an address cannot be: the line says which
 * RTEMS_INCORRECT_STATE  it was started already
 * RTEMS_IO_ERROR         there is no such network card, or its interrupt cannot be had
 */
rtems_status_code capuchin_network_start(const capuchin_network *network);

/* The address, as a number whose most significant byte is the first; 0 while DHCP has told none. */
uint32_t capuchin_network_address(void);

#ifdef __cplusplus
}
#endif

#endif
