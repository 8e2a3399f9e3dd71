/* SPDX-License-Identifier: MIT */
/*
 * What the Rust code takes for granted of FreeBSD's headers. It is compiled only, never linked:
 * targets/native/freebsd/link does that, after it has collected the numbers of the Rust code in
 * assumptions.h. What has no number, the functions' types, is written down here.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/capsicum.h>
#include <sys/event.h>
#include <sys/filio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define ASSUME(expression, number)                       \
  _Static_assert((long long) (expression) == (number),   \
                 #expression " is not the " #number " that the Rust code has")

#include "assumptions.h"

#define FUNCTION(name, ...)                                                    \
  _Static_assert(__builtin_types_compatible_p(__typeof__(name), __VA_ARGS__), \
                 #name " is not of the type that the Rust code declares")

FUNCTION(kqueue, int(void));
FUNCTION(kevent, int(int, const struct kevent *, int, struct kevent *, int,
                     const struct timespec *));
FUNCTION(sendfile, int(int, int, off_t, size_t, struct sf_hdtr *, off_t *, int));
FUNCTION(accept4, int(int, struct sockaddr *, socklen_t *, int));
FUNCTION(sendmsg, ssize_t(int, const struct msghdr *, int));
FUNCTION(setsockopt, int(int, int, int, const void *, socklen_t));
FUNCTION(openat, int(int, const char *, int, ...));
FUNCTION(fstat, int(int, struct stat *));
FUNCTION(cap_enter, int(void));
FUNCTION(cap_rights_limit, int(int, const cap_rights_t *));
FUNCTION(__cap_rights_init, cap_rights_t *(int, cap_rights_t *, ...));
FUNCTION(nanosleep, int(const struct timespec *, struct timespec *));
FUNCTION(__error, int *(void));
