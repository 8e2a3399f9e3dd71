/* SPDX-License-Identifier: MIT */
/*
 * libbsd over an Intel 82574, which is what QEMU's e1000e is. Of QEMU's other cards, e1000 needs 45
 * seconds for its link, and rtl8139 and tulip never get one.
 */

#include "network.h"

#include <bsp.h>
#include <net/if.h>
#include <rtems.h>
#include <rtems/bsd/bsd.h>
#include <rtems/bsd/iface.h>
#include <rtems/libcsupport.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <sysexits.h>

/*
 * What of libbsd is linked, and how much memory it gets. It is for mbufs and pages; a quarter
 * of it becomes clusters of 2 KB, of which the card's receive ring always holds a thousand.
 */
#define RTEMS_BSD_CONFIG_DOMAIN_PAGE_MBUFS_SIZE (64 * 1024 * 1024)
/* For disks, of which there are none: enough to start with. The default takes 4 MB. */
#define RTEMS_BSD_CONFIG_DOMAIN_BIO_SIZE (1024 * 1024)
/* What libbsd takes besides: 3 MB were measured with one card and no connection. */
#define REST_OF_LIBBSD (12 * 1024 * 1024)
#define RTEMS_BSD_CONFIG_BSP_CONFIG
#define RTEMS_BSD_CONFIG_INIT
#include <machine/rtems-bsd-config.h>

#define QEMU_DEVICE "-m 256 -device e1000e,netdev=net0"
#define INTERFACE "em0"
#define LINK_SECONDS 10

/* Connections that wait to be accepted, counted before listen() does. */
#define SOMAXCONN_WANTED 1024
/*
 * How long a segment may linger, in milliseconds; a connection that the server closes keeps its
 * socket for twice as long. With the default of 30 seconds, 70 closes a second use up all
 * sockets, of which there are as many as file descriptors (kern.ipc.maxsockets, see config.h).
 */
#define SEGMENT_LIFETIME_MS 1000

static int failed(const char *reason)
{
    printf("network: %s\n", reason);
    return -1;
}

static bool tune(const char *name, int value)
{
    return sysctlbyname(name, NULL, NULL, &value, sizeof value) == 0;
}

static bool wait_for_link(void)
{
    for (int tenths = 0; tenths < LINK_SECONDS * 10; tenths++) {
        bool is_up = false;

        if (rtems_bsd_iface_link_state(INTERFACE, &is_up) == 0 && is_up)
            return true;
        rtems_task_wake_after(RTEMS_MILLISECONDS_TO_TICKS(100));
    }
    return false;
}

int capuchin_example_network_start(void)
{
    /* Asked first: libbsd itself ends the system, by an assertion that names no remedy. */
    if (malloc_free_space() < RTEMS_BSD_CONFIG_DOMAIN_PAGE_MBUFS_SIZE + REST_OF_LIBBSD
        || rtems_bsd_initialize() != RTEMS_SUCCESSFUL)
        return failed("too little memory for libbsd: start QEMU with " QEMU_DEVICE);
    /* libbsd starts its timers from a task of its own, which must have run. */
    rtems_task_wake_after(2);
    if (if_nametoindex(INTERFACE) == 0)
        return failed("no " INTERFACE ": start QEMU with " QEMU_DEVICE);
    if (!tune("kern.ipc.somaxconn", SOMAXCONN_WANTED)
        || !tune("net.inet.tcp.msl", SEGMENT_LIFETIME_MS))
        return failed("a limit was refused: check the sysctl names in network_libbsd.c against "
                      "this libbsd");
    if (rtems_bsd_ifconfig_lo0() != EX_OK
        || rtems_bsd_ifconfig(INTERFACE, CAPUCHIN_EXAMPLE_ADDRESS, CAPUCHIN_EXAMPLE_NETMASK,
                              CAPUCHIN_EXAMPLE_GATEWAY) != EXIT_SUCCESS)
        return failed("the address was refused: check CAPUCHIN_EXAMPLE_ADDRESS, _NETMASK and "
                      "_GATEWAY in network.h");
    if (!wait_for_link())
        return failed("no link on " INTERFACE ": start QEMU with " QEMU_DEVICE);
    return 0;
}
