/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl capture, what is pure of it: its options, and a packet as a line.
 *
 * Must not know of files or daemons.
 */
#ifndef TURNOUT_CTL_CAPTURE_H
#define TURNOUT_CTL_CAPTURE_H

#include "ctl/ctl.h"
#include "lib/addr.h"

/* Bytes of a packet that are asked for: all but of super-packets. */
#define CAPTURE_SNAP 9216

struct capture_conf {
	const char *file;     /* NULL: none; "-": standard output */
	uint64_t count;       /* packets, 0: no end */
	uint64_t duration_ms; /* 0: no end */
	char *filter;         /* an expression of libpcap; allocated; "": all */
};

/* From the command line, into conf and request.  False after one line that says what is wrong. */
bool capture_options(struct ctl *c, struct capture_conf *conf, Turnout__Capture *request);

/* "500ms", "10s", "5m", "1h".  0: it is none, or too long. */
uint64_t capture_duration(const char *text);

/* What a line says of a packet. */
struct capture_seen {
	char protocol[8];
	char source[ENDPOINT_STRLEN], destination[ENDPOINT_STRLEN]; /* with ports, where there are */
	char flags[8];                                              /* of TCP, as tcpdump writes them */
};
/* Whatever bytes they are; protocol "?" when this is no IP packet. */
void capture_look(const uint8_t *data, size_t len, struct capture_seen *seen);

/* Is it what this request asks for, but for the filter? */
bool capture_wanted(const Turnout__Capture *request, const Turnout__Captured *captured);

/* One line, or one JSON object in a line. */
void capture_print(FILE *out, bool json, const char *daemon, const Turnout__Captured *captured);

#endif
