/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Desired against actual: sort, merge, send the difference.
 *
 * Pure; must not know of netlink or of agents.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "routed-glue/diff.h"

/* What Linux makes of an IPv6 route without a metric (IP6_RT_PRIO_USER). */
#define IPV6_DEFAULT_METRIC 1024

struct known {
	struct route route;
	enum view_state state; /* never VIEW_ABSENT */
	int error;
	bool retry; /* refused, and to be tried again */
	bool seen;  /* in the dump being loaded, or the set being planned */
	UT_hash_handle hh;
};

struct view {
	uint32_t metric;
	struct known *table; /* by route */
};

uint32_t route_metric(uint8_t family, uint32_t configured)
{
	return family == 6 && configured == 0 ? IPV6_DEFAULT_METRIC : configured;
}

static int route_compare(const void *pa, const void *pb)
{
	const struct route *a = pa, *b = pb;
	int order = prefix_compare(&a->prefix, &b->prefix);

	return order ? order : (a->metric > b->metric) - (a->metric < b->metric);
}

static size_t sort_unique(struct route *routes, size_t count)
{
	size_t n = 0;

	if (count)
		qsort(routes, count, sizeof(*routes), route_compare);
	for (size_t i = 0; i < count; i++)
		if (n == 0 || route_compare(&routes[n - 1], &routes[i]) != 0)
			routes[n++] = routes[i];
	return n;
}

/* Append an operation of this kind for every route of a that is not in b; both are sorted. */
static size_t append_missing(const struct route *a, size_t count_a, const struct route *b, size_t count_b,
			     enum route_op_kind kind, struct route_op *ops)
{
	size_t n = 0, j = 0;

	for (size_t i = 0; i < count_a; i++) {
		while (j < count_b && route_compare(&b[j], &a[i]) < 0)
			j++;
		if (j == count_b || route_compare(&b[j], &a[i]) != 0)
			ops[n++] = (struct route_op){kind, a[i]};
	}
	return n;
}

size_t diff_routes(struct route *desired, size_t count_desired, struct route *actual, size_t count_actual,
		   struct route_op *ops)
{
	size_t n;

	count_desired = sort_unique(desired, count_desired);
	count_actual = sort_unique(actual, count_actual);
	n = append_missing(actual, count_actual, desired, count_desired, ROUTE_DELETE, ops);
	return n + append_missing(desired, count_desired, actual, count_actual, ROUTE_ADD, ops + n);
}

struct view *view_new(uint32_t metric)
{
	struct view *v = calloc(1, sizeof(*v));

	if (v)
		v->metric = metric;
	return v;
}

static void forget(struct view *v, struct known *k)
{
	HASH_DEL(v->table, k);
	free(k);
}

void view_free(struct view *v)
{
	struct known *k, *next;

	if (!v)
		return;
	HASH_ITER (hh, v->table, k, next)
		forget(v, k);
	free(v);
}

static struct known *lookup(const struct view *v, const struct route *r)
{
	struct known *k;

	HASH_FIND(hh, v->table, r, sizeof(*r), k);
	return k;
}

/* NULL: out of memory; the next audit finds what is not remembered here. */
static struct known *remember(struct view *v, const struct route *r, enum view_state state, int error)
{
	struct known *k = lookup(v, r);

	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return NULL;
		k->route = *r;
		HASH_ADD(hh, v->table, route, sizeof(k->route), k);
	}
	k->state = state;
	k->error = error;
	k->retry = false;
	return k;
}

size_t view_load(struct view *v, const struct route *routes, size_t count, size_t *unexpected)
{
	struct known *k, *next;
	size_t missing = 0;

	*unexpected = 0;
	for (size_t i = 0; i < count; i++) {
		k = lookup(v, &routes[i]);
		*unexpected += !k || k->state != VIEW_INSTALLED;
		k = remember(v, &routes[i], VIEW_INSTALLED, 0);
		if (k)
			k->seen = true;
	}
	HASH_ITER (hh, v->table, k, next) {
		if (k->state == VIEW_INSTALLED && !k->seen) {
			missing++;
			forget(v, k);
			continue;
		}
		k->seen = false;
	}
	return missing;
}

