/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when a process first opens a connection to etcd: 17 libraries hang on it (Kerberos, LDAP,
 * SSH …), and most commands and pairs never speak with etcd.
 */
#ifndef UNDERSTUDY_ETCD_CURL_H
#define UNDERSTUDY_ETCD_CURL_H

#include "ftcore/base/error.h"

#include <curl/curl.h>

#define ND_CURL_CALLS(X)                                                                                     \
    X(global_init)                                                                                           \
    X(easy_init)                                                                                             \
    X(easy_cleanup)                                                                                          \
    X(easy_setopt)                                                                                           \
    X(easy_getinfo)                                                                                          \
    X(easy_strerror)                                                                                         \
    X(multi_init)                                                                                            \
    X(multi_cleanup)                                                                                         \
    X(multi_perform)                                                                                         \
    X(multi_info_read)                                                                                       \
    X(multi_add_handle)                                                                                      \
    X(multi_remove_handle)                                                                                   \
    X(multi_poll)                                                                                            \
    X(multi_wakeup)                                                                                          \
    X(slist_append)                                                                                          \
    X(slist_free_all)

/* Its functions, by their names without "curl_". Set by nd_curl_load, and the same from then on. */
#define ND_CURL_POINTER(name) __typeof__(&curl_##name) name;
extern struct nd_curl {
    ND_CURL_CALLS(ND_CURL_POINTER)
} nd_curl;

/* By any thread, any number of times. 0, or FT_ENOENT with the reason. */
int nd_curl_load(struct ft_fault *fault);

#endif
