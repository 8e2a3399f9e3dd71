/* SPDX-License-Identifier: MIT */

/*
 * Replies at once, bodies and streams: handlers that need nobody else. What a request's state holds
 * is said where it is set.
 */

#include "fixture_parts.h"

#include <inttypes.h>

/* ---- parameters ---- */

bool fixture_number_parameter(
  const capuchin_exchange *exchange, const char *name, uint64_t limit, uint64_t *number)
{
  capuchin_text text = capuchin_parameter(exchange, name);

  return text.data != NULL && fixture_number(text.data, text.length, number) && *number <= limit;
}

bool fixture_word_parameter(const capuchin_exchange *exchange, capuchin_text *word)
{
  size_t i;

  *word = capuchin_parameter(exchange, "word");
  if (word->data == NULL || word->length > WORD_BYTES) {
    return false;
  }
  for (i = 0; i < word->length; i++) {
    char c = word->data[i];

    if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) {
      return false;
    }
  }
  return true;
}

void fixture_plain_text(capuchin_reply *reply)
{
  capuchin_reply_field(reply, "Content-Type", "text/plain");
}

/* ---- replies at once ---- */

static capuchin_next hello(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  return capuchin_reply_text(reply, "hello\n");
}

static capuchin_next empty(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  capuchin_reply_status(reply, 200);
  fixture_plain_text(reply);
  return capuchin_reply_empty(reply);
}

static capuchin_next closing(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  capuchin_reply_close(reply);
  return capuchin_reply_text(reply, "closing\n");
}

static capuchin_next echo_word(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  capuchin_text word;

  (void) request;
  if (!fixture_word_parameter(exchange, &word)) {
    return capuchin_reply_error(reply, 400, "a word has up to 64 letters and digits");
  }
  fixture_plain_text(reply);
  return capuchin_reply_printf(reply, "%.*s\n", (int) word.length, word.data);
}

static capuchin_next field(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  capuchin_text value = capuchin_parameter(exchange, "value");

  (void) request;
  capuchin_reply_status(reply, 200);
  /* What may not stand in a field is the engine's to refuse. */
  capuchin_reply_field_bytes(reply, "X-Value", value.data, value.length);
  fixture_plain_text(reply);
  return capuchin_reply_body(reply, "field\n", 6);
}

static capuchin_next led(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  capuchin_text id = capuchin_parameter(exchange, "id");

  (void) request;
  fixture_plain_text(reply);
  return capuchin_reply_printf(reply, "led %.*s\n", (int) id.length, id.data);
}

static capuchin_next set_led(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  capuchin_reply_status(reply, 204);
  return capuchin_reply_empty(reply);
}

static int write_counters(void *server, char *buffer, size_t room)
{
  int length = capuchin_counters_text(server, buffer, room);

  /* What needs the NUL's place has been cut. */
  return length >= 0 && (size_t) length < room ? length : -1;
}

static capuchin_next counters(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  capuchin_server *server = fixture_running_server();

  (void) exchange;
  (void) request;
  if (server == NULL) {
    return capuchin_reply_error(reply, 503, "starting");
  }
  fixture_plain_text(reply);
  return capuchin_reply_write(reply, write_counters, server);
}

const capuchin_handler fixture_hello = { .request = hello };
const capuchin_handler fixture_empty = { .request = empty };
const capuchin_handler fixture_close = { .request = closing };
const capuchin_handler fixture_echo_word = { .request = echo_word };
const capuchin_handler fixture_field = { .request = field };
const capuchin_handler fixture_led = { .request = led };
const capuchin_handler fixture_set_led = { .request = set_led };
const capuchin_handler fixture_counters = { .request = counters };

/* ---- bodies ---- */

static capuchin_next echo_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  return capuchin_reply_collect(reply);
}

static capuchin_next echo_collected(
  capuchin_exchange *exchange,
  const capuchin_request *request,
  const void *body,
  size_t length,
  capuchin_reply *reply)
{
  (void) exchange;
  (void) request;
  capuchin_reply_status(reply, 200);
  capuchin_reply_field(reply, "Content-Type", "application/octet-stream");
  return capuchin_reply_body(reply, body, length);
}

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* State of an upload: the bytes so far and their checksum. */
static capuchin_next upload_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  (void) request;
  exchange->state[1] = FNV_START;
  return capuchin_reply_receive(reply);
}

static int upload_body(capuchin_exchange *exchange, const void *piece, size_t length)
{
  const unsigned char *bytes = piece;
  uint64_t sum = exchange->state[1];
  size_t i;

  for (i = 0; i < length; i++) {
    sum = (sum ^ bytes[i]) * FNV_PRIME;
  }
  exchange->state[0] += length;
  exchange->state[1] = sum;
  return 0;
}

static capuchin_next upload_received(capuchin_exchange *exchange, capuchin_reply *reply)
{
  fixture_plain_text(reply);
  return capuchin_reply_printf(
    reply, "%" PRIu64 " %016" PRIx64 "\n", exchange->state[0], exchange->state[1]);
}

const capuchin_handler fixture_echo = { .request = echo_request, .collected = echo_collected };
const capuchin_handler fixture_upload = {
  .request = upload_request, .body = upload_body, .received = upload_received
};

/* ---- streams ---- */

#define PATTERN_SEED_LIMIT 250u

/* Bytes of 0 to 250 twice: any stretch of the pattern of up to 251 bytes lies within. */
static unsigned char pattern_table[2 * PATTERN_PERIOD];

void fixture_make_pattern(void)
{
  size_t i;

  for (i = 0; i < sizeof(pattern_table); i++) {
    pattern_table[i] = (unsigned char) (i % PATTERN_PERIOD);
  }
}

/* State of a stream: bytes left, and the next byte's position plus the seed. */
static capuchin_next stream_request(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  const bool *sized = exchange->argument;
  uint64_t bytes;
  uint64_t seed = 0;

  (void) request;
  if (
    !fixture_number_parameter(exchange, "bytes", UINT64_MAX, &bytes) ||
    (capuchin_parameter(exchange, "seed").data != NULL &&
     !fixture_number_parameter(exchange, "seed", PATTERN_SEED_LIMIT, &seed))) {
    return capuchin_reply_error(reply, 400, "a number of bytes, and a seed up to 250");
  }
  exchange->state[0] = bytes;
  exchange->state[1] = seed;
  capuchin_reply_status(reply, 200);
  capuchin_reply_field(reply, "Content-Type", "application/octet-stream");
  return *sized ? capuchin_reply_stream_of(reply, bytes) : capuchin_reply_stream(reply);
}

static capuchin_progress stream_piece(capuchin_exchange *exchange, capuchin_stream *out)
{
  uint64_t left = exchange->state[0];
  uint64_t position = exchange->state[1];

  while (left > 0) {
    size_t wanted = left < PATTERN_PERIOD ? (size_t) left : PATTERN_PERIOD;
    size_t put = capuchin_stream_put(out, &pattern_table[position % PATTERN_PERIOD], wanted);

    left -= put;
    position += put;
    if (put < wanted) {
      break;
    }
  }
  exchange->state[0] = left;
  exchange->state[1] = position;
  return left == 0 ? CAPUCHIN_DONE : CAPUCHIN_MORE;
}

const capuchin_handler fixture_stream = { .request = stream_request, .stream = stream_piece };
