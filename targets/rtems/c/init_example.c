/* SPDX-License-Identifier: MIT */

/*
 * The image of the example: brings the network up, starts the server, and ends its own task. With
 * CAPUCHIN_SHELL defined, the console has RTEMS's shell with the command "capuchin".
 */

#include "capuchin.h"
#include "example.h"
#include "network.h"

#include <rtems.h>
#include <stdio.h>

#ifdef CAPUCHIN_SHELL
#include <rtems/shell.h>

/* Less urgent than the server, so that typing costs no request anything. */
#define SHELL_PRIORITY 150
#define SHELL_STACK_SIZE (16 * 1024)

static void start_shell(void)
{
  rtems_status_code status;

  rtems_shell_add_cmd("capuchin", "net", CAPUCHIN_SHELL_HELP, capuchin_shell);
  status = rtems_shell_init(
    "SHLL", SHELL_STACK_SIZE, SHELL_PRIORITY, "/dev/console", true, false, NULL);
  if (status != RTEMS_SUCCESSFUL) {
    printf("no shell: %s\n", rtems_status_text(status));
  }
}
#endif

static rtems_task Init(rtems_task_argument argument)
{
  (void) argument;
  if (capuchin_example_network_start() == 0) {
    example_start();
  }
#ifdef CAPUCHIN_SHELL
  start_shell();
#endif
  rtems_task_exit();
}

/* libbsd's configuration has as many objects as there is memory for. */
#ifndef CAPUCHIN_STACK_LIBBSD
/*
 * The stack's, the driver's two and what listens beside them, Init, the server's worker and the
 * shell's, and two for yours.
 */
#define CONFIGURE_MAXIMUM_TASKS 9
/* The example's own thread, see example.c. */
#define CONFIGURE_MAXIMUM_POSIX_THREADS 1
#ifdef CAPUCHIN_SHELL
/* The shell keeps its state for each task. */
#define CONFIGURE_MAXIMUM_POSIX_KEYS 4
#endif
#endif

#define CONFIGURE_INIT
#include "config.h"

#ifdef CAPUCHIN_SHELL
#define CONFIGURE_SHELL_COMMANDS_INIT
#define CONFIGURE_SHELL_COMMAND_CPUUSE
#define CONFIGURE_SHELL_COMMAND_STACKUSE
#define CONFIGURE_SHELL_COMMAND_MALLOC_INFO
#define CONFIGURE_SHELL_COMMAND_WKSPACE_INFO
#define CONFIGURE_SHELL_COMMAND_LS
#define CONFIGURE_SHELL_COMMAND_CAT
#include <rtems/shellconfig.h>
#endif
