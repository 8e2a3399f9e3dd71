/* SPDX-License-Identifier: MIT */

#ifndef EXAMPLE_H
#define EXAMPLE_H

/* Starts the example's server once the network is up; returns at once, also when it cannot. */
void example_start(void);

#endif
