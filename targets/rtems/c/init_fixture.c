/* SPDX-License-Identifier: MIT */

/*
 * The image of the fixture server. Its settings come with the boot command line, as options of
 * fixture_set() with commas between them:
 *
 *   --fixture=timeout.idle=500,limit.connections=16,workers=2
 *
 * The settings of the black-box suites (tests/src/suites/mod.rs), by their names there:
 *
 *   Plain  --fixture=timeout.drain=2000
 *   Hasty  --fixture=timeout.first_byte=500,timeout.head=500,timeout.body=500,timeout.handler=800,timeout.write=1000,timeout.idle=500,timeout.linger=500,timeout.drain=1000
 *   Tight  --fixture=limit.connections=8,limit.requests_per_connection=50,limit.body_bytes=200000,limit.drain_bytes=20000
 *   Alone  --fixture=timeout.first_byte=2000,timeout.head=2000,timeout.body=2000,timeout.handler=2000,timeout.write=2000,timeout.idle=2000,timeout.linger=1000,timeout.drain=2000
 *
 * with ",workers=2" behind it where two workers are tested; Tight is for one only. pc386 keeps 255
 * bytes of the command line, the image's path included.
 */

#include "fixture.h"
#include "network.h"

#include <rtems.h>
#include <rtems/bspcmdline.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "--fixture="

/* 0, or -1 after a line on the option that is none. */
static int read_options(struct fixture_options *options)
{
  const char *text = rtems_bsp_cmdline_get_param_raw(PREFIX);

  if (text == NULL) {
    return 0;
  }
  text += strlen(PREFIX);
  for (;;) {
    size_t length = strcspn(text, ", ");

    if (length > 0 && !fixture_set(options, text, length)) {
      printf("fixture: '%.*s' on the command line is no option\n", (int) length, text);
      return -1;
    }
    if (text[length] != ',') {
      return 0;
    }
    text += length + 1;
  }
}

/* The same time of day at each boot, whatever the clock of the board (config.h) has said. */
static void set_clock(void)
{
  static const rtems_time_of_day now = { 2026, 11, 1, 12, 0, 0, 0 };

  (void) rtems_clock_set(&now);
}

static rtems_task Init(rtems_task_argument argument)
{
  struct fixture_options options = FIXTURE_OPTIONS_DEFAULT;
  capuchin_server *server;

  (void) argument;
  set_clock();
  if (
    read_options(&options) == 0 && capuchin_example_network_start() == 0 &&
    fixture_start(&options, &server) == 0) {
    printf("ready\n");
    fflush(stdout);
  }
  rtems_task_exit();
}

#define CONFIGURE_MAXIMUM_FILE_DESCRIPTORS FIXTURE_DESCRIPTORS

/* libbsd's configuration has as many objects as there is memory for. */
#ifndef CAPUCHIN_STACK_LIBBSD
/* The stack, its driver and what listens beside it have four tasks, the server up to four; Init. */
#define CONFIGURE_MAXIMUM_TASKS 16
/* One for each worker and one for the acceptor. */
#define CONFIGURE_MAXIMUM_MESSAGE_QUEUES (FIXTURE_WORKERS + 1)
#define CONFIGURE_MAXIMUM_POSIX_THREADS FIXTURE_THREADS
#endif

#define CONFIGURE_INIT
#include "config.h"
