/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FRRouting's kernel routes, as `show ip route kernel json` prints them.
 *
 * Pure; must not know of sockets, nor of what is wanted.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_FRR_TABLE_H
#define TURNOUT_ROUTED_GLUE_FRR_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "routed-glue/prefix.h"

/*
 * What came so far of a daemon's answer on its vty socket.  Text, then three
 * NULs and the command's result, 0 for success; *text is the text's length
 * unless PART.
 */
enum frr_answer { FRR_ANSWER_PART, FRR_ANSWER_GOOD, FRR_ANSWER_REFUSED };
enum frr_answer frr_answer_end(const char *answer, size_t len, size_t *text);

/* All zero is a valid, empty start. */
struct frr_table {
	struct prefix *prefixes; /* allocated */
	size_t count, room;
};

/*
 * Add the prefixes of kernel routes, of the default VRF's main table, that go
 * out of this interface and that FRR has selected.  False: this is not such a
 * table, or out of memory; what was added before stays.
 */
bool frr_table_add(struct frr_table *t, const char *text, size_t len, const char *interface);
void frr_table_sort(struct frr_table *t); /* and drop duplicates; before frr_table_has() */
bool frr_table_has(const struct frr_table *t, const struct prefix *p);
void frr_table_free(struct frr_table *t); /* empty afterwards */

#endif
