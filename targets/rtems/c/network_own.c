/* SPDX-License-Identifier: MIT */
/* The library's own stack over QEMU's virtio-net-pci, or any other virtio network card on PCI. */

#include "network.h"

#include "capuchin.h"

/* Connections that the server has, its 16 refusals, and some that end. */
#ifndef CAPUCHIN_EXAMPLE_SOCKETS
#define CAPUCHIN_EXAMPLE_SOCKETS 56
#endif
#define RECEIVE_BYTES 1024
#define SEND_BYTES 2048

#define MEMORY_BYTES \
  CAPUCHIN_NETWORK_MEMORY_SIZE(CAPUCHIN_EXAMPLE_SOCKETS, RECEIVE_BYTES, SEND_BYTES)

static uint64_t memory[(MEMORY_BYTES + 7) / sizeof(uint64_t)];

int capuchin_example_network_start(void)
{
  capuchin_network network = CAPUCHIN_NETWORK_DEFAULT;

  network.address = CAPUCHIN_EXAMPLE_ADDRESS;
  network.gateway = CAPUCHIN_EXAMPLE_GATEWAY;
  network.prefix_length = CAPUCHIN_EXAMPLE_PREFIX_LENGTH;
  network.sockets = CAPUCHIN_EXAMPLE_SOCKETS;
  network.receive_size = RECEIVE_BYTES;
  network.send_size = SEND_BYTES;
  network.memory = memory;
  network.memory_size = sizeof(memory);
  return capuchin_network_start(&network) == RTEMS_SUCCESSFUL ? 0 : -1;
}
