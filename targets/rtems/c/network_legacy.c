/* SPDX-License-Identifier: MIT */
/* The legacy stack over an NE2000 on the ISA bus, which is what QEMU's ne2k_isa is. */

#include "network.h"

#include <bsp.h>
#include <i386_io.h>
#include <rtems.h>
#include <rtems/libcsupport.h>
#include <rtems/rtems_bsdnet.h>
#include <rtems/rtems_bsdnet_internal.h>
#include <stdio.h>
#include <sys/sockio.h>

#define QEMU_DEVICE "-device ne2k_isa,iobase=0x300,irq=9,netdev=net0"
#define NE2000_PORT 0x300
#define NE2000_INTERRUPT 9

/* Registers of the NE2000, and what the driver wants to be interrupted for (NE_INTERRUPTS there). */
#define NE2000_COMMAND (NE2000_PORT + 0x0)
#define NE2000_INTERRUPT_MASK (NE2000_PORT + 0xf)
#define NE2000_INTERRUPTS 0x3f

/* A port without a device behind it reads as all ones. */
#define NO_DEVICE 0xff

/*
 * mbuf memory, taken from the heap once at start. It covers the worst case on purpose: a send that
 * finds no mbuf does not return EAGAIN, it sleeps until there is one, non-blocking socket or not.
 * What clients can pin therefore must fit, or one of them can stop the server.
 *
 * A socket's buffers pin at most SB_EFFICIENCY times their size, counting the mbufs' own overhead:
 *
 *   receiving: every packet costs a cluster of 2 KB and its mbuf, however small the packet is;
 *              2 * 8 KB / (2 KB + 128) = 7 clusters
 *   sending:   16 KB of data in 8 clusters, or small replies in 2 * 16 KB / 128 = 256 mbufs
 *
 * and each connection, also one in TIME_WAIT for the minute after its close, keeps one mbuf.
 */
#define SOCKETS 48
#define SEND_BYTES (16 * 1024)
#define RECEIVE_BYTES (8 * 1024)
#define SB_EFFICIENCY 2
#define MBUF_BYTES 128
#define CLUSTER_BYTES 2048

#define RECEIVE_CLUSTERS (SB_EFFICIENCY * RECEIVE_BYTES / (CLUSTER_BYTES + MBUF_BYTES))
#define SEND_CLUSTERS (SEND_BYTES / CLUSTER_BYTES)
#define SEND_MBUFS (SB_EFFICIENCY * SEND_BYTES / MBUF_BYTES)
/* Packets on their way between the driver, ARP, and the sockets. */
#define IN_FLIGHT 64
/* 48 sockets can close about 70 connections a second for ever, or 4,096 in one burst. */
#define TIME_WAITS 4096

#define CLUSTERS (SOCKETS * (RECEIVE_CLUSTERS + SEND_CLUSTERS) + IN_FLIGHT)
#define MBUFS (SOCKETS * (RECEIVE_CLUSTERS + SEND_MBUFS) + IN_FLIGHT + TIME_WAITS)
/* Tasks, and the control blocks of connections: 480 bytes each were measured. */
#define REST_OF_STACK (64 * 1024 + TIME_WAITS * 512)

/* More urgent than a server of the default priority, 120: see "Priorities" in ../README.md. */
#define NETWORK_TASK_PRIORITY 50

/* How long a lost interrupt of the NE2000 stays lost, at most: see hear_what_is_pending(). */
#define LISTEN_TICKS (RTEMS_MILLISECONDS_TO_TICKS(20) + 1)

static struct rtems_bsdnet_ifconfig interface = {
    .name = BSP_NE2000_NETWORK_DRIVER_NAME,
    .attach = BSP_NE2000_NETWORK_DRIVER_ATTACH,
    .ip_address = CAPUCHIN_EXAMPLE_ADDRESS,
    .ip_netmask = CAPUCHIN_EXAMPLE_NETMASK,
    .port = NE2000_PORT,
    .irno = NE2000_INTERRUPT,
};

struct rtems_bsdnet_config rtems_bsdnet_config = {
    .ifconfig = &interface,
    .network_task_priority = NETWORK_TASK_PRIORITY,
    .mbuf_bytecount = MBUFS * MBUF_BYTES,
    .mbuf_cluster_bytecount = CLUSTERS * CLUSTER_BYTES,
    .gateway = CAPUCHIN_EXAMPLE_GATEWAY,
    .sb_efficiency = SB_EFFICIENCY,
    .tcp_tx_buf_size = SEND_BYTES,
    .tcp_rx_buf_size = RECEIVE_BYTES,
};

static int failed(const char *reason)
{
    printf("network: %s\n", reason);
    return -1;
}

/*
 * The driver's interrupt handler reads the NE2000's status once and acknowledges what it read. What
 * arrives between the two keeps the interrupt line high; the line shows no new edge, and the card is
 * not heard again until something is sent for another reason, which on a server that waits is never.
 * (Its comment speaks of a loop, its code leaves the loop after one turn: rtems-net-legacy 6.)
 * Masking all and unmasking again makes an edge if anything is pending. Under the network semaphore
 * the driver's own tasks are at rest, and their mask is the one that is written here; but for a
 * receiver that waits for an mbuf, which there must be enough of anyway (see above).
 */
static void hear_what_is_pending(void *unused)
{
    (void) unused;
    for (;;) {
        rtems_bsdnet_semaphore_release();
        rtems_task_wake_after(LISTEN_TICKS);
        rtems_bsdnet_semaphore_obtain();
        outport_byte(NE2000_INTERRUPT_MASK, 0);
        outport_byte(NE2000_INTERRUPT_MASK, NE2000_INTERRUPTS);
    }
}

int capuchin_example_network_start(void)
{
    uint8_t command;
    short flags = 0;

    /* The driver would take the bus's silence for a card, and no packet would ever come. */
    inport_byte(NE2000_COMMAND, command);
    if (command == NO_DEVICE)
        return failed("no NE2000 at port 0x300: start QEMU with " QEMU_DEVICE);
    /* Asked first: the stack does not notice when it gets no mbufs. */
    if (malloc_free_space() < MBUFS * MBUF_BYTES + CLUSTERS * CLUSTER_BYTES + REST_OF_STACK
        || rtems_bsdnet_initialize_network() != 0)
        return failed("too little memory: give the machine more, or lower SOCKETS in "
                      "network_legacy.c");
    if (rtems_bsdnet_ifconfig(interface.name, SIOCGIFFLAGS, &flags) != 0
        || (flags & IFF_UP) == 0)
        return failed("the NE2000 did not come up: start QEMU with " QEMU_DEVICE);
    /* This ends the system if CONFIGURE_MAXIMUM_TASKS leaves none. */
    rtems_bsdnet_newproc("NEhr", RTEMS_MINIMUM_STACK_SIZE, hear_what_is_pending, NULL);
    return 0;
}
