/* SPDX-License-Identifier: MIT */
/* That an application in C++ can use the header: compiled only, by targets/rtems/check/run. */

#include <rtems.h>

#include "capuchin.h"

static int body(capuchin_exchange *exchange, const void *, size_t length)
{
  char client[54];

  if (capuchin_client_address(exchange, client, sizeof(client)) < 0 || exchange->request == nullptr) {
    return CAPUCHIN_BODY_WAIT;
  }
  return length > 8 ? capuchin_refuse_body(exchange, 413, "too long") : CAPUCHIN_BODY_TAKEN;
}

static capuchin_next hello(
  capuchin_exchange *exchange, const capuchin_request *request, capuchin_reply *reply)
{
  char name[16];

  if (capuchin_request_method(request) == CAPUCHIN_PUT) {
    return capuchin_reply_receive(reply);
  }
  if (capuchin_request_query_value(request, "name", name, sizeof(name)) == CAPUCHIN_NO_VALUE) {
    return CAPUCHIN_FAILED;
  }
  return capuchin_reply_printf(reply, "%u\n", static_cast<unsigned>(exchange->now_ms));
}

rtems_status_code start(capuchin_server **server)
{
  static uint64_t memory[CAPUCHIN_MEMORY_SIZE_DEFAULT(1, 0) / sizeof(uint64_t) + 1];
  static capuchin_handler handler;
  static const capuchin_route route = { CAPUCHIN_GET, "/", &handler, nullptr };
  capuchin_config config = CAPUCHIN_CONFIG_DEFAULT;

  handler.request = hello;
  handler.body = body;
  config.routes = &route;
  config.route_count = 1;
  config.memory = memory;
  config.memory_size = sizeof(memory);
  return capuchin_start(&config, server);
}
