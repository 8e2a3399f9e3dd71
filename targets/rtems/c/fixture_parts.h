/* SPDX-License-Identifier: MIT */

/* What the parts of the fixture server share; fixture.h is for those who start it. */

#ifndef FIXTURE_PARTS_H
#define FIXTURE_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capuchin.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- fixture.c ---- */

/* A decimal number and nothing else. */
bool fixture_number(const char *text, size_t length, uint64_t *number);

/* Both return an error number. */
int fixture_make_lock(pthread_mutex_t *lock);
int fixture_make_condition(pthread_cond_t *condition);

/* ---- fixture_replies.c: replies at once, bodies, streams ---- */

extern const capuchin_handler fixture_hello;
extern const capuchin_handler fixture_empty;
extern const capuchin_handler fixture_close;
extern const capuchin_handler fixture_echo_word;
extern const capuchin_handler fixture_field;
extern const capuchin_handler fixture_led;
extern const capuchin_handler fixture_set_led;
extern const capuchin_handler fixture_counters;
extern const capuchin_handler fixture_echo;
extern const capuchin_handler fixture_upload;
/* Their argument is a bool: whether the length is told before the content. */
extern const capuchin_handler fixture_stream;

/* The pattern's period: a prime, so that no power of two hides a shift. */
#define PATTERN_PERIOD 251u

/* Before the server starts. */
void fixture_make_pattern(void);

/* Up to 64 letters and digits. */
#define WORD_BYTES 64
bool fixture_word_parameter(const capuchin_exchange *exchange, capuchin_text *word);

bool fixture_number_parameter(
  const capuchin_exchange *exchange, const char *name, uint64_t limit, uint64_t *number);

void fixture_plain_text(capuchin_reply *reply);

/* ---- fixture_later.c: replies that the timer thread completes ---- */

extern const capuchin_handler fixture_drip;
extern const capuchin_handler fixture_deferred;
extern const capuchin_handler fixture_inspect;
#ifdef __rtems__
extern const capuchin_handler fixture_resources;
#endif

/* Before the server starts; an error number. */
int fixture_later_prepare(void);

/* Once it runs, before the threads start. */
void fixture_later_begin(capuchin_server *server);
void *fixture_later_thread(void *unused);

/* NULL for the moment between the first request and the return of capuchin_start(). */
capuchin_server *fixture_running_server(void);

/* ---- fixture_storm.c ---- */

extern const capuchin_handler fixture_start_storm;
extern const capuchin_handler fixture_show_storm;

/* Before the server starts; an error number. */
int fixture_storm_prepare(uint32_t workers);

/* number is the thread's, from 0. */
void *fixture_storm_thread(void *number);
void fixture_storm_message(void *application, uint64_t message);

/* Ends all storms and waits for them. */
void fixture_storm_end(void);

/* ---- fixture_site.c ---- */

#define FIXTURE_PAGES 21
extern const capuchin_page fixture_pages[FIXTURE_PAGES];

/* Before the server starts. */
void fixture_make_pages(void);

#endif
