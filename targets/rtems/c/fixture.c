/* SPDX-License-Identifier: MIT */

/*
 * The fixture server: its options, its table of routes, its start and its end. Nothing is allocated
 * while it runs, so that what leaks is not the fixture's.
 */

#include "fixture.h"
#include "fixture_parts.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- options ---- */

bool fixture_number(const char *text, size_t length, uint64_t *number)
{
  uint64_t value = 0;
  size_t i;

  for (i = 0; i < length; i++) {
    unsigned digit = (unsigned char) text[i] - (unsigned) '0';

    if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
      return false;
    }
    value = value * 10 + digit;
  }
  *number = value;
  return length > 0;
}

#define OPTION(name, member) { name, offsetof(struct fixture_options, member) }

static const struct {
  const char *name;
  size_t offset; /* of a uint32_t */
} option_table[] = {
  OPTION("timeout.first_byte", limits.first_byte_ms),
  OPTION("timeout.head", limits.head_ms),
  OPTION("timeout.body", limits.body_ms),
  OPTION("timeout.handler", limits.handler_ms),
  OPTION("timeout.write", limits.write_ms),
  OPTION("timeout.idle", limits.idle_ms),
  OPTION("timeout.linger", limits.linger_ms),
  OPTION("timeout.drain", limits.drain_ms),
  OPTION("limit.head_bytes", limits.head_bytes),
  OPTION("limit.collect_bytes", limits.collect_bytes),
  OPTION("limit.drain_bytes", limits.drain_bytes),
  OPTION("limit.body_bytes", limits.body_bytes),
  OPTION("limit.requests_per_connection", limits.requests_per_connection),
  OPTION("limit.connections", connections),
  OPTION("workers", workers),
  OPTION("port", port),
  OPTION("buffers", buffers),
  OPTION("buffer_size", buffer_size),
  OPTION("fields", fields),
  OPTION("messages", messages),
};

bool fixture_set(struct fixture_options *options, const char *text, size_t length)
{
  const char *equals = memchr(text, '=', length);
  size_t name_length;
  uint64_t value;
  size_t i;

  if (equals == NULL) {
    return false;
  }
  name_length = (size_t) (equals - text);
  if (!fixture_number(equals + 1, length - name_length - 1, &value)) {
    return false;
  }
  for (i = 0; i < ARRAY_LENGTH(option_table); i++) {
    const char *name = option_table[i].name;

    if (strlen(name) == name_length && memcmp(name, text, name_length) == 0) {
      uint32_t *number = (uint32_t *) (void *) ((char *) options + option_table[i].offset);

      *number = value > UINT32_MAX ? UINT32_MAX : (uint32_t) value;
      return true;
    }
  }
  return false;
}

/* 0, or -1 after a line on what there is no room for. */
static int check_options(const struct fixture_options *options)
{
  const struct {
    const char *name;
    uint32_t value;
    uint32_t least;
    uint32_t most;
  } checks[] = {
    { "port", options->port, 0, UINT16_MAX },
    { "workers", options->workers, 1, FIXTURE_WORKERS },
    { "connections", options->connections, 0, options->workers * FIXTURE_CONNECTIONS },
    { "buffers", options->buffers, 1, FIXTURE_BUFFERS },
    { "buffer_size", options->buffer_size, 1, FIXTURE_BUFFER_SIZE },
    { "fields", options->fields, 1, FIXTURE_FIELDS },
    { "messages", options->messages, 1, FIXTURE_MESSAGES },
  };
  size_t i;

  for (i = 0; i < ARRAY_LENGTH(checks); i++) {
    if (checks[i].value < checks[i].least || checks[i].value > checks[i].most) {
      fprintf(
        stderr,
        "fixture: %s can be %" PRIu32 " to %" PRIu32 ", not %" PRIu32 "\n",
        checks[i].name,
        checks[i].least,
        checks[i].most,
        checks[i].value);
      return -1;
    }
  }
  return 0;
}

/* ---- what /limits tells ---- */

/* Filled once, before the server starts. */
static char facts_text[768];
static size_t facts_length;

static uint32_t value_or(uint32_t value, uint32_t otherwise)
{
  return value != 0 ? value : otherwise;
}

static void add_fact(const char *name, uint32_t value)
{
  size_t room = sizeof(facts_text) - facts_length;
  int length = snprintf(facts_text + facts_length, room, "%s %" PRIu32 "\n", name, value);

  facts_length += length > 0 && (size_t) length < room ? (size_t) length : 0;
}

