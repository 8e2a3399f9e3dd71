/* SPDX-License-Identifier: MIT */

/*
 * Replies that a thread of their own completes: deferred ones, drips, and on RTEMS what the image
 * uses. One table in static memory holds what is pending.
 */

#include "fixture.h"
#include "fixture_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* Guards the table and the_server. */
static pthread_mutex_t later_lock;
static pthread_cond_t later_changed;

static capuchin_server *the_server;

capuchin_server *fixture_running_server(void)
{
  capuchin_server *server;

  pthread_mutex_lock(&later_lock);
  server = the_server;
  pthread_mutex_unlock(&later_lock);
  return server;
}

int fixture_later_prepare(void)
{
  int error = fixture_make_lock(&later_lock);

  return error != 0 ? error : fixture_make_condition(&later_changed);
}

void fixture_later_begin(capuchin_server *server)
{
  pthread_mutex_lock(&later_lock);
  the_server = server;
  pthread_mutex_unlock(&later_lock);
}

/* ---- the table ---- */

/* One for each connection that there can be, and at least the 256 of FIXTURE.md. */
#if FIXTURE_WORKERS * FIXTURE_CONNECTIONS > 256
#define PENDING (FIXTURE_WORKERS * FIXTURE_CONNECTIONS)
#else
#define PENDING 256
#endif

/* Until the next attempt when a worker's queue is full. */
#define RETRY_NS NS_PER_MS

/* Nothing is due for longer: clocks need not cope with more. */
#define DELAY_LIMIT_MS UINT64_C(1000000000)

enum pending_state {
  PENDING_FREE,
  PENDING_WAITING, /* for its time */
  PENDING_FIRED    /* completed; the request has yet to see it */
};

/*
 * An entry belongs to its request, which frees it: in resume, in stream, or when it is abandoned.
 * The timer thread only takes it from waiting to fired.
 */
struct pending {
  enum pending_state state;
  uint64_t due_ns;
  capuchin_ticket ticket;
  bool wants_resources;
  unsigned char word_length;
  char word[WORD_BYTES];
};

static struct pending pending[PENDING];

#ifdef __rtems__
/* What /resources answers: gathered by the timer thread, off the stacks that it tells of. */
static char resources_text[768];
#endif

static uint64_t now_ns(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * NS_PER_S + (uint64_t) now.tv_nsec;
}

/* Takes an entry for the exchange; its number, or -1 when none is free. */
static int pending_add(
  const capuchin_exchange *exchange, uint64_t delay_ms, capuchin_text word, bool wants_resources)
{
  uint64_t due_ns = now_ns() + delay_ms * NS_PER_MS;
  int at;

  pthread_mutex_lock(&later_lock);
  for (at = 0; at < PENDING && pending[at].state != PENDING_FREE; at++) {
  }
  if (at < PENDING) {
    pending[at].state = PENDING_WAITING;
    pending[at].due_ns = due_ns;
    pending[at].ticket = exchange->ticket;
    pending[at].wants_resources = wants_resources;
    pending[at].word_length = (unsigned char) word.length;
    if (word.length > 0) {
      memcpy(pending[at].word, word.data, word.length);
    }
    pthread_cond_signal(&later_changed);
  }
  pthread_mutex_unlock(&later_lock);
  return at < PENDING ? at : -1;
}

static void pending_free(int at)
{
  pthread_mutex_lock(&later_lock);
  pending[at].state = PENDING_FREE;
  pthread_mutex_unlock(&later_lock);
}

/* With the lock held, so that the request cannot go on before the entry says that it was fired. */
static void fire(struct pending *entry, uint64_t now)
{
  uint64_t value = (uint64_t) (entry - pending);

#ifdef __rtems__
  if (entry->wants_resources) {
    fixture_resources_text(resources_text, sizeof(resources_text));
  }
#endif
  if (capuchin_complete(the_server, entry->ticket, value) == RTEMS_TOO_MANY) {
    entry->due_ns = now + RETRY_NS;
  } else {
    entry->state = PENDING_FIRED;
  }
}

void *fixture_later_thread(void *unused)
{
  (void) unused;
  pthread_mutex_lock(&later_lock);
  for (;;) {
    uint64_t now = now_ns();
    uint64_t next = UINT64_MAX;
    size_t i;

    for (i = 0; i < PENDING; i++) {
      if (pending[i].state == PENDING_WAITING && pending[i].due_ns <= now) {
        fire(&pending[i], now);
      }
      if (pending[i].state == PENDING_WAITING && pending[i].due_ns < next) {
        next = pending[i].due_ns;
      }
    }
    if (next == UINT64_MAX) {
      pthread_cond_wait(&later_changed, &later_lock);
    } else {
      struct timespec until = { (time_t) (next / NS_PER_S), (long) (next % NS_PER_S) };

      pthread_cond_timedwait(&later_changed, &later_lock, &until);
    }
  }
  return NULL;
}

static capuchin_next no_entry(capuchin_reply *reply)
{
  return capuchin_reply_error(reply, 503, "too many replies are deferred");
}

