/* SPDX-License-Identifier: MIT */

/*
 * Serves a directory of RTEMS's file system, here of the IMFS in memory: two files that are written
 * at start. init_example.c brings up the network and calls example_start().
 *
 *   curl http://device/
 *   curl http://device/log.txt
 *   curl -r 0-9 http://device/log.txt
 */

#include "example.h"

#include "capuchin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORY "/www"
#define LINES 200

static bool write_page(void)
{
  FILE *file = fopen(DIRECTORY "/index.html", "w");

  if (file == NULL) {
    return false;
  }
  fputs("<!doctype html>\n<title>Files</title>\n<p><a href=\"log.txt\">The log</a>\n", file);
  return fclose(file) == 0;
}

static bool write_log(void)
{
  FILE *file = fopen(DIRECTORY "/log.txt", "w");

  if (file == NULL) {
    return false;
  }
  for (int line = 1; line <= LINES; line++) {
    fprintf(file, "line %3d of %d\n", line, LINES);
  }
  return fclose(file) == 0;
}

/* As many as the image has: see CONFIGURE_MAXIMUM_FILE_DESCRIPTORS in config.h. */
#ifdef CAPUCHIN_STACK_LIBBSD
#define DESCRIPTORS 4096
#else
#define DESCRIPTORS 64
#endif

/*
 * The server's memory, aligned by its type: the default sizes but for descriptors. No routes and
 * no pages: the directory is all there is.
 */
#define MEMORY_SIZE                                                           \
  (CAPUCHIN_MEMORY_SIZE(1u, 32u, 6u, 2048u, 32u, 32u, DESCRIPTORS, 0u, 0u) + \
   CAPUCHIN_MEMORY_SIZE_DIRECTORY(1u, 6u))
static uint64_t memory[MEMORY_SIZE / sizeof(uint64_t) + 1];

void example_start(void)
{
  capuchin_config config = CAPUCHIN_CONFIG_DEFAULT;
  capuchin_server *server;
  rtems_status_code status;

  if (mkdir(DIRECTORY, 0755) != 0 || !write_page() || !write_log()) {
    printf("example: %s cannot be filled: %s\n", DIRECTORY, strerror(errno));
    return;
  }
  config.directory = DIRECTORY;
  config.descriptors = DESCRIPTORS;
  config.memory = memory;
  config.memory_size = sizeof(memory);

  status = capuchin_start(&config, &server);
  if (status != RTEMS_SUCCESSFUL) {
    printf("example: no web interface: status %d\n", (int) status);
    return;
  }
  printf("ready\n");
  fflush(stdout);
}