static void make_facts(const capuchin_config *config)
{
  const capuchin_limits *limit = &config->limits;

  facts_length = (size_t) snprintf(
    facts_text,
    sizeof(facts_text),
    "features routes upload inspect stream drip deferred storm counters site%s\n",
    config->directory != NULL ? " live" : "");
#ifndef __rtems__
  add_fact("pid", (uint32_t) getpid());
#endif
  add_fact("workers", config->workers);
  add_fact("head_bytes", value_or(limit->head_bytes, config->buffer_size / 2u));
  add_fact("fields", config->fields);
  add_fact("drain_bytes", value_or(limit->drain_bytes, 65536));
  add_fact("body_bytes", value_or(limit->body_bytes, UINT32_MAX));
  add_fact("requests_per_connection", value_or(limit->requests_per_connection, UINT32_MAX));
  add_fact("buffers", config->buffers);
  add_fact("collect_bytes", value_or(limit->collect_bytes, config->buffer_size / 4u));
  add_fact("first_byte_ms", value_or(limit->first_byte_ms, 20000));
  add_fact("head_ms", value_or(limit->head_ms, 10000));
  add_fact("body_ms", value_or(limit->body_ms, 30000));
  add_fact("handler_ms", value_or(limit->handler_ms, 60000));
  add_fact("write_ms", value_or(limit->write_ms, 30000));
  add_fact("idle_ms", value_or(limit->idle_ms, 75000));
  add_fact("linger_ms", value_or(limit->linger_ms, 2000));
  add_fact("drain_ms", value_or(limit->drain_ms, 8000));
  /* Workers share it: only where there is one, a client can meet it at a known number. */
  if (config->workers == 1) {
    add_fact("connections", config->connections);
  }
}

static capuchin_next limits(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  fixture_plain_text(reply);
  return capuchin_reply_static(reply, facts_text, facts_length);
}

static const capuchin_handler limits_handler = { .request = limits };

/* ---- routes ---- */

/* Whether a stream's length is told before it. */
static bool is_sized = true;
static bool is_unsized = false;

static const capuchin_route routes[] = {
  { CAPUCHIN_GET, "/hello", &fixture_hello, NULL },
  { CAPUCHIN_GET, "/empty", &fixture_empty, NULL },
  { CAPUCHIN_GET, "/close", &fixture_close, NULL },
  { CAPUCHIN_GET, "/echo/:word", &fixture_echo_word, NULL },
  { CAPUCHIN_GET, "/field/:value", &fixture_field, NULL },
  { CAPUCHIN_POST, "/echo", &fixture_echo, NULL },
  { CAPUCHIN_PUT, "/upload", &fixture_upload, NULL },
  { CAPUCHIN_POST, "/upload", &fixture_upload, NULL },
  { CAPUCHIN_PUT, "/inspect/:name", &fixture_inspect, NULL },
  { CAPUCHIN_GET, "/stream/:bytes", &fixture_stream, &is_unsized },
  { CAPUCHIN_GET, "/stream/:bytes/:seed", &fixture_stream, &is_unsized },
  { CAPUCHIN_GET, "/sized/:bytes", &fixture_stream, &is_sized },
  { CAPUCHIN_GET, "/sized/:bytes/:seed", &fixture_stream, &is_sized },
  { CAPUCHIN_GET, "/drip/:count/:ms", &fixture_drip, NULL },
  { CAPUCHIN_GET, "/deferred/:ms/:word", &fixture_deferred, NULL },
  { CAPUCHIN_GET, "/storm/:n", &fixture_start_storm, NULL },
  { CAPUCHIN_GET, "/storm", &fixture_show_storm, NULL },
  { CAPUCHIN_GET, "/led/:id", &fixture_led, NULL },
  { CAPUCHIN_PUT, "/led/:id", &fixture_set_led, NULL },
  { CAPUCHIN_GET, "/counters", &fixture_counters, NULL },
  { CAPUCHIN_GET, "/limits", &limits_handler, NULL },
#ifdef __rtems__
  { CAPUCHIN_GET, "/resources", &fixture_resources, NULL },
#endif
};

/* ---- start and stop ---- */

#define MEMORY_SIZE                                                                          \
  (CAPUCHIN_MEMORY_SIZE(                                                                     \
     FIXTURE_WORKERS, FIXTURE_CONNECTIONS, FIXTURE_BUFFERS, FIXTURE_BUFFER_SIZE,             \
     FIXTURE_FIELDS, FIXTURE_MESSAGES, FIXTURE_DESCRIPTORS, (unsigned) ARRAY_LENGTH(routes), \
     FIXTURE_PAGES) +                                                                        \
   CAPUCHIN_MEMORY_SIZE_DIRECTORY(FIXTURE_WORKERS, FIXTURE_BUFFERS))

static uint64_t memory[(MEMORY_SIZE + sizeof(uint64_t) - 1) / sizeof(uint64_t)];

