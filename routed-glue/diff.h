/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel has, as far as known, against what is wanted.
 *
 * The view remembers which routes of ours are in the kernel (from dumps and
 * from acknowledgements) and which it refused; the plan is the sorted list of
 * operations that makes both equal.  A route of somebody else on the same
 * prefix and metric is a conflict: it is reported and left alone.
 *
 * Pure; must not know of netlink or of agents.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_DIFF_H
#define TURNOUT_ROUTED_GLUE_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "routed-glue/prefix.h"

/* A kernel route out of our device.  Prefix and metric are its identity. */
struct route {
	struct prefix prefix;
	uint8_t zero[2]; /* always 0 */
	uint32_t metric; /* as the kernel reports it */
};
_Static_assert(sizeof(struct route) == 24, "route has no padding");

enum route_op_kind { ROUTE_DELETE, ROUTE_ADD };

struct route_op {
	enum route_op_kind kind;
	struct route route;
};

/* The metric under which the kernel files a route added with this one: IPv6 has no 0. */
uint32_t route_metric(uint8_t family, uint32_t configured);

/*
 * Operations that turn `actual` into `desired`, deletions first, each kind in
 * prefix order.  Both arrays are sorted in place and may be empty; duplicates
 * count once.  ops has room for count_desired + count_actual.  Returns the number of operations.
 */
size_t diff_routes(struct route *desired, size_t count_desired, struct route *actual, size_t count_actual,
		   struct route_op *ops);

enum view_state {
	VIEW_ABSENT,
	VIEW_INSTALLED,
	VIEW_CONFLICT, /* refused with EEXIST */
	VIEW_FAILED,   /* refused with another error */
};

struct view;

struct view *view_new(uint32_t metric);
void view_free(struct view *v);

/* The result of a dump, complete.  Refusals of routes that turn out to be ours are
 * forgotten.  Returns how many routes were missing of those believed installed, and in *unexpected how many were there
 * that were not. */
size_t view_load(struct view *v, const struct route *routes, size_t count, size_t *unexpected);

/* An operation was acknowledged with this errno, 0: done.  Returns whether a refusal is new (worth a line in the log).
 */
bool view_result(struct view *v, const struct route_op *op, int error);

/* Refused routes are tried again: those of one prefix, or all (p NULL). Returns how many. */
size_t view_retry(struct view *v, const struct prefix *p);

/* *error, if not NULL: the errno of a refusal, else 0. */
enum view_state view_state(const struct view *v, const struct prefix *p, int *error);
size_t view_count(const struct view *v, enum view_state state);

/*
 * Operations that make the kernel equal to `prefixes`, without those refused
 * and not to be retried.  *ops is allocated, may be NULL when there are none.
 * Returns their number, or -1: out of memory.
 */
ssize_t view_plan(struct view *v, const struct prefix *prefixes, size_t count, struct route_op **ops);

#endif
