/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Named counters: a table of descriptions beside an array of values, and the
 * conversion of both to rows of the admin bus.  A daemon's admin.c has one
 * such pair for each group of counters it owns:
 *
 *	static const struct counter_desc drops[] = {
 *		[DROP_HOLD_FULL] = {"drops", "hold-full", "packets of a flow beyond its share of the hold"},
 *	};
 *	n += counter_rows(drops, engine->drops, DROP_COUNT, rows + n);
 *
 * Names are lower-case words joined by hyphens and never change their meaning.
 * Pure, header only; must not know what is counted, or how.
 */
#ifndef TURNOUT_LIB_COUNTER_H
#define TURNOUT_LIB_COUNTER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/admin.pb-c.h"

struct counter_desc {
	const char *group; /* "packets", "drops", "messages", "message-drops", "bus", ... */
	const char *name;
	const char *help; /* one line for people, no full stop; NULL: none */
};

/*
 * Fill one row.  The strings are borrowed from *d, which must outlive the row:
 * free the array of rows, never with protobuf's free function.
 */
static inline void counter_row(const struct counter_desc *d, uint64_t value, Turnout__CounterRow *row)
{
	turnout__counter_row__init(row);
	row->group = (char *)(uintptr_t)d->group;
	row->name = (char *)(uintptr_t)d->name;
	row->value = value;
	row->help = d->help ? (char *)(uintptr_t)d->help : row->help;
}

/* Fill rows[0..count) from descs[0..count) and values[0..count).  Entries of
 * the table without a name (gaps in an enum) are skipped.  Returns the number of rows filled. */
static inline size_t counter_rows(const struct counter_desc *descs, const uint64_t *values, size_t count,
				  Turnout__CounterRow *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (descs[i].name)
			counter_row(&descs[i], values[i], &rows[n++]);
	return n;
}

#endif