/* Bytes of stack for the fixture's threads; elsewhere the system's default will do. */
#define THREAD_STACK_SIZE 16384

int fixture_make_lock(pthread_mutex_t *lock)
{
  pthread_mutexattr_t attributes;
  int error = pthread_mutexattr_init(&attributes);

#ifdef __rtems__
  /* A worker may have to wait for a less urgent thread, which then must not wait for others. */
  if (error == 0) {
    error = pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  }
#endif
  if (error == 0) {
    error = pthread_mutex_init(lock, &attributes);
  }
  return error;
}

/* Times are those of the clock that nobody sets. */
int fixture_make_condition(pthread_cond_t *condition)
{
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);

  if (error == 0) {
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  }
  if (error == 0) {
    error = pthread_cond_init(condition, &attributes);
  }
  return error;
}

/*
 * On RTEMS the thread has a Classic API priority of its own; elsewhere it runs as its creator. A
 * storm that is less urgent than the workers has each message served before the next.
 */
static int start_thread(uint32_t priority, void *(*run)(void *), void *argument)
{
  pthread_attr_t attributes;
  pthread_t thread;
  int error = pthread_attr_init(&attributes);

#ifdef __rtems__
  struct sched_param parameters;

  memset(&parameters, 0, sizeof(parameters));
  /* POSIX counts the other way round: 1 is the least urgent. */
  parameters.sched_priority = sched_get_priority_max(SCHED_FIFO) + 1 - (int) priority;
  if (error == 0) {
    error = pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  }
  if (error == 0) {
    error = pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
  }
  if (error == 0) {
    error = pthread_attr_setschedparam(&attributes, &parameters);
  }
  if (error == 0) {
    error = pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
  }
#else
  (void) priority;
#endif
  if (error == 0) {
    error = pthread_create(&thread, &attributes, run, argument);
  }
  if (error == 0) {
    error = pthread_detach(thread);
  }
  return error;
}

static int start_threads(const capuchin_config *config)
{
  int error = start_thread(config->priority - 1, fixture_later_thread, NULL);
  uintptr_t i;

  for (i = 0; error == 0 && i < FIXTURE_STORM_THREADS; i++) {
    error = start_thread(config->priority + 1, fixture_storm_thread, (void *) i);
  }
  return error;
}

int fixture_start(const struct fixture_options *options, capuchin_server **server)
{
  capuchin_config config = CAPUCHIN_CONFIG_DEFAULT;
  rtems_status_code status;
  capuchin_server *started = NULL;
  int error;

  if (check_options(options) != 0) {
    return -1;
  }
  config.address = options->address;
  config.port = (uint16_t) options->port;
  config.workers = (uint16_t) options->workers;
  config.connections = FIXTURE_CONNECTIONS;
  if (options->connections != 0) {
    config.connections =
      (uint16_t) ((options->connections + options->workers - 1) / options->workers);
  }
  config.buffers = (uint16_t) options->buffers;
  config.buffer_size = (uint16_t) options->buffer_size;
  config.fields = (uint16_t) options->fields;
  config.messages = (uint16_t) options->messages;
  config.descriptors = FIXTURE_DESCRIPTORS;
  config.routes = routes;
  config.route_count = ARRAY_LENGTH(routes);
  if (options->directory != NULL) {
    config.directory = options->directory;
  } else {
    config.pages = fixture_pages;
    config.page_count = FIXTURE_PAGES;
  }
  config.on_message = fixture_storm_message;
  config.limits = options->limits;
  config.memory = memory;
  config.memory_size = sizeof(memory);

  fixture_make_pattern();
  fixture_make_pages();
  make_facts(&config);
  error = fixture_later_prepare();
  if (error == 0) {
    error = fixture_storm_prepare(config.workers);
  }
  if (error != 0) {
    fprintf(stderr, "fixture: no locks: %s\n", strerror(error));
    return -1;
  }

  status = capuchin_start(&config, &started);
  if (status != RTEMS_SUCCESSFUL) {
    fprintf(stderr, "fixture: the server does not start: status %d\n", (int) status);
    return -1;
  }
  fixture_later_begin(started);
  /* Only now, since they need the server; what is already pending waits for them. */
  error = start_threads(&config);
  if (error != 0) {
    fprintf(stderr, "fixture: no threads: %s\n", strerror(error));
    capuchin_stop(started, true);
    return -1;
  }
  *server = started;
  return 0;
}

void fixture_stop(capuchin_server *server)
{
  /* Messages are for a server that runs. */
  fixture_storm_end();
  /* All requests end in here, and with them what the timer thread would complete. */
  capuchin_stop(server, false);
}
