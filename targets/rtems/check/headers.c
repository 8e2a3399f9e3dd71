/* SPDX-License-Identifier: MIT */
/*
 * What the Rust code takes for granted of an SDK's headers. It is compiled only, never linked:
 * targets/rtems/check/run does that for each stack, after it has collected the numbers of the Rust
 * code in assumptions.h. What has no number, the functions' types, is written down here.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <rtems.h>
#include <rtems/libio_.h>
#include <rtems/score/coremsgbuffer.h>
#include <sys/filio.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifdef CAPUCHIN_STACK_LEGACY
#include <rtems/rtems_bsdnet.h>
#include <sys/socketvar.h>
#endif
#ifdef CAPUCHIN_STACK_LIBBSD
#include <sys/event.h>
#endif

#include "capuchin.h"

#define ASSUME(expression, number)                       \
  _Static_assert((long long) (expression) == (number),   \
                 #expression " is not the " #number " that the Rust code has")

#include "assumptions.h"

/* Types are told apart by name here, their widths are in assumptions.h. */
#define FUNCTION(name, ...)                                                    \
  _Static_assert(__builtin_types_compatible_p(__typeof__(name), __VA_ARGS__), \
                 #name " is not of the type that the Rust code declares")

FUNCTION(rtems_message_queue_construct,
         rtems_status_code(const rtems_message_queue_config *, rtems_id *));
FUNCTION(rtems_message_queue_delete, rtems_status_code(rtems_id));
FUNCTION(rtems_message_queue_send, rtems_status_code(rtems_id, const void *, size_t));
FUNCTION(rtems_message_queue_receive,
         rtems_status_code(rtems_id, void *, size_t *, rtems_option, rtems_interval));
FUNCTION(rtems_clock_get_ticks_per_second, rtems_interval(void));
FUNCTION(rtems_task_create,
         rtems_status_code(rtems_name, rtems_task_priority, size_t, rtems_mode, rtems_attribute,
                           rtems_id *));
FUNCTION(rtems_task_start, rtems_status_code(rtems_id, rtems_task_entry, rtems_task_argument));
FUNCTION(rtems_task_entry, void (*)(rtems_task_argument));
FUNCTION(rtems_task_self, rtems_id(void));
FUNCTION(rtems_task_delete, rtems_status_code(rtems_id));
FUNCTION(rtems_task_set_priority,
         rtems_status_code(rtems_id, rtems_task_priority, rtems_task_priority *));
FUNCTION(rtems_task_wake_after, rtems_status_code(rtems_interval));
FUNCTION(rtems_task_exit, void(void));
FUNCTION(_Terminate, void(Internal_errors_Source, Internal_errors_t));

FUNCTION(socket, int(int, int, int));
FUNCTION(bind, int(int, const struct sockaddr *, socklen_t));
FUNCTION(listen, int(int, int));
FUNCTION(accept, int(int, struct sockaddr *, socklen_t *));
FUNCTION(connect, int(int, const struct sockaddr *, socklen_t));
FUNCTION(recv, ssize_t(int, void *, size_t, int));
FUNCTION(send, ssize_t(int, const void *, size_t, int));
FUNCTION(sendmsg, ssize_t(int, const struct msghdr *, int));
FUNCTION(shutdown, int(int, int));
FUNCTION(close, int(int));
FUNCTION(setsockopt, int(int, int, int, const void *, socklen_t));
FUNCTION(getsockname, int(int, struct sockaddr *, socklen_t *));
FUNCTION(getpeername, int(int, struct sockaddr *, socklen_t *));
FUNCTION(select, int(int, fd_set *, fd_set *, fd_set *, struct timeval *));
FUNCTION(pread, ssize_t(int, void *, size_t, off_t));
FUNCTION(open, int(const char *, int, ...));
FUNCTION(stat, int(const char *, struct stat *));
FUNCTION(lstat, int(const char *, struct stat *));
FUNCTION(fstat, int(int, struct stat *));
FUNCTION(clock_gettime, int(clockid_t, struct timespec *));
FUNCTION(__errno, int *(void));
FUNCTION(rtems_libio_number_iops, const uint32_t);

#ifdef CAPUCHIN_STACK_LIBBSD
FUNCTION(poll, int(struct pollfd *, nfds_t, int));
FUNCTION(kqueue, int(void));
FUNCTION(kevent, int(int, const struct kevent *, int, struct kevent *, int,
                     const struct timespec *));
#endif

/* Where the kernel does not say how a ticks' count is read: a macro or a function. */
_Static_assert(sizeof(rtems_clock_get_ticks_since_boot()) == sizeof(uint32_t),
               "rtems_clock_get_ticks_since_boot() has another width");
