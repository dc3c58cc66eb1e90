/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing two structs that were filled by one table; see conf.h.  Must not
 * know what the fields mean.
 */
#include <string.h>

#include "lib/conf.h"

static const void *at(const void *obj, size_t offset)
{
	return (const char *)obj + offset;
}

static bool same_string(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static size_t scalar_size(enum conf_kind kind)
{
	switch (kind) {
	case CONF_BOOL:
		return sizeof(bool);
	case CONF_U16:
		return sizeof(uint16_t);
	case CONF_U32:
	case CONF_DURATION:
		return sizeof(uint32_t);
	case CONF_U64:
		return sizeof(uint64_t);
	case CONF_ENUM:
		return sizeof(int);
	default:
		return 0;
	}
}

/* One value; the compound kinds one by one, as their structs have padding. */
static bool same_value(enum conf_kind kind, const struct conf_mapping *sub, const void *a, const void *b)
{
	const struct conf_prefix *p = a, *q = b;
	const struct conf_endpoint *e = a, *f = b;

	switch (kind) {
	case CONF_STRING:
		return same_string(*(char *const *)a, *(char *const *)b);
	case CONF_ADDR:
		return addr_equal(a, b);
	case CONF_PREFIX:
		return addr_equal(&p->addr, &q->addr) && p->plen == q->plen;
	case CONF_ENDPOINT:
		return addr_equal(&e->addr, &f->addr) && e->port == f->port;
	case CONF_MAP:
		return conf_same(sub, a, b);
	default:
		return memcmp(a, b, scalar_size(kind)) == 0;
	}
}

static bool same_list(const struct conf_field *f, const struct conf_list *a, const struct conf_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_value(f->item, f->sub, at(a->items, i * f->item_size), at(b->items, i * f->item_size)))
			return false;
	return true;
}

bool conf_same(const struct conf_mapping *map, const void *a, const void *b)
{
	for (const struct conf_field *f = map->fields; f->name != NULL; f++) {
		const void *x = at(a, f->offset), *y = at(b, f->offset);

		if (f->kind == CONF_LIST ? !same_list(f, x, y) : !same_value(f->kind, f->sub, x, y))
			return false;
	}
	return true;
}
