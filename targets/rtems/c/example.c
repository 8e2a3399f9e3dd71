/* SPDX-License-Identifier: MIT */

/*
 * A web interface for a small device: a page with live values, switches, a reply that takes time,
 * and a firmware upload. Copy it and make it yours; init_example.c brings up the network and calls
 * example_start().
 *
 *   curl http://device/api/status
 *   curl http://device/led/2
 *   curl -X PUT -d on http://device/led/2
 *   curl http://device/slow
 *   curl 'http://device/greet?name=J%C3%B6rg'
 *   curl --data-binary @image.bin http://device/firmware
 */

#include "example.h"
#include "example_page.h"

#include "capuchin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifdef __rtems__
#include <rtems/libcsupport.h>
#endif

#ifndef EXAMPLE_PORT
#define EXAMPLE_PORT 80
#endif

/* Set by capuchin_start() before the first request; NULL when there is no web interface. */
static capuchin_server *the_server;

/* ---- GET /api/status: values of this moment as JSON ---- */

#define LEDS 4

/* Only handlers use it, and with one worker these run one after another: it needs no lock. */
static bool led_is_on[LEDS];

/* Bytes that malloc() has left, or -1 where nobody knows. */
static long free_heap(void)
{
#ifdef __rtems__
  Heap_Information_block heap;

  if (malloc_info(&heap) == 0) {
    return (long) heap.Free.total;
  }
#endif
  return -1;
}

/*
 * Text of a size that is not known beforehand goes straight into the reply's buffer. The result is
 * its length; a result that is negative or has no room for the NUL tells that it did not fit.
 */
static int write_status(void *argument, char *buffer, size_t room)
{
  const capuchin_exchange *exchange = argument;
  const char *const names[] = { "false", "true" };
  uint32_t requests = capuchin_counter(the_server, "requests");
  uint32_t connections = capuchin_counter(the_server, "connections_open");
  long heap_free = free_heap();
  char heap[24] = "null";
  int length;

  if (heap_free >= 0) {
    snprintf(heap, sizeof(heap), "%ld", heap_free);
  }
  length = snprintf(
    buffer,
    room,
    "{\"uptime\":%" PRIu64 ",\"heap_free\":%s,\"requests\":%" PRIu32 ",\"connections\":%" PRIu32
    ",\"leds\":[%s,%s,%s,%s]}\n",
    exchange->now_ms / 1000,
    heap,
    requests,
    connections,
    names[led_is_on[0]],
    names[led_is_on[1]],
    names[led_is_on[2]],
    names[led_is_on[3]]);
  return length >= 0 && (size_t) length < room ? length : -1;
}

static capuchin_next status_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) request;
  /* First the fields, then the one call that ends the reply; its result is the handler's. */
  capuchin_reply_field(reply, "Content-Type", "application/json");
  capuchin_reply_field(reply, "Cache-Control", "no-store");
  return capuchin_reply_write(reply, write_status, exchange);
}

/* ---- GET and PUT /led/:id: a parameter in the path, a small body ---- */

/* The number that ":id" stands for, or -1. What a client sent may hold any byte. */
static int led_of(const capuchin_exchange *exchange)
{
  capuchin_text id = capuchin_parameter(exchange, "id");

  if (id.length != 1 || id.data[0] < '0' || id.data[0] >= '0' + LEDS) {
    return -1;
  }
  return id.data[0] - '0';
}

static capuchin_next led_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  int led = led_of(exchange);

  if (led < 0) {
    return capuchin_reply_error(reply, 404, "there is no such LED");
  }
  if (capuchin_request_method(request) == CAPUCHIN_PUT) {
    /* led_collected() is called when the whole body is there. */
    return capuchin_reply_collect(reply);
  }
  return capuchin_reply_text(reply, led_is_on[led] ? "on\n" : "off\n");
}

static capuchin_next led_collected(
  capuchin_exchange *exchange,
  const capuchin_request *request,
  const void *body,
  size_t length,
  capuchin_reply *reply)
{
  int led = led_of(exchange);

  (void) request;
  if (length == 2 && memcmp(body, "on", 2) == 0) {
    led_is_on[led] = true;
  } else if (length == 3 && memcmp(body, "off", 3) == 0) {
    led_is_on[led] = false;
  } else {
    return capuchin_reply_error(reply, 400, "a LED is 'on' or 'off'");
  }
  /* Here a real device would switch it. */
  capuchin_reply_status(reply, 204);
  return capuchin_reply_empty(reply);
}

/* ---- GET /greet?name=...: a parameter in the query ---- */

