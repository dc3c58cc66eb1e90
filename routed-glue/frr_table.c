/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FRRouting's kernel routes from JSON.  Must not know of sockets.
 */
#include "routed-glue/frr_table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAIN_TABLE 254
#define TRAILER    4 /* three NULs and the result */

enum frr_answer frr_answer_end(const char *answer, size_t len, size_t *text)
{
	if (len < TRAILER || memcmp(answer + len - TRAILER, "\0\0\0", 3) != 0)
		return FRR_ANSWER_PART;
	*text = len - TRAILER;
	return answer[len - 1] == 0 ? FRR_ANSWER_GOOD : FRR_ANSWER_REFUSED;
}

static bool append(struct frr_table *t, const struct prefix *p)
{
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct prefix *grown = reallocarray(t->prefixes, room, sizeof(*grown));

		if (!grown)
			return false;
		t->prefixes = grown;
		t->room = room;
	}
	t->prefixes[t->count++] = *p;
	return true;
}

static bool is(const json_t *object, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && strcmp(text, value) == 0;
}

/* A key that is not there is no objection: releases differ in what they print. */
static bool is_default_table(const json_t *route)
{
	const json_t *table = json_object_get(route, "table"), *vrf = json_object_get(route, "vrfId");

	return (!table || json_integer_value(table) == MAIN_TABLE) && json_integer_value(vrf) == 0;
}

static bool goes_out_of(const json_t *route, const char *interface)
{
	const json_t *hops = json_object_get(route, "nexthops"), *hop;
	size_t i;

	json_array_foreach(hops, i, hop)
	{
		if (is(hop, "interfaceName", interface))
			return true;
	}
	return false;
}

static bool has_ours(const json_t *routes, const char *interface)
{
	const json_t *route;
	size_t i;

	json_array_foreach(routes, i, route)
	{
		if (is(route, "protocol", "kernel") && json_is_true(json_object_get(route, "selected")) &&
		    is_default_table(route) && goes_out_of(route, interface))
			return true;
	}
	return false;
}

bool frr_table_add(struct frr_table *t, const char *text, size_t len, const char *interface)
{
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *routes;
	bool ok = json_is_object(root);
	const char *key;
	struct prefix p;

	if (ok) {
		json_object_foreach(root, key, routes)
		{
			/* What may not be announced is not ours either. */
			if (ok && has_ours(routes, interface) && !prefix_parse(key, &p))
				ok = append(t, &p);
		}
	}
	json_decref(root);
	return ok;
}

static int order(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

void frr_table_sort(struct frr_table *t)
{
	size_t n = 0;

	if (t->count)
		qsort(t->prefixes, t->count, sizeof(*t->prefixes), order);
	for (size_t i = 0; i < t->count; i++)
		if (n == 0 || order(&t->prefixes[n - 1], &t->prefixes[i]) != 0)
			t->prefixes[n++] = t->prefixes[i];
	t->count = n;
}

bool frr_table_has(const struct frr_table *t, const struct prefix *p)
{
	return t->count && bsearch(p, t->prefixes, t->count, sizeof(*t->prefixes), order) != NULL;
}

void frr_table_free(struct frr_table *t)
{
	free(t->prefixes);
	*t = (struct frr_table){0};
}