static bool refused(struct view *v, const struct route *r, int error)
{
	enum view_state state = error == EEXIST ? VIEW_CONFLICT : VIEW_FAILED;
	const struct known *k = lookup(v, r);
	bool new = !k || k->state != state || k->error != error;

	remember(v, r, state, error);
	return new;
}

bool view_result(struct view *v, const struct route_op *op, int error)
{
	struct known *k = lookup(v, &op->route);

	if (op->kind == ROUTE_ADD && error)
		return refused(v, &op->route, error);
	if (op->kind == ROUTE_ADD)
		remember(v, &op->route, VIEW_INSTALLED, 0);
	else if (k && (error == 0 || error == ESRCH || error == ENOENT))
		forget(v, k);
	return false;
}

static struct route desired_route(const struct view *v, const struct prefix *p)
{
	return (struct route){.prefix = *p, .metric = route_metric(p->addr.family, v->metric)};
}

size_t view_retry(struct view *v, const struct prefix *p)
{
	struct known *k, *next;
	size_t n = 0;

	if (p) { /* on a busy router any other route's end comes here: no search */
		struct route r = desired_route(v, p);

		k = lookup(v, &r);
		if (k && k->state != VIEW_INSTALLED)
			k->retry = true;
		return k && k->state != VIEW_INSTALLED;
	}
	HASH_ITER (hh, v->table, k, next) {
		if (k->state != VIEW_INSTALLED) {
			k->retry = true;
			n++;
		}
	}
	return n;
}

enum view_state view_state(const struct view *v, const struct prefix *p, int *error)
{
	struct route r = desired_route(v, p);
	const struct known *k = lookup(v, &r);

	if (error)
		*error = k ? k->error : 0;
	return k ? k->state : VIEW_ABSENT;
}

size_t view_count(const struct view *v, enum view_state state)
{
	struct known *k, *next;
	size_t n = 0;

	HASH_ITER (hh, v->table, k, next)
		n += k->state == state;
	return n;
}

/* The routes to have, without those refused, and those there.  Refusals of what is no longer wanted are forgotten. */
static void collect(struct view *v, const struct prefix *prefixes, size_t count, struct route *desired,
		    size_t *count_desired, struct route *actual, size_t *count_actual)
{
	struct known *k, *next;

	for (size_t i = 0; i < count; i++) {
		struct route r = desired_route(v, &prefixes[i]);

		k = lookup(v, &r);
		if (k)
			k->seen = true;
		if (!k || k->state == VIEW_INSTALLED || k->retry)
			desired[(*count_desired)++] = r;
	}
	HASH_ITER (hh, v->table, k, next) {
		if (k->state == VIEW_INSTALLED)
			actual[(*count_actual)++] = k->route;
		else if (!k->seen)
			forget(v, k);
	}
	HASH_ITER (hh, v->table, k, next)
		k->seen = false;
}

ssize_t view_plan(struct view *v, const struct prefix *prefixes, size_t count, struct route_op **ops)
{
	size_t total = count + HASH_COUNT(v->table), count_desired = 0, count_actual = 0, n;
	struct route *routes;

	*ops = NULL;
	if (total == 0)
		return 0;
	routes = calloc(total, sizeof(*routes));
	*ops = calloc(total, sizeof(**ops));
	if (!routes || !*ops) {
		free(routes);
		free(*ops);
		*ops = NULL;
		return -1;
	}
	collect(v, prefixes, count, routes, &count_desired, routes + count, &count_actual);
	n = diff_routes(routes, count_desired, routes + count, count_actual, *ops);
	free(routes);
	return (ssize_t)n;
}
