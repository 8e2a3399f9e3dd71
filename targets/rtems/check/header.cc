/* SPDX-License-Identifier: MIT */
/* That an application in C++ can use the header: compiled only, by targets/rtems/check/run. */

#include <rtems.h>

#include "capuchin.h"

static capuchin_next hello(
  capuchin_exchange *exchange, const capuchin_request *, capuchin_reply *reply)
{
  return capuchin_reply_printf(reply, "%u\n", static_cast<unsigned>(exchange->now_ms));
}

rtems_status_code start(capuchin_server **server)
{
  static uint64_t memory[CAPUCHIN_MEMORY_SIZE_DEFAULT(1, 0) / sizeof(uint64_t) + 1];
  static capuchin_handler handler;
  static const capuchin_route route = { CAPUCHIN_GET, "/", &handler, nullptr };
  capuchin_config config = CAPUCHIN_CONFIG_DEFAULT;

  handler.request = hello;
  config.routes = &route;
  config.route_count = 1;
  config.memory = memory;
  config.memory_size = sizeof(memory);
  return capuchin_start(&config, server);
}