/* ---- deferred replies ---- */

/* State of a deferred reply: its entry's number plus one. */
static capuchin_next deferred_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  capuchin_text word;
  uint64_t delay_ms;
  int at;

  (void) request;
  if (
    !fixture_word_parameter(exchange, &word) ||
    !fixture_number_parameter(exchange, "ms", DELAY_LIMIT_MS, &delay_ms)) {
    return capuchin_reply_error(reply, 400, "milliseconds and a word");
  }
  at = pending_add(exchange, delay_ms, word, false);
  if (at < 0) {
    return no_entry(reply);
  }
  exchange->state[0] = (uint64_t) at + 1;
  return capuchin_reply_defer(reply);
}

static capuchin_next deferred_resume(
  capuchin_exchange *exchange, uint64_t value, capuchin_reply *reply)
{
  struct pending entry;

  /* A value that was another request's: the client has to see that something is wrong. */
  if (value + 1 != exchange->state[0]) {
    return CAPUCHIN_FAILED;
  }
  pthread_mutex_lock(&later_lock);
  entry = pending[value];
  pending[value].state = PENDING_FREE;
  pthread_mutex_unlock(&later_lock);
  exchange->state[0] = 0;
  if (entry.state != PENDING_FIRED) {
    return CAPUCHIN_FAILED;
  }
  fixture_plain_text(reply);
  return capuchin_reply_printf(reply, "%.*s\n", (int) entry.word_length, entry.word);
}

static void deferred_abandoned(capuchin_exchange *exchange)
{
  if (exchange->state[0] != 0) {
    pending_free((int) exchange->state[0] - 1);
    exchange->state[0] = 0;
  }
}

const capuchin_handler fixture_deferred = {
  .request = deferred_request, .resume = deferred_resume, .abandoned = deferred_abandoned
};

/* ---- drips ---- */

/*
 * State of a drip: the number of the next line in the lower half of the first number, and above it
 * that of the entry plus one while a pause is on; count and pause in the halves of the second.
 */
#define DRIP_ENTRY(state) ((int) ((state) >> 32) - 1)
#define DRIP_LINE(state) ((uint32_t) (state))

static capuchin_next drip_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  uint64_t count;
  uint64_t pause_ms;

  (void) request;
  if (
    !fixture_number_parameter(exchange, "count", UINT32_MAX, &count) ||
    !fixture_number_parameter(exchange, "ms", DELAY_LIMIT_MS, &pause_ms)) {
    return capuchin_reply_error(reply, 400, "a count and milliseconds");
  }
  exchange->state[0] = 0;
  exchange->state[1] = pause_ms << 32 | count;
  capuchin_reply_status(reply, 200);
  fixture_plain_text(reply);
  return capuchin_reply_stream(reply);
}

/* Whether the pause before the next line is over; takes an entry for it first. */
static capuchin_progress drip_pause(capuchin_exchange *exchange)
{
  const capuchin_text no_word = { NULL, 0 };
  int at = DRIP_ENTRY(exchange->state[0]);
  bool fired;

  if (at < 0) {
    at = pending_add(exchange, exchange->state[1] >> 32, no_word, false);
    if (at < 0) {
      return CAPUCHIN_BROKEN;
    }
    exchange->state[0] |= ((uint64_t) at + 1) << 32;
    return CAPUCHIN_WAIT;
  }
  pthread_mutex_lock(&later_lock);
  fired = pending[at].state == PENDING_FIRED;
  if (fired) {
    pending[at].state = PENDING_FREE;
  }
  pthread_mutex_unlock(&later_lock);
  if (!fired) {
    return CAPUCHIN_WAIT;
  }
  exchange->state[0] = DRIP_LINE(exchange->state[0]);
  return CAPUCHIN_MORE;
}

static capuchin_progress drip_piece(capuchin_exchange *exchange, capuchin_stream *out)
{
  uint32_t line = DRIP_LINE(exchange->state[0]);
  uint32_t count = (uint32_t) exchange->state[1];
  char text[16];
  int length;

  if (line == count) {
    return CAPUCHIN_DONE;
  }
  if (line > 0) {
    capuchin_progress progress = drip_pause(exchange);

    if (progress != CAPUCHIN_MORE) {
      return progress;
    }
  }
  exchange->state[0] = line + UINT64_C(1);
  length = snprintf(text, sizeof(text), "%" PRIu32 "\n", line);
  /* A line is far shorter than the room that is promised. */
  if (capuchin_stream_put(out, text, (size_t) length) != (size_t) length) {
    return CAPUCHIN_BROKEN;
  }
  return CAPUCHIN_MORE;
}

static void drip_abandoned(capuchin_exchange *exchange)
{
  int at = DRIP_ENTRY(exchange->state[0]);

  if (at >= 0) {
    pending_free(at);
    exchange->state[0] = DRIP_LINE(exchange->state[0]);
  }
}

const capuchin_handler fixture_drip = {
  .request = drip_request, .stream = drip_piece, .abandoned = drip_abandoned
};

