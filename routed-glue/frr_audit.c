/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FRRouting's table against the kernel's.  Must not know of sockets or netlink.
 */
#include "routed-glue/frr_audit.h"

#include <stdlib.h>

/* Both lists of what is wrong have room for everything that may be. */
static bool make_lists(struct frr_audit *now, const struct wanted *w, const struct frr_table *has)
{
	*now = (struct frr_audit){0};
	now->missing.prefixes = calloc(wanted_count(w) + 1, sizeof(struct prefix));
	now->ghosts.prefixes = calloc(has->count + 1, sizeof(struct prefix));
	return now->missing.prefixes && now->ghosts.prefixes;
}

static void find_wrong(struct frr_audit *now, const struct wanted *w, const struct view *v, const struct frr_table *has)
{
	const struct wanted_prefix *e = NULL;

	while ((e = wanted_next(w, e)))
		if (view_state(v, &e->prefix, NULL) == VIEW_INSTALLED && !frr_table_has(has, &e->prefix))
			now->missing.prefixes[now->missing.count++] = e->prefix;
	for (size_t i = 0; i < has->count; i++)
		if (view_state(v, &has->prefixes[i], NULL) == VIEW_ABSENT)
			now->ghosts.prefixes[now->ghosts.count++] = has->prefixes[i];
	frr_table_sort(&now->missing);
}

/* Two operations for each prefix in both lists.  Returns how many; what is new sets *again. */
static size_t heal(const struct frr_table *now, const struct frr_table *before, enum route_op_kind first,
		   uint32_t metric, struct route_op *ops, bool *again)
{
	enum route_op_kind second = first == ROUTE_ADD ? ROUTE_DELETE : ROUTE_ADD;
	size_t n = 0;

	for (size_t i = 0; i < now->count; i++) {
		const struct prefix *p = &now->prefixes[i];
		struct route r = {.prefix = *p, .metric = route_metric(p->addr.family, metric)};

		if (!frr_table_has(before, p)) {
			*again = true;
			continue;
		}
		ops[n++] = (struct route_op){first, r};
		ops[n++] = (struct route_op){second, r};
	}
	return n;
}

ssize_t frr_audit_compare(struct frr_audit *a, const struct wanted *w, const struct view *v, uint32_t metric,
			  const struct frr_table *has, struct route_op **ops, bool *again)
{
	struct frr_audit now;
	size_t n;

	*ops = NULL;
	*again = false;
	if (!make_lists(&now, w, has)) {
		frr_audit_free(&now);
		frr_audit_free(a);
		return -1;
	}
	find_wrong(&now, w, v, has);
	*ops = calloc(2 * (now.missing.count + now.ghosts.count) + 1, sizeof(**ops));
	if (!*ops) {
		frr_audit_free(&now);
		frr_audit_free(a);
		return -1;
	}
	n = heal(&now.missing, &a->missing, ROUTE_DELETE, metric, *ops, again);
	n += heal(&now.ghosts, &a->ghosts, ROUTE_ADD, metric, *ops + n, again);
	frr_audit_free(a);
	*a = now;
	return (ssize_t)n;
}

void frr_audit_free(struct frr_audit *a)
{
	frr_table_free(&a->missing);
	frr_table_free(&a->ghosts);
}
