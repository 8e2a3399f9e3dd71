/* SPDX-License-Identifier: MIT */
/*
 * Brings up the network of the examples: one interface with a fixed address. Applications bring up
 * their own; the server only needs sockets that work.
 */
#ifndef CAPUCHIN_EXAMPLE_NETWORK_H
#define CAPUCHIN_EXAMPLE_NETWORK_H

#ifdef __cplusplus
extern "C" {
#endif

/* What QEMU's user network gives its first guest. Override with -D for a network of your own. */
#ifndef CAPUCHIN_EXAMPLE_ADDRESS
#define CAPUCHIN_EXAMPLE_ADDRESS "10.0.2.15"
#endif
#ifndef CAPUCHIN_EXAMPLE_NETMASK
#define CAPUCHIN_EXAMPLE_NETMASK "255.255.255.0"
#endif
#ifndef CAPUCHIN_EXAMPLE_PREFIX_LENGTH
#define CAPUCHIN_EXAMPLE_PREFIX_LENGTH 24
#endif
#ifndef CAPUCHIN_EXAMPLE_GATEWAY
#define CAPUCHIN_EXAMPLE_GATEWAY "10.0.2.2"
#endif

/*
 * Returns 0 when sockets can be used, or -1 after one line on the console that says what is wrong
 * and what to change. Call it once, from a task.
 */
int capuchin_example_network_start(void);

#ifdef __cplusplus
}
#endif

#endif
