/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The question "what would become of this packet?" and what is known for its
 * answer.  Pure: the kernel was asked by who fills it in.  ARCH-7.
 */
#ifndef TURNOUT_FAD_ADMIN_TRACE_H
#define TURNOUT_FAD_ADMIN_TRACE_H

#include "fad/engine_trace.h"
#include "fad/route_io.h"
#include "proto/admin.pb-c.h"

struct admin_trace {
	struct flow_key key;
	uint8_t tcp_flags;
	bool data;
	struct engine_trace engine;
	const char *protected_by; /* why it is never matched (FA-8); NULL: it may be */
	bool permitted;           /* but a wildcard may all the same, and covers it */
	const char *closed;       /* interfaces that drop what matches nothing, "" if none */
	int route_error;          /* the kernel could not be asked; > 0: it was not */
	struct route route;
};

/* Read the question.  NULL, or what is wrong with it. */
const char *admin_trace_parse(const Turnout__Trace *request, struct admin_trace *t);
/* Does it reach the engine? */
bool admin_trace_reaches(const struct admin_trace *t);
/* Where the kernel is asked to send it.  False: nowhere. */
bool admin_trace_goes_to(const struct admin_trace *t, struct addr *to);

#endif