static capuchin_next greet_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  char name[64];
  char client[54];

  if (capuchin_request_query_value(request, "name", name, sizeof(name)) <= 0) {
    return capuchin_reply_error(reply, 400, "say who you are: /greet?name=...");
  }
  capuchin_client_address(exchange, client, sizeof(client));
  capuchin_reply_field(reply, "Content-Type", "text/plain; charset=utf-8");
  return capuchin_reply_printf(reply, "hello %s at %s\n", name, client);
}

/* ---- GET /slow: a reply that another task completes ---- */

/*
 * Handlers must not block, since all other clients would wait with them. What takes time is handed
 * to a task of the application with the ticket of the request; the worker goes on meanwhile.
 */

/* Tickets that wait for the task: a ring. */
#define JOBS 8

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  capuchin_ticket tickets[JOBS];
  unsigned first;
  unsigned count;
} jobs = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static capuchin_next slow_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  bool taken = false;

  (void) request;
  pthread_mutex_lock(&jobs.lock);
  if (jobs.count < JOBS) {
    jobs.tickets[(jobs.first + jobs.count) % JOBS] = exchange->ticket;
    jobs.count++;
    taken = true;
    pthread_cond_signal(&jobs.changed);
  }
  pthread_mutex_unlock(&jobs.lock);
  /* Say no at once rather than let clients wait for ever. */
  if (!taken) {
    return capuchin_reply_error(reply, 503, "too many are waiting already");
  }
  return capuchin_reply_defer(reply);
}

/* On the worker's task again, with the value that the other task gave to capuchin_complete(). */
static capuchin_next slow_resume(
  capuchin_exchange *exchange, uint64_t value, capuchin_reply *reply)
{
  (void) exchange;
  capuchin_reply_field(reply, "Content-Type", "text/plain");
  return capuchin_reply_printf(reply, "measured %" PRIu64 "\n", value);
}

/* Stands for a measurement that takes a second. */
static uint64_t measure(void)
{
  const struct timespec second = { 1, 0 };
  static uint64_t value = 40;

  nanosleep(&second, NULL);
  return ++value;
}

static void *job_thread(void *argument)
{
  const struct timespec moment = { 0, 10000000 };

  (void) argument;
  for (;;) {
    capuchin_ticket ticket;
    uint64_t value;

    pthread_mutex_lock(&jobs.lock);
    while (jobs.count == 0) {
      pthread_cond_wait(&jobs.changed, &jobs.lock);
    }
    ticket = jobs.tickets[jobs.first];
    jobs.first = (jobs.first + 1) % JOBS;
    jobs.count--;
    pthread_mutex_unlock(&jobs.lock);

    value = measure();
    /*
     * A client that went away meanwhile is no error. Only when very many messages are under way
     * to the worker, it has to be tried again; any other error would stay.
     */
    while (capuchin_complete(the_server, ticket, value) == RTEMS_TOO_MANY) {
      nanosleep(&moment, NULL);
    }
  }
  return NULL;
}

/* ---- POST /firmware: a body of any size, piece by piece ---- */

/* Say how much you have room for: more is refused with 413 as soon as it shows. */
#define FIRMWARE_LIMIT (8u * 1024u * 1024u)
#define FIRMWARE_TOO_LARGE "the image is larger than the flash"

/* State of a request: two numbers, zero at its beginning. Here the bytes so far and their CRC. */
#define FIRMWARE_BYTES 0
#define FIRMWARE_CRC 1

/* The CRC-32 of zip, gzip and Ethernet, by half bytes: 16 words of table instead of 256. */
static uint32_t crc32_add(uint32_t crc, const unsigned char *bytes, size_t length)
{
  static const uint32_t table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c
  };
  size_t i;

  crc = ~crc;
  for (i = 0; i < length; i++) {
    crc ^= bytes[i];
    crc = table[crc & 15] ^ crc >> 4;
    crc = table[crc & 15] ^ crc >> 4;
  }
  return ~crc;
}

static capuchin_next firmware_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  uint64_t length;

  (void) exchange;
  if (capuchin_request_body_length(request, &length) && length > FIRMWARE_LIMIT) {
    return capuchin_reply_error(reply, 413, FIRMWARE_TOO_LARGE);
  }
  return capuchin_reply_receive(reply);
}

/*
 * The piece is the server's buffer: use it or copy it now. Where flash has to be erased or written first,
 * a real device would hand that to a task with exchange->ticket and return CAPUCHIN_BODY_WAIT: the server
 * takes no more from this client, and calls again with the same piece when the task calls
 * capuchin_complete().
 */