/* ---- bodies that are taken slowly, and what is seen of their requests ---- */

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* State: bytes so far in the lower half, above it the entry's number plus one while a pause is on; the sum. */
static capuchin_next inspect_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) request;
  exchange->state[1] = FNV_START;
  return capuchin_reply_receive(reply);
}

/* Whether the pause before this piece is over; takes an entry for it first. An error status otherwise. */
static int inspect_pause(capuchin_exchange *exchange)
{
  const capuchin_text no_word = { NULL, 0 };
  int at = DRIP_ENTRY(exchange->state[0]);
  char text[16];
  uint64_t pause_ms = 0;
  int length = capuchin_request_query_value(exchange->request, "wait", text, sizeof(text));
  bool fired;

  if (length == CAPUCHIN_NO_VALUE) {
    return CAPUCHIN_BODY_TAKEN;
  }
  if (length < 0 || !fixture_number(text, (size_t) length, &pause_ms) || pause_ms > DELAY_LIMIT_MS) {
    return capuchin_refuse_body(exchange, 400, "milliseconds to wait");
  }
  if (at < 0) {
    at = pending_add(exchange, pause_ms, no_word, false);
    if (at < 0) {
      return 503;
    }
    exchange->state[0] |= ((uint64_t) at + 1) << 32;
    return CAPUCHIN_BODY_WAIT;
  }
  pthread_mutex_lock(&later_lock);
  fired = pending[at].state == PENDING_FIRED;
  if (fired) {
    pending[at].state = PENDING_FREE;
  }
  pthread_mutex_unlock(&later_lock);
  if (!fired) {
    return CAPUCHIN_BODY_WAIT;
  }
  exchange->state[0] = DRIP_LINE(exchange->state[0]);
  return CAPUCHIN_BODY_TAKEN;
}

static int inspect_body(capuchin_exchange *exchange, const void *piece, size_t length)
{
  const unsigned char *bytes = piece;
  int paused = inspect_pause(exchange);
  char text[2];
  size_t i;

  if (paused != CAPUCHIN_BODY_TAKEN) {
    return paused;
  }
  if (capuchin_request_query_value(exchange->request, "refuse", text, sizeof(text)) >= 0) {
    return capuchin_refuse_body(exchange, 422, "refused as asked");
  }
  for (i = 0; i < length; i++) {
    exchange->state[1] = (exchange->state[1] ^ bytes[i]) * FNV_PRIME;
  }
  exchange->state[0] += length;
  return CAPUCHIN_BODY_TAKEN;
}

static capuchin_next inspect_received(capuchin_exchange *exchange, capuchin_reply *reply)
{
  capuchin_text name = capuchin_parameter(exchange, "name");
  capuchin_text test = capuchin_request_field(exchange->request, "X-Test");
  char query[32];
  char announced[24] = "chunks";
  uint64_t length;
  size_t fields = 0;

  capuchin_request_query_value(exchange->request, "q", query, sizeof(query));
  if (capuchin_request_body_length(exchange->request, &length)) {
    snprintf(announced, sizeof(announced), "%" PRIu64, length);
  }
  while (capuchin_request_field_at(exchange->request, fields, NULL, NULL)) {
    fields++;
  }
  fixture_plain_text(reply);
  return capuchin_reply_printf(
    reply,
    "name %.*s\nquery %s\ntest %.*s\nannounced %s\nfields %u\n%" PRIu32 " %016" PRIx64 "\n",
    (int) name.length,
    name.data,
    query,
    (int) test.length,
    test.data,
    announced,
    (unsigned) fields,
    DRIP_LINE(exchange->state[0]),
    exchange->state[1]);
}

const capuchin_handler fixture_inspect = {
  .request = inspect_request,
  .body = inspect_body,
  .received = inspect_received,
  .abandoned = drip_abandoned
};

/* ---- what the image uses ---- */

#ifdef __rtems__
static capuchin_next resources_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  const capuchin_text no_word = { NULL, 0 };
  int at = pending_add(exchange, 0, no_word, true);

  (void) request;
  if (at < 0) {
    return no_entry(reply);
  }
  exchange->state[0] = (uint64_t) at + 1;
  return capuchin_reply_defer(reply);
}

static int write_resources(void *argument, char *buffer, size_t room)
{
  size_t length;

  (void) argument;
  pthread_mutex_lock(&later_lock);
  length = strlen(resources_text);
  if (length <= room) {
    memcpy(buffer, resources_text, length);
  }
  pthread_mutex_unlock(&later_lock);
  return length <= room ? (int) length : -1;
}

static capuchin_next resources_resume(
  capuchin_exchange *exchange, uint64_t value, capuchin_reply *reply)
{
  if (value + 1 != exchange->state[0]) {
    return CAPUCHIN_FAILED;
  }
  deferred_abandoned(exchange);
  fixture_plain_text(reply);
  return capuchin_reply_write(reply, write_resources, NULL);
}

const capuchin_handler fixture_resources = {
  .request = resources_request, .resume = resources_resume, .abandoned = deferred_abandoned
};
#endif
