/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration files: YAML read through libfyaml, checked against tables.
 *
 * A program describes each mapping of its file as a table of conf_field rows
 * over a plain C struct.  conf_load() fills the struct or refuses the whole
 * file with every error as `file:line:column: field: what is wrong and what is
 * allowed`, and changes nothing.  Unknown and repeated fields are errors, with
 * the nearest known name suggested.  So is an empty value (`port:`, `~`), which
 * may be meant to say "none" as well as "as usual"; a mapping that is not there
 * gets the defaults of its fields.
 *
 * Must not know what the fields mean: programs add their own checks through
 * conf_mapping.check, which reports through conf_error() with a position.
 */
#ifndef TURNOUT_LIB_CONF_H
#define TURNOUT_LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"

struct conf;      /* one load in progress */
struct conf_node; /* opaque: a position in the file */

struct conf_prefix {
	struct addr addr;
	uint8_t plen;
};

struct conf_endpoint {
	struct addr addr;
	uint16_t port; /* 0: not given */
};

enum conf_kind {
	CONF_STRING,   /* char *, allocated; limits are lengths */
	CONF_BOOL,     /* bool */
	CONF_U16,      /* uint16_t */
	CONF_U32,      /* uint32_t */
	CONF_U64,      /* uint64_t; numbers are decimal or 0x hex */
	CONF_DURATION, /* uint32_t, milliseconds: "250ms", "10s", "5m", "1h"; limits in ms */
	CONF_ADDR,     /* struct addr */
	CONF_PREFIX,   /* struct conf_prefix */
	CONF_ENDPOINT, /* struct conf_endpoint: "addr", "addr:port", "[v6]:port" */
	CONF_ENUM,     /* int; names and values in .choices */
	CONF_MAP,      /* nested struct, described by .sub */
	CONF_LIST,     /* struct conf_list; items of .item kind (CONF_MAP: .sub) of .item_size bytes.
			* A lone scalar is accepted as a list of one. */
};

struct conf_list {
	void *items; /* array, allocated */
	size_t count;
};

struct conf_choice {
	const char *name;
	int value;
};

struct conf_mapping;

struct conf_field {
	const char *name; /* as in the file, with hyphens */
	enum conf_kind kind;
	size_t offset; /* in the mapping's struct */
	bool required;
	uint64_t min, max;                 /* numbers, durations, string lengths, list counts; max 0: none */
	const struct conf_choice *choices; /* CONF_ENUM; ends with name NULL */
	const struct conf_mapping *sub;    /* CONF_MAP, and CONF_LIST of maps */
	enum conf_kind item;               /* CONF_LIST */
	size_t item_size;                  /* CONF_LIST */
	const char *fallback;              /* default, as text of a scalar; NULL: leave zero (lists: empty) */
	size_t node_offset;                /* if not 0: where to store the field's const struct conf_node * for later
					    * conf_error() in check functions; valid during conf_load() only */
};

struct conf_mapping {
	const char *name;                /* "server", for messages */
	const struct conf_field *fields; /* ends with name NULL; at most 64 */
	const char *lone;                /* if not NULL: a scalar in place of the mapping is this field's value */
	/* Called when the mapping is there and its fields were read without error;
	 * node is the mapping's position.  Returns false after reporting with conf_error(). */
	bool (*check)(struct conf *c, const struct conf_node *node, void *obj);
};

/*
 * Load path into obj (zeroed by the caller).  Errors are printed to standard
 * error, one a line.  On false, obj has been freed and zeroed.
 */
bool conf_load(const char *path, const struct conf_mapping *map, size_t size, void *obj);
/* The same from memory, errors into the buffer instead; for tests and fuzzing. */
bool conf_load_text(const char *name, const char *text, size_t len, const struct conf_mapping *map, size_t size,
		    void *obj, char *errors, size_t errors_size);

/* From a regular file, errors into the buffer: for who has no standard error that anybody reads, and must not wait. */
bool conf_load_quiet(const char *path, const struct conf_mapping *map, size_t size, void *obj, char *errors,
		     size_t errors_size);

/* Free what conf_load() allocated inside obj, by the same table, and zero it. */
void conf_free(const struct conf_mapping *map, size_t size, void *obj);

/* Do two structs filled by the same table say the same? */
bool conf_same(const struct conf_mapping *map, const void *a, const void *b);

/* Report at a position.  field may be NULL (the mapping itself). */
void conf_error(struct conf *c, const struct conf_node *node, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The node of a named field of a mapping node, or the mapping node itself. */
const struct conf_node *conf_field_node(const struct conf_node *map, const char *field);
/* The node of item i of the list field named so. */
const struct conf_node *conf_item_node(const struct conf_node *map, const char *field, size_t i);

#endif
