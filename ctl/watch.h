/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl watch, what is pure of it: what an event of the admin bus says
 * to a person.
 *
 * Must not know of sockets or clocks.
 */
#ifndef TURNOUT_CTL_WATCH_H
#define TURNOUT_CTL_WATCH_H

#include "ctl/ctl.h"

#define WATCH_TEXT 128
#define WATCH_ROWS 64 /* of one event; the rest is summed up */

struct watch_row {
	Turnout__WatchRow row; /* its texts are borrowed from the event, or in `text` */
	char text[WATCH_TEXT];
};

/* Rows for people in an event; 0: it is none of their business.  time is left empty. */
size_t watch_event(const Turnout__Event *event, struct watch_row rows[WATCH_ROWS]);

/* Follows a publisher's sequence numbers. */
struct watch_sequence {
	uint64_t last;
	bool known;
};
/* How many events were missed before this one; a restarted publisher begins anew. */
uint64_t watch_missed(struct watch_sequence *s, uint64_t seq);

/* A line for people.  `row->time` is a whole time stamp, of which the time of day is shown. */
void watch_print(FILE *out, const char *daemon, const Turnout__WatchRow *row);

#endif
