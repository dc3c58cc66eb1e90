/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Health checks by TCP connect, or by an HTTP request (smd/check_http_io.h):
 * each target again and again, at its interval give or take a tenth, so that
 * many do not fall into step.  A connection that is all there is to a check is
 * given up by reset as soon as it stands: nothing is said on it.
 *
 * I/O on an sd-event loop; must not know what a result means (SVC-2).
 */
#ifndef TURNOUT_SMD_CHECK_IO_H
#define TURNOUT_SMD_CHECK_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "smd/config.h"

struct check_target {
	struct addr addr;
	uint16_t port;
	uint32_t interval_ms, timeout_ms; /* timeout at most interval */
	enum config_check_type type;      /* CHECK_TCP, CHECK_HTTP or CHECK_HTTPS */
	const struct check_conf *conf;    /* what is asked over HTTP, borrowed; else not looked at */
};

struct check_handler {
	/* Target `number` answered or did not; text: in words. */
	void (*result)(void *ctx, size_t number, bool good, const char *text);
	/* A check leaves from this address; called before an answer to it can arrive. */
	void (*own)(void *ctx, const struct addr *addr);
};

struct checker;

/* Start; targets are copied.  The first checks go out at once, a few each millisecond.
 * Returns 0 or a negative errno. */
int checker_new(struct checker **checker, sd_event *loop, const struct check_target *targets, size_t count,
		const struct check_handler *handler, void *ctx);
void checker_free(struct checker *c);

#endif