static int firmware_body(capuchin_exchange *exchange, const void *piece, size_t length)
{
  if (length > FIRMWARE_LIMIT - exchange->state[FIRMWARE_BYTES]) {
    return capuchin_refuse_body(exchange, 413, FIRMWARE_TOO_LARGE);
  }
  exchange->state[FIRMWARE_BYTES] += length;
  exchange->state[FIRMWARE_CRC] =
    crc32_add((uint32_t) exchange->state[FIRMWARE_CRC], piece, length);
  return 0;
}

static capuchin_next firmware_received(capuchin_exchange *exchange, capuchin_reply *reply)
{
  capuchin_reply_field(reply, "Content-Type", "text/plain");
  return capuchin_reply_printf(
    reply,
    "%" PRIu64 " bytes, CRC-32 %08" PRIx64 "\n",
    exchange->state[FIRMWARE_BYTES],
    exchange->state[FIRMWARE_CRC]);
}

/* The client broke off in the middle, or was refused: forget what has come. */
static void firmware_abandoned(capuchin_exchange *exchange)
{
  printf(
    "example: an upload ended after %" PRIu64 " bytes\n", exchange->state[FIRMWARE_BYTES]);
}

/* ---- the tables ---- */

static const capuchin_handler status_handler = { .request = status_request };
static const capuchin_handler led_handler = {
  .request = led_request, .collected = led_collected
};
static const capuchin_handler slow_handler = { .request = slow_request, .resume = slow_resume };
static const capuchin_handler greet_handler = { .request = greet_request };
static const capuchin_handler firmware_handler = {
  .request = firmware_request,
  .body = firmware_body,
  .received = firmware_received,
  .abandoned = firmware_abandoned
};

static const capuchin_route routes[] = {
  { CAPUCHIN_GET, "/api/status", &status_handler, NULL },
  { CAPUCHIN_GET, "/led/:id", &led_handler, NULL },
  { CAPUCHIN_PUT, "/led/:id", &led_handler, NULL },
  { CAPUCHIN_GET, "/slow", &slow_handler, NULL },
  { CAPUCHIN_GET, "/greet", &greet_handler, NULL },
  { CAPUCHIN_POST, "/firmware", &firmware_handler, NULL },
};

static const capuchin_page pages[] = {
  {
    .path = "/",
    .content = example_page,
    .length = sizeof(example_page) - 1,
    .cache_control = "no-cache"
  },
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))
#define PAGES (sizeof(pages) / sizeof(pages[0]))

/* As many as the image has: see CONFIGURE_MAXIMUM_FILE_DESCRIPTORS in config.h. */
#ifndef EXAMPLE_DESCRIPTORS
#ifdef CAPUCHIN_STACK_LIBBSD
#define EXAMPLE_DESCRIPTORS 4096
#else
#define EXAMPLE_DESCRIPTORS 64
#endif
#endif

/* All that the server ever uses, and aligned by its type: the default sizes but for descriptors. */
#define MEMORY_SIZE CAPUCHIN_MEMORY_SIZE_DESCRIPTORS(EXAMPLE_DESCRIPTORS, ROUTES, PAGES)
static uint64_t memory[MEMORY_SIZE / sizeof(uint64_t) + 1];

void example_start(void)
{
  capuchin_config config = CAPUCHIN_CONFIG_DEFAULT;
  rtems_status_code status;
  pthread_t thread;
  int error;

  config.port = EXAMPLE_PORT;
#ifdef SERVER_PRIORITY
  config.priority = SERVER_PRIORITY;
#endif
  config.descriptors = EXAMPLE_DESCRIPTORS;
  config.routes = routes;
  config.route_count = ROUTES;
  config.pages = pages;
  config.page_count = PAGES;
  /* What the application takes from anybody on the network is worth a limit or two. */
  config.limits.body_ms = 10000;
  config.limits.handler_ms = 15000;
  config.memory = memory;
  config.memory_size = sizeof(memory);

  status = capuchin_start(&config, &the_server);
  if (status != RTEMS_SUCCESSFUL) {
    /* The server has said why; a device does its work without a web page, too. */
    printf("example: no web interface: status %d\n", (int) status);
    return;
  }
  /* Jobs that came before their thread have waited in the ring. */
  error = pthread_create(&thread, NULL, job_thread, NULL);
  if (error != 0) {
    printf("example: /slow will not be answered: %s\n", strerror(error));
  }
  printf("ready\n");
  fflush(stdout);
}
