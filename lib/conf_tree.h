/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * YAML text as a tree in which everything knows where it was written.
 *
 * A strict subset: one document, keys are scalars, no aliases and no tags (both
 * are reported), at most CONF_TREE_DEPTH levels.  Comments, anchors, quoting
 * and flow style are YAML's own.  Repeated keys stay in the tree.
 *
 * No I/O; must not know of any field.  For lib/conf.c only.
 */
#ifndef TURNOUT_LIB_CONF_TREE_H
#define TURNOUT_LIB_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_TREE_DEPTH   32
#define CONF_TREE_MAX_LEN (16u << 20) /* bytes of text */

enum conf_node_type {
	CONF_NODE_NULL, /* nothing, "~" or "null", unquoted */
	CONF_NODE_SCALAR,
	CONF_NODE_LIST,
	CONF_NODE_MAP,
	CONF_NODE_BAD, /* was reported already */
};

struct conf_node {
	enum conf_node_type type;
	int line, column; /* from 1 */
	char *text;       /* scalar: printable, NUL-terminated */
	char *key;        /* in a mapping: its name there; else NULL */
	int key_line, key_column;
	size_t index; /* in a list: from 0 */
	struct conf_node *parent;
	struct conf_node **children; /* in the order of the file */
	size_t count;
};

/* line 0: no position in the text. */
typedef void (*conf_tree_report)(void *ctx, int line, int column, const char *path, const char *text);

/* Returns the tree (an empty text is an empty mapping), or NULL after reporting. */
struct conf_node *conf_tree_read(const char *text, size_t len, conf_tree_report report, void *ctx);
void conf_tree_free(struct conf_node *root);

/* "services[0].servers[2]"; "" for the root.  Caller frees. */
char *conf_tree_path(const struct conf_node *node);

#endif
