/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FRRouting's table against the kernel's.  Its netlink buffer can overflow, and
 * then it keeps ghosts and misses routes until somebody touches them: so they
 * are deleted and added, or added and deleted, again.
 *
 * FRR lags behind by nature.  Only what is wrong in two comparisons in a row is
 * put right.
 *
 * Pure; must not know of sockets or netlink.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_FRR_AUDIT_H
#define TURNOUT_ROUTED_GLUE_FRR_AUDIT_H

#include "routed-glue/diff.h"
#include "routed-glue/frr_table.h"
#include "routed-glue/wanted.h"

/* What was wrong last time.  All zero is a valid start. */
struct frr_audit {
	struct frr_table missing, ghosts;
};

/*
 * Operations that heal what was wrong this time and last time; *ops is
 * allocated, may be NULL when there are none.  *again: something is wrong for
 * the first time, compare again soon.  has is sorted.  Returns the number of
 * operations, or -1: out of memory, nothing remembered.
 */
ssize_t frr_audit_compare(struct frr_audit *a, const struct wanted *w, const struct view *v, uint32_t metric,
			  const struct frr_table *has, struct route_op **ops, bool *again);
void frr_audit_free(struct frr_audit *a);

#endif
