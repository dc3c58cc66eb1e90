/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One HTTP or HTTPS request at a time and server, by libcurl's multi interface
 * on an sd-event loop, each on a connection of its own, to the given address
 * whatever the host is called; redirects are not followed, no proxy is used.
 *
 * I/O; must not know when a check is due, nor what a result means (SVC-2).
 */
#ifndef TURNOUT_SMD_CHECK_HTTP_IO_H
#define TURNOUT_SMD_CHECK_HTTP_IO_H

#include <systemd/sd-event.h>

#include "smd/config.h"

#define HTTP_BODY_MOST 65536u /* bytes of an answer that are looked at */

enum http_result {
	HTTP_GOOD,
	HTTP_BAD,
	HTTP_CANNOT, /* something of ours is missing, which says nothing about the server */
};

struct http_checks; /* all that are under way */
struct http_check;  /* one */

/* Once for each started check that was not cancelled, from the loop; the check is gone then.  text: in words. */
typedef void (*http_done)(void *ctx, enum http_result result, const char *text);

/* Returns 0 or a negative errno. */
int http_checks_new(struct http_checks **checks, sd_event *loop);
/* Every check has ended or was cancelled. */
void http_checks_free(struct http_checks *checks);

/* Ask.  conf is borrowed until the end.  Returns 0 and *check, or a negative errno. */
int http_check_start(struct http_check **check, struct http_checks *checks, const struct check_conf *conf, bool tls,
		     const struct addr *addr, uint16_t port, http_done done, void *ctx);
void http_check_cancel(struct http_check *check);

#endif
