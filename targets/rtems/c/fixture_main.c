/* SPDX-License-Identifier: MIT */

/*
 * The fixture server as a program, for systems that are no RTEMS: the library's test doubles stand
 * in for its directives there. The command line is that of tests/FIXTURE.md.
 */

#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_WRONG 2

/* What --listen says, without brackets and port. */
static char address[64];

/* Ends the program with one sentence. */
static void wrong(const char *option, const char *value, const char *why)
{
  fprintf(
    stderr,
    "fixture: %s%s%s%s\n",
    option,
    value != NULL ? " " : "",
    value != NULL ? value : "",
    why);
  exit(EXIT_WRONG);
}

static void parse_number_option(
  struct fixture_options *options, const char *prefix, const char *value, const char *option)
{
  char text[96];
  int length = snprintf(text, sizeof(text), "%s%s", prefix, value);

  if (
    length < 0 || (size_t) length >= sizeof(text) ||
    !fixture_set(options, text, (size_t) length)) {
    wrong(option, value, " is not a known name and a number");
  }
}

static void parse_listen(struct fixture_options *options, const char *value)
{
  const char *colon = strrchr(value, ':');
  size_t length;

  if (colon == NULL) {
    wrong("--listen", value, " is no ADDR:PORT");
    return;
  }
  length = (size_t) (colon - value);
  if (length >= 2 && value[0] == '[' && value[length - 1] == ']') {
    value++;
    length -= 2;
  }
  if (length == 0 || length >= sizeof(address)) {
    wrong("--listen", value, " is no ADDR:PORT");
    return;
  }
  memcpy(address, value, length);
  address[length] = '\0';
  options->address = address;
  parse_number_option(options, "port=", colon + 1, "--listen");
}

/* Tells whether the end of standard input ends the server. */
static bool parse(struct fixture_options *options, int count, char **words)
{
  bool until_eof = false;
  int i;

  for (i = 1; i < count; i++) {
    const char *option = words[i];
    const char *value;

    if (strcmp(option, "--until-eof") == 0) {
      until_eof = true;
      continue;
    }
    if (i + 1 == count) {
      wrong(option, NULL, " needs a value, or is no option");
    }
    value = words[++i];
    if (strcmp(option, "--listen") == 0) {
      parse_listen(options, value);
    } else if (strcmp(option, "--site") == 0) {
      options->directory = value;
    } else if (strcmp(option, "--workers") == 0) {
      parse_number_option(options, "workers=", value, option);
    } else if (strcmp(option, "--timeout") == 0) {
      parse_number_option(options, "timeout.", value, option);
    } else if (strcmp(option, "--limit") == 0) {
      parse_number_option(options, "limit.", value, option);
    } else if (
      strcmp(option, "--accept") != 0 ||
      (strcmp(value, "each") != 0 && strcmp(value, "one") != 0)) {
      /* One task accepts for all workers whatever --accept says: there is no other way here. */
      wrong("there is no option", option, "");
    }
  }
  return until_eof;
}

/* Turns the end of standard input into the signal that ends the program anyway. */
static void *wait_for_eof(void *argument)
{
  char bytes[256];

  (void) argument;
  while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0) {
  }
  kill(getpid(), SIGTERM);
  return NULL;
}

int main(int count, char **words)
{
  struct fixture_options options = FIXTURE_OPTIONS_DEFAULT;
  capuchin_server *server;
  pthread_t thread;
  sigset_t ends;
  bool until_eof;
  int signal_number;

  options.address = "127.0.0.1";
  options.port = 0;
  until_eof = parse(&options, count, words);

  /* Raised where a file is sent to a peer that is gone; the library leaves signals alone. */
  signal(SIGPIPE, SIG_IGN);
  /* Blocked in every thread, so that only sigwait() below sees them. */
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, NULL);

  if (fixture_start(&options, &server) != 0) {
    return EXIT_WRONG;
  }
  printf(
    strchr(options.address, ':') != NULL ? "listening on [%s]:%u\n" : "listening on %s:%u\n",
    options.address,
    (unsigned) capuchin_port(server));
  fflush(stdout);
  if (until_eof && pthread_create(&thread, NULL, wait_for_eof, NULL) != 0) {
    wrong("--until-eof", NULL, " needs a thread, and there is none");
  }
  sigwait(&ends, &signal_number);
  fixture_stop(server);
  return 0;
}
