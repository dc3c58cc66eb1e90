/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * YAML text as a tree of positions, built from libfyaml's events.
 *
 * Events rather than libfyaml's documents: they give the position of every
 * mapping, list and empty value too, and repeated keys all arrive.  No I/O; must
 * not know of any field.
 */
#include "lib/conf_tree.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	conf_tree_report report;
	void *ctx;
	struct conf_node *root;
	struct conf_node *open; /* innermost container not yet ended */
	char *key;              /* read in `open`, its value not yet seen */
	int key_line, key_column;
	unsigned depth;
	unsigned documents;
	bool failed;
};

/* Out of memory at start-up has no better answer. */
static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- characters ---- */

/* Length of the UTF-8 character at p, 0 if it is none, or a control character. */
static size_t character(const unsigned char *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	if (n > left || (p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c < 0xe000))
		return 0;
	if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c < 0xa0 && c != 0x85))
		return 0;
	return n;
}

/*
 * libfyaml 0.7.12 can crash on a tab between the parts of a line, so it sees none.  One at the end of a line, before a
 * comment or in one becomes a space; also in quotes, after what only looks like a comment there.
 */
struct tabs {
	const char *good_to; /* blanks up to here were looked at: a file of tabs is read once, not over and over */
	bool comment;        /* one began in this line */
};

/* Of each character, in order.  False: a tab in a bad place. */
static bool replace_tab(struct tabs *t, const char *begin, char *at, const char *end)
{
	const char *p = at;

	if (*at == '\n' || *at == '\r')
		t->comment = false;
	else if (*at == '#' && (at == begin || strchr(" \n\r", at[-1])))
		t->comment = true;
	if (*at != '\t')
		return true;
	if (!t->comment && at >= t->good_to) {
		while (p < end && (*p == '\t' || *p == ' '))
			p++;
		if (p < end && *p != '#' && *p != '\n' && *p != '\r')
			return false;
		t->good_to = p;
	}
	*at = ' ';
	return true;
}

/* What is not text never reaches the parser.  Replaces tabs. */
static bool is_text(struct builder *b, char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	struct tabs tabs = {0};
	int line = 1, column = 1;
	char why[64];
	size_t n;

	for (size_t at = 0; at < len; at += n) {
		n = character(p + at, len - at);
		if (n == 0) {
			snprintf(why, sizeof(why), "byte 0x%02x is not allowed; the file must be UTF-8 text", p[at]);
			b->report(b->ctx, line, column, "syntax", why);
			return false;
		}
		if (!replace_tab(&tabs, text, text + at, text + len)) {
			b->report(b->ctx, line, column, "syntax",
				  "a tab is allowed only in comments and before them; use spaces");
			return false;
		}
		column++;
		if (p[at] == '\n') {
			line++;
			column = 1;
		}
	}
	return true;
}

/* Quoted scalars can name control characters by escapes; nothing of ours wants them. */
static bool printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

/* ---- nodes ---- */

static void fail(struct builder *b, int line, int column, const char *text)
{
	b->report(b->ctx, line, column, "syntax", text);
	b->failed = true;
}

static void append(struct conf_node *parent, struct conf_node *child)
{
	/* Grow at powers of two: capacity follows from the count. */
	if ((parent->count & (parent->count - 1)) == 0)
		parent->children = must(reallocarray(parent->children, parent->count == 0 ? 1 : 2 * parent->count,
						     sizeof(*parent->children)));
	child->parent = parent;
	child->index = parent->count;
	parent->children[parent->count++] = child;
}

static struct conf_node *add(struct builder *b, enum conf_node_type type, int line, int column)
{
	struct conf_node *node = must(calloc(1, sizeof(*node)));

	node->type = type;
	node->line = line;
	node->column = column;
	if (line == 0) { /* an empty value lies nowhere: blame its field */
		node->line = b->key != NULL ? b->key_line : 1;
		node->column = b->key != NULL ? b->key_column : 1;
	}
	if (b->open != NULL) {
		node->key = b->key;
		node->key_line = b->key_line;
		node->key_column = b->key_column;
		b->key = NULL;
		append(b->open, node);
	} else {
		b->root = node;
	}
	return node;
}

static bool wants_key(const struct builder *b)
{
	return b->open != NULL && b->open->type == CONF_NODE_MAP && b->key == NULL;
}

static void report_at(struct builder *b, const struct conf_node *node, const char *text)
{
	char *path = conf_tree_path(node);

	b->report(b->ctx, node->line, node->column, path, text);
	free(path);
}

/* ---- events ---- */

static void on_key(struct builder *b, const char *text, size_t len, int line, int column)
{
	if (len == 0 || !printable(text, len)) {
		fail(b, line, column, "a field name is missing before ':'");
		return;
	}
	b->key = must(strndup(text, len));
	b->key_line = line;
	b->key_column = column;
}

static void on_scalar(struct builder *b, struct fy_event *ev, int line, int column)
{
	struct fy_token *token = ev->scalar.value;
	bool plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
	const char *text = NULL;
	struct conf_node *node;
	size_t len = 0;

	if (token != NULL)
		text = fy_token_get_text(token, &len);
	if (text == NULL)
		text = "";
	if (token != NULL && !plain && column > 1)
		column--; /* the mark is behind the quote */
	if (wants_key(b)) {
		on_key(b, text, len, line, column);
		return;
	}
	node = add(b, CONF_NODE_SCALAR, line, column);
	node->text = must(strndup(text, len));
	if (ev->scalar.tag != NULL) {
		node->type = CONF_NODE_BAD;
		report_at(b, node, "tags (!name) are not supported; write the plain value");
	} else if (!printable(text, len)) {
		node->type = CONF_NODE_BAD;
		report_at(b, node, "has a line break or control character in it");
	} else if (plain && (len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0)) {
		node->type = CONF_NODE_NULL;
	}
}

