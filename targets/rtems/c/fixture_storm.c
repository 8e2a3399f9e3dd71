/* SPDX-License-Identifier: MIT */

/*
 * Storms: eight threads send messages to the workers in turn, as fast as these take them. The
 * threads live as long as the server and wait for the next storm.
 */

#include "fixture.h"
#include "fixture_parts.h"

#include <inttypes.h>
#include <time.h>

/* Storms that may wait for the threads. */
#define STORMS 16

/* Messages of one thread. */
#define STORM_LIMIT 1000000u

/* Until the next attempt when a worker's queue is full. */
#define STORM_PAUSE_NS 100000

/* A message: the storm, the thread and the number. */
#define MESSAGE(storm, thread, number) \
  ((uint64_t) ((storm) & 0xffffu) << 48 | (uint64_t) (thread) << 40 | (uint64_t) (number))
#define MESSAGE_STORM(message) ((uint16_t) ((message) >> 48))
#define MESSAGE_THREAD(message) ((uint32_t) ((message) >> 40) & 0xffu)
#define MESSAGE_NUMBER(message) ((uint32_t) (message))

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint32_t workers;
  uint32_t started;                      /* storms so far */
  uint32_t done[FIXTURE_STORM_THREADS];  /* storms that each thread is done with */
  uint32_t counts[STORMS];               /* messages of each thread, by storm modulo STORMS */
  bool stopping;
  uint64_t sent;
  uint64_t seen;
  uint64_t disorder;
  /* What each worker saw last of each thread, and the task that it runs on. */
  bool known[FIXTURE_WORKERS][FIXTURE_STORM_THREADS];
  uint64_t last[FIXTURE_WORKERS][FIXTURE_STORM_THREADS];
  bool task_known[FIXTURE_WORKERS];
  pthread_t task[FIXTURE_WORKERS];
} storm;

/* With the lock held: how many threads have yet to finish how many storms. */
static uint32_t storm_running(void)
{
  uint32_t running = 0;
  size_t i;

  for (i = 0; i < FIXTURE_STORM_THREADS; i++) {
    running += storm.started - storm.done[i];
  }
  return running;
}

void fixture_storm_message(void *application, uint64_t message)
{
  uint32_t thread = MESSAGE_THREAD(message) % FIXTURE_STORM_THREADS;
  bool in_order = true;
  uint32_t worker;

  (void) application;
  pthread_mutex_lock(&storm.lock);
  /* Where it was sent to; that it is there is told by the task. */
  worker = (thread + MESSAGE_NUMBER(message)) % storm.workers;
  if (!storm.task_known[worker]) {
    storm.task_known[worker] = true;
    storm.task[worker] = pthread_self();
  } else if (!pthread_equal(storm.task[worker], pthread_self())) {
    in_order = false;
  }
  if (storm.known[worker][thread]) {
    uint64_t last = storm.last[worker][thread];

    /* A thread's storms follow one another; their numbers wrap. */
    if (MESSAGE_STORM(message) == MESSAGE_STORM(last)) {
      in_order = in_order && MESSAGE_NUMBER(message) > MESSAGE_NUMBER(last);
    } else {
      in_order = in_order && (uint16_t) (MESSAGE_STORM(message) - MESSAGE_STORM(last)) < 0x8000;
    }
  }
  storm.known[worker][thread] = true;
  storm.last[worker][thread] = message;
  storm.seen++;
  if (!in_order) {
    storm.disorder++;
  }
  pthread_mutex_unlock(&storm.lock);
}

/* Sends until a notifier takes it; false when the server is about to stop. */
static bool storm_send(capuchin_server *server, uint32_t worker, uint64_t message)
{
  const struct timespec pause = { 0, STORM_PAUSE_NS };
  rtems_status_code status;
  bool stopping;

  for (;;) {
    status = capuchin_send(server, (uint16_t) worker, message);
    pthread_mutex_lock(&storm.lock);
    if (status == RTEMS_SUCCESSFUL) {
      storm.sent++;
    }
    stopping = storm.stopping;
    pthread_mutex_unlock(&storm.lock);
    if (stopping || (status != RTEMS_SUCCESSFUL && status != RTEMS_TOO_MANY)) {
      return false;
    }
    if (status == RTEMS_SUCCESSFUL) {
      return true;
    }
    nanosleep(&pause, NULL);
  }
}

void *fixture_storm_thread(void *number)
{
  uint32_t thread = (uint32_t) (uintptr_t) number;
  uint32_t *done = &storm.done[thread];
  capuchin_server *server = fixture_running_server();

  pthread_mutex_lock(&storm.lock);
  for (;;) {
    uint32_t current;
    uint32_t count;
    uint32_t i;

    while (*done == storm.started) {
      pthread_cond_wait(&storm.changed, &storm.lock);
    }
    current = *done;
    count = storm.counts[current % STORMS];
    pthread_mutex_unlock(&storm.lock);
    for (i = 0; i < count; i++) {
      if (!storm_send(server, (thread + i) % storm.workers, MESSAGE(current, thread, i))) {
        break;
      }
    }
    pthread_mutex_lock(&storm.lock);
    *done = current + 1;
    pthread_cond_broadcast(&storm.changed);
  }
  return NULL;
}

static capuchin_next start_storm(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  uint64_t count;
  bool room = true;
  size_t i;

  (void) request;
  if (!fixture_number_parameter(exchange, "n", STORM_LIMIT, &count)) {
    return capuchin_reply_error(reply, 400, "a number up to a million");
  }
  pthread_mutex_lock(&storm.lock);
  for (i = 0; i < FIXTURE_STORM_THREADS; i++) {
    room = room && storm.started - storm.done[i] < STORMS;
  }
  room = room && !storm.stopping;
  if (room) {
    storm.counts[storm.started % STORMS] = (uint32_t) count;
    storm.started++;
    pthread_cond_broadcast(&storm.changed);
  }
  pthread_mutex_unlock(&storm.lock);
  if (!room) {
    return capuchin_reply_error(reply, 503, "too many storms");
  }
  capuchin_reply_status(reply, 202);
  fixture_plain_text(reply);
  return capuchin_reply_body(reply, "started\n", 8);
}

static capuchin_next show_storm(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  uint64_t sent;
  uint64_t seen;
  uint64_t disorder;
  uint32_t running;

  (void) exchange;
  (void) request;
  pthread_mutex_lock(&storm.lock);
  sent = storm.sent;
  seen = storm.seen;
  disorder = storm.disorder;
  running = storm_running();
  pthread_mutex_unlock(&storm.lock);
  fixture_plain_text(reply);
  return capuchin_reply_printf(
    reply,
    "sent %" PRIu64 "\nseen %" PRIu64 "\ndisorder %" PRIu64 "\nrunning %" PRIu32 "\n",
    sent,
    seen,
    disorder,
    running);
}

const capuchin_handler fixture_start_storm = { .request = start_storm };
const capuchin_handler fixture_show_storm = { .request = show_storm };

int fixture_storm_prepare(uint32_t workers)
{
  int error = fixture_make_lock(&storm.lock);

  storm.workers = workers;
  return error != 0 ? error : fixture_make_condition(&storm.changed);
}

void fixture_storm_end(void)
{
  pthread_mutex_lock(&storm.lock);
  storm.stopping = true;
  while (storm_running() != 0) {
    pthread_cond_wait(&storm.changed, &storm.lock);
  }
  pthread_mutex_unlock(&storm.lock);
}
