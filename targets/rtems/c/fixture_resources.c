/* SPDX-License-Identifier: MIT */

/*
 * What the image of the fixture uses, for tests that look for leaks (RTEMS only). A line is left
 * out where a number cannot be had.
 */

#include "fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rtems/libcsupport.h>
#include <rtems/stackchk.h>

#if defined(CAPUCHIN_STACK_LEGACY)
#include <sys/param.h>
#include <sys/mbuf.h>

/* The stack's header declares it for the stack only. */
extern struct mbstat mbstat;
#elif defined(CAPUCHIN_STACK_LIBBSD)
#include <sys/types.h>
#include <memstat.h>
#endif

struct text {
  char *buffer;
  size_t size;
  size_t length; /* also of what did not fit */
};

static void add(struct text *text, const char *name, uintmax_t value)
{
  bool fits = text->length < text->size;
  int length = snprintf(
    fits ? text->buffer + text->length : NULL,
    fits ? text->size - text->length : 0,
    "%s %" PRIuMAX "\n",
    name,
    value);

  text->length += length > 0 ? (size_t) length : 0;
}

/* With unified work areas both are the same heap. */
static void add_heaps(struct text *text)
{
  Heap_Information_block heap;

  if (malloc_info(&heap) == 0) {
    add(text, "heap_used", heap.Used.total);
  }
  if (rtems_workspace_get_information(&heap)) {
    add(text, "workspace_used", heap.Used.total);
  }
}

static void add_descriptors(struct text *text)
{
  long count = sysconf(_SC_OPEN_MAX);
  uintmax_t used = 0;
  int descriptor;

  for (descriptor = 0; descriptor < count; descriptor++) {
    used += fcntl(descriptor, F_GETFD) >= 0;
  }
  add(text, "descriptors_used", used);
}

struct stacks {
  struct text *text;
  uintmax_t worker; /* the most of any worker */
};

/* The server's tasks are CPW0, CPW1 and, where there are several, CPA for the acceptor. */
static void visit_stack(const rtems_stack_checker_info *info, void *argument)
{
  struct stacks *stacks = argument;
  bool is_worker = strncmp(info->name, "CPW", 3) == 0;

  /* The checker is not configured. */
  if (info->used == UINTPTR_MAX) {
    return;
  }
  if (is_worker && info->used > stacks->worker) {
    stacks->worker = info->used;
  }
  if (is_worker || strncmp(info->name, "CPA", 3) == 0) {
    char name[32];

    /* Classic names have four bytes; a space would end the line's name. */
    snprintf(
      name, sizeof(name), "stack_used_%.*s", (int) strcspn(info->name, " "), info->name);
    add(stacks->text, name, info->used);
  }
}

static void add_stacks(struct text *text)
{
  struct stacks stacks = { text, 0 };

  rtems_stack_checker_iterate(visit_stack, &stacks);
  if (stacks.worker > 0) {
    add(text, "stack_used", stacks.worker);
  }
}

#if defined(CAPUCHIN_STACK_LEGACY)
/* Each number is exact; a mbuf that moves meanwhile may be counted twice or not at all. */
static void add_mbufs(struct text *text)
{
  add(text, "mbufs_used", mbstat.m_mbufs - mbstat.m_mtypes[MT_FREE]);
  add(text, "clusters_used", mbstat.m_clusters - mbstat.m_clfree);
}
#elif defined(CAPUCHIN_STACK_LIBBSD)
/*
 * As netstat -m counts: mbufs with a cluster attached are a zone of their own, and those of them
 * that are free keep their clusters. (The zones' own sysctls do not exist on RTEMS.)
 */
static void add_mbufs(struct text *text)
{
  struct memory_type_list *list = memstat_mtl_alloc();
  struct memory_type *mbuf;
  struct memory_type *packet;
  struct memory_type *cluster;

  if (list == NULL) {
    return;
  }
  if (memstat_sysctl_uma(list, 0) == 0) {
    mbuf = memstat_mtl_find(list, ALLOCATOR_UMA, "mbuf");
    packet = memstat_mtl_find(list, ALLOCATOR_UMA, "mbuf_packet");
    cluster = memstat_mtl_find(list, ALLOCATOR_UMA, "mbuf_cluster");
    if (mbuf != NULL && packet != NULL && cluster != NULL) {
      add(text, "mbufs_used", memstat_get_count(mbuf) + memstat_get_count(packet));
      add(text, "clusters_used", memstat_get_count(cluster) - memstat_get_free(packet));
    }
  }
  memstat_mtl_free(list);
}
#else
static void add_mbufs(struct text *text)
{
  (void) text;
}
#endif

int fixture_resources_text(char *buffer, size_t size)
{
  struct text text = { buffer, size, 0 };

  add_heaps(&text);
  add_descriptors(&text);
  add_stacks(&text);
  add_mbufs(&text);
  return (int) text.length;
}