static void on_alias(struct builder *b, int line, int column)
{
	column--; /* the mark is behind the asterisk */
	if (wants_key(b))
		fail(b, line, column, "an alias (*name) cannot be a field name");
	else
		report_at(b, add(b, CONF_NODE_BAD, line, column),
			  "aliases (*name) are not supported; write the value out");
}

static void on_open(struct builder *b, enum conf_node_type type, const struct fy_token *tag, int line, int column)
{
	if (wants_key(b)) {
		fail(b, line, column, "a list or mapping cannot be a field name");
		return;
	}
	if (++b->depth > CONF_TREE_DEPTH) {
		fail(b, line, column, "nested too deeply");
		return;
	}
	b->open = add(b, type, line, column);
	if (tag != NULL)
		report_at(b, b->open, "tags (!name) are not supported; write the plain value");
}

static void on_event(struct builder *b, struct fy_event *ev)
{
	const struct fy_mark *mark = fy_event_start_mark(ev);
	int line = mark != NULL ? mark->line + 1 : 0;
	int column = mark != NULL ? mark->column + 1 : 0;

	switch (ev->type) {
	case FYET_DOCUMENT_START:
		if (++b->documents > 1)
			fail(b, line, column, "a second document ('---') is not allowed");
		break;
	case FYET_MAPPING_START:
		on_open(b, CONF_NODE_MAP, ev->mapping_start.tag, line, column);
		break;
	case FYET_SEQUENCE_START:
		on_open(b, CONF_NODE_LIST, ev->sequence_start.tag, line, column);
		break;
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		if (b->open == NULL) /* the parser balances them */
			break;
		b->open = b->open->parent;
		b->depth--;
		break;
	case FYET_SCALAR:
		on_scalar(b, ev, line, column);
		break;
	case FYET_ALIAS:
		on_alias(b, line, column);
		break;
	default:
		break;
	}
}

/* ---- the whole ---- */

static void report_diag(struct builder *b, struct fy_diag *diag)
{
	struct fy_diag_error *error;
	bool any = false;
	void *iter = NULL;

	while ((error = fy_diag_errors_iterate(diag, &iter)) != NULL) {
		b->report(b->ctx, error->line, error->column, "syntax", error->msg);
		any = true;
	}
	if (!any)
		b->report(b->ctx, 0, 0, "syntax", "this is not YAML");
}

static void parse(struct builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
	struct fy_event *ev;

	while (!b->failed && (ev = fy_parser_parse(parser)) != NULL) {
		on_event(b, ev);
		fy_parser_event_free(parser, ev);
	}
	if (!b->failed && fy_parser_get_stream_error(parser)) {
		report_diag(b, diag);
		b->failed = true;
	}
}

/* text: as it may be seen by libfyaml. */
static struct conf_node *read_text(struct builder *b, const char *text, size_t len)
{
	struct fy_diag_cfg diag_cfg;
	struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE};
	struct fy_parser *parser;
	struct fy_diag *diag;

	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	diag = must(fy_diag_create(&diag_cfg));
	fy_diag_set_collect_errors(diag, true);
	cfg.diag = diag;
	parser = must(fy_parser_create(&cfg));
	if (fy_parser_set_string(parser, text, len) == 0)
		parse(b, parser, diag);
	else
		fail(b, 0, 0, "this is not YAML");
	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	free(b->key);
	if (b->failed) {
		conf_tree_free(b->root);
		return NULL;
	}
	if (b->root == NULL || b->root->type == CONF_NODE_NULL) {
		conf_tree_free(b->root);
		b->root = NULL;
		b->open = NULL;
		add(b, CONF_NODE_MAP, 1, 1);
	}
	return b->root;
}

struct conf_node *conf_tree_read(const char *text, size_t len, conf_tree_report report, void *ctx)
{
	struct builder b = {.report = report, .ctx = ctx};
	struct conf_node *root;
	char *copy;

	if (len > CONF_TREE_MAX_LEN) {
		report(ctx, 0, 0, "syntax", "the file is larger than 16 MiB");
		return NULL;
	}
	copy = must(malloc(len + 1)); /* 0 bytes are allowed */
	memcpy(copy, text, len);
	root = is_text(&b, copy, len) ? read_text(&b, copy, len) : NULL;
	free(copy);
	return root;
}

void conf_tree_free(struct conf_node *root)
{
	if (root == NULL)
		return;
	for (size_t i = 0; i < root->count; i++)
		conf_tree_free(root->children[i]); /* CONF_TREE_DEPTH levels at most */
	free(root->children);
	free(root->text);
	free(root->key);
	free(root);
}

char *conf_tree_path(const struct conf_node *node)
{
	char *parent, *path;
	int n;

	if (node->parent == NULL)
		return must(strdup(""));
	parent = conf_tree_path(node->parent);
	if (node->key != NULL)
		n = asprintf(&path, "%s%s%s", parent, parent[0] != '\0' ? "." : "", node->key);
	else
		n = asprintf(&path, "%s[%zu]", parent, node->index);
	free(parent);
	return must(n < 0 ? NULL : path);
}
