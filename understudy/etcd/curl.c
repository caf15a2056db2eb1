/* SPDX-License-Identifier: Apache-2.0 */
/* Loads libcurl, once. See curl.h. */
#include "understudy/etcd/curl.h"
#include "understudy/base/late.h"

#include <pthread.h>

struct nd_curl nd_curl;

static int error; /* written by load */
static struct ft_fault why;

static void load(void)
{
#define ROW(name) {"curl_" #name, &nd_curl.name},
    static const struct nd_late_call calls[] = {ND_CURL_CALLS(ROW)};
#undef ROW

    error = nd_late_load("libcurl.so.4", calls, sizeof(calls) / sizeof(calls[0]), &why);
    if (!error && nd_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        error = ft_fail(&why, FT_ENOMEM, "no memory");
}

int nd_curl_load(struct ft_fault *fault)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return error ? ft_fail(fault, error, "libcurl, by which etcd is asked: %.160s", why.text) : FT_OK;
}
