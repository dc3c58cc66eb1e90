/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration: a tree of positions (lib/conf_tree.h) checked against tables
 * and written into plain structs.  Must not know what the fields mean.
 */
#include "lib/conf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf_tree.h"

#define MAX_FIELDS   64
#define MAX_MESSAGES 50 /* printed; a wrong file of a megabyte has one cause */

struct message {
	int line, column;
	size_t order;
	char *text;
};

struct conf {
	const char *name;
	struct message messages[MAX_MESSAGES];
	size_t errors; /* also those beyond MAX_MESSAGES */
	size_t bad;    /* nodes left unread, because the tree's reader had reported them */
};

static void *must(void *p)
{
	if (p == NULL)
		abort(); /* out of memory at start-up has no better answer */
	return p;
}

/* ---- messages ---- */

static void report(void *ctx, int line, int column, const char *path, const char *text)
{
	const char *colon = path[0] != '\0' ? ": " : "";
	struct conf *c = ctx;
	struct message *m;
	int n;

	if (c->errors < MAX_MESSAGES) {
		m = &c->messages[c->errors];
		*m = (struct message){line, column, c->errors, NULL};
		if (line > 0)
			n = asprintf(&m->text, "%s:%d:%d: %s%s%s", c->name, line, column, path, colon, text);
		else
			n = asprintf(&m->text, "%s: %s%s%s", c->name, path, colon, text);
		must(n < 0 ? NULL : m->text);
	}
	c->errors++;
}

static void report_node(struct conf *c, const struct conf_node *node, const char *text)
{
	char *path = conf_tree_path(node);

	report(c, node->line, node->column, path, text);
	free(path);
}

static struct conf_node *find(const struct conf_node *map, const char *field)
{
	if (map->type == CONF_NODE_MAP)
		for (size_t i = 0; i < map->count; i++)
			if (strcmp(map->children[i]->key, field) == 0)
				return map->children[i];
	return NULL;
}

const struct conf_node *conf_field_node(const struct conf_node *map, const char *field)
{
	const struct conf_node *node = find(map, field);

	return node != NULL ? node : map;
}

const struct conf_node *conf_item_node(const struct conf_node *map, const char *field, size_t i)
{
	const struct conf_node *node = conf_field_node(map, field);

	return node != map && node->type == CONF_NODE_LIST && i < node->count ? node->children[i] : node;
}

void conf_error(struct conf *c, const struct conf_node *node, const char *field, const char *format, ...)
{
	const struct conf_node *at = field != NULL ? conf_field_node(node, field) : node;
	char *path = conf_tree_path(at), *full = NULL, *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	must(n < 0 ? NULL : text);
	if (field != NULL && at == node) { /* the field is not in the file */
		n = asprintf(&full, "%s%s%s", path, path[0] != '\0' ? "." : "", field);
		must(n < 0 ? NULL : full);
	}
	report(c, at->line, at->column, full != NULL ? full : path, text);
	free(full);
	free(path);
	free(text);
}

static int by_position(const void *a, const void *b)
{
	const struct message *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void print_messages(struct conf *c, FILE *out)
{
	size_t kept = c->errors < MAX_MESSAGES ? c->errors : MAX_MESSAGES;

	qsort(c->messages, kept, sizeof(*c->messages), by_position);
	for (size_t i = 0; i < kept; i++) {
		fprintf(out, "%s\n", c->messages[i].text);
		free(c->messages[i].text);
	}
	if (c->errors > kept)
		fprintf(out, "%s: and %zu more errors\n", c->name, c->errors - kept);
}

/* ---- scalars ---- */

static bool parse_string(const struct conf_field *f, const char *text, void *dest)
{
	size_t len = strlen(text);

	if (len < f->min || (f->max != 0 && len > f->max))
		return false;
	free(*(char **)dest);
	*(char **)dest = must(strdup(text));
	return true;
}

static bool parse_bool(const struct conf_field *f, const char *text, void *dest)
{
	(void)f;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return false;
	*(bool *)dest = text[0] == 't';
	return true;
}

/* Digits only, no sign, no spaces, no leading zero (octal to some); 0x for hex. */
static bool parse_digits(const char *text, uint64_t *value)
{
	bool hex = text[0] == '0' && text[1] == 'x';
	const char *digits = hex ? text + 2 : text;
	size_t len = strlen(digits);

	if (len == 0 || strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != len)
		return false;
	if (!hex && len > 1 && digits[0] == '0')
		return false;
	errno = 0;
	*value = strtoull(digits, NULL, hex ? 16 : 10);
	return errno == 0;
}

static uint64_t number_max(const struct conf_field *f)
{
	uint64_t natural = f->kind == CONF_U16 ? UINT16_MAX : f->kind == CONF_U64 ? UINT64_MAX : UINT32_MAX;

	return f->max != 0 && f->max < natural ? f->max : natural;
}

static bool parse_number(const struct conf_field *f, const char *text, void *dest)
{
	uint64_t value;

	if (!parse_digits(text, &value) || value < f->min || value > number_max(f))
		return false;
	if (f->kind == CONF_U16)
		*(uint16_t *)dest = (uint16_t)value;
	else if (f->kind == CONF_U32)
		*(uint32_t *)dest = (uint32_t)value;
	else
		*(uint64_t *)dest = value;
	return true;
}

static const struct {
	const char *name;
	uint32_t ms;
} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define UNITS (sizeof(units) / sizeof(*units))

static bool parse_duration(const struct conf_field *f, const char *text, void *dest)
{
	size_t len = strspn(text, "0123456789");
	char digits[16];
	uint64_t value;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	for (size_t i = 0; i < UNITS; i++) {
		if (strcmp(text + len, units[i].name) != 0)
			continue;
		if (!parse_digits(digits, &value) || value > UINT32_MAX)
			return false;
		value *= units[i].ms;
		if (value < f->min || value > number_max(f))
			return false;
		*(uint32_t *)dest = (uint32_t)value;
		return true;
	}
	return false;
}

static bool parse_addr(const struct conf_field *f, const char *text, void *dest)
{
	(void)f;
	return addr_parse(text, dest);
}

static bool parse_prefix(const struct conf_field *f, const char *text, void *dest)
{
	struct conf_prefix *p = dest;

	(void)f;
	return addr_parse_prefix(text, &p->addr, &p->plen);
}

/* "addr", "addr:port", "[v6]:port"; a bare IPv6 address has no port. */
static bool parse_endpoint(const struct conf_field *f, const char *text, void *dest)
{
	static const struct conf_field port_field = {.kind = CONF_U16, .min = 1};
	struct conf_endpoint e = {.port = 0};
	char host[ADDR_STRLEN];
	const char *end, *port;

	(void)f;
	if (addr_parse(text, &e.addr)) {
		*(struct conf_endpoint *)dest = e;
		return true;
	}
	end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
	if (end == NULL || (size_t)(end - text) >= sizeof(host))
		return false;
	port = text[0] == '[' ? end + 1 : end;
	snprintf(host, sizeof(host), "%.*s", (int)(end - text) - (text[0] == '['), text + (text[0] == '['));
	if (!addr_parse(host, &e.addr) || e.addr.family != (text[0] == '[' ? 6 : 4))
		return false;
	if (*port != '\0' && (*port != ':' || !parse_number(&port_field, port + 1, &e.port)))
		return false;
	*(struct conf_endpoint *)dest = e;
	return true;
}

static bool parse_enum(const struct conf_field *f, const char *text, void *dest)
{
	for (const struct conf_choice *choice = f->choices; choice->name != NULL; choice++) {
		if (strcmp(choice->name, text) == 0) {
			*(int *)dest = choice->value;
			return true;
		}
	}
	return false;
}

static bool parse_scalar(const struct conf_field *f, const char *text, void *dest)
{
	static bool (*const parsers[])(const struct conf_field *, const char *, void *) = {
		[CONF_STRING] = parse_string, [CONF_BOOL] = parse_bool,     [CONF_U16] = parse_number,
		[CONF_U32] = parse_number,    [CONF_U64] = parse_number,    [CONF_DURATION] = parse_duration,
		[CONF_ADDR] = parse_addr,     [CONF_PREFIX] = parse_prefix, [CONF_ENDPOINT] = parse_endpoint,
		[CONF_ENUM] = parse_enum,
	};

	return parsers[f->kind](f, text, dest);
}

/* ---- what a field takes, in words ---- */

static void print_duration(FILE *out, uint64_t ms)
{
	for (size_t i = 0; i < UNITS; i++) {
		if ((ms != 0 && ms % units[i].ms == 0) || i == UNITS - 1) {
			fprintf(out, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
			return;
		}
	}
}

static void describe_duration(FILE *out, const struct conf_field *f)
{
	fputs("a duration such as 250ms, 10s, 5m or 1h", out);
	if (f->min == 0 && f->max == 0)
		return;
	fputs(", from ", out);
	print_duration(out, f->min);
	if (f->max == 0)
		return;
	fputs(" to ", out);
	print_duration(out, f->max);
}

static void describe_string(FILE *out, const struct conf_field *f)
{
	if (f->max != 0)
		fprintf(out, "text of %" PRIu64 " to %" PRIu64 " bytes", f->min, f->max);
	else if (f->min != 0)
		fprintf(out, "text of at least %" PRIu64 " byte%s", f->min, f->min == 1 ? "" : "s");
	else
		fputs("text", out);
}

static void describe_fields(FILE *out, const struct conf_mapping *map)
{
	for (const struct conf_field *f = map->fields; f->name != NULL; f++)
		fprintf(out, "%s%s", f == map->fields ? "" : ", ", f->name);
}

static void describe(FILE *out, const struct conf_field *f)
{
	switch (f->kind) {
	case CONF_STRING:
		describe_string(out, f);
		return;
	case CONF_BOOL:
		fputs("true or false", out);
		return;
	case CONF_U16:
	case CONF_U32:
	case CONF_U64:
		fprintf(out, "a number from %" PRIu64 " to %" PRIu64, f->min, number_max(f));
		return;
	case CONF_DURATION:
		describe_duration(out, f);
		return;
	case CONF_ADDR:
		fputs("an IPv4 or IPv6 address", out);
		return;
	case CONF_PREFIX:
		fputs("a prefix such as 192.0.2.0/24 or 2001:db8::/32", out);
		return;
	case CONF_ENDPOINT:
		fputs("an address, IPv4:port or [IPv6]:port", out);
		return;
	case CONF_ENUM:
		for (const struct conf_choice *choice = f->choices; choice->name != NULL; choice++)
			fprintf(out, "%s%s",
				choice == f->choices     ? ""
				: choice[1].name == NULL ? " or "
							 : ", ",
				choice->name);
		return;
	case CONF_MAP:
		fputs("a mapping of ", out);
		describe_fields(out, f->sub);
		return;
	case CONF_LIST:
		fputs("a list", out);
		return;
	}
}

/* "'70000' is not allowed; takes a number from 1 to 65535" */
static void report_value(struct conf *c, const struct conf_node *node, const struct conf_field *f)
{
	size_t size;
	char *text;
	FILE *out = must(open_memstream(&text, &size));

	if (node->type == CONF_NODE_SCALAR)
		fprintf(out, "'%.40s%s' is not allowed; takes ", node->text, strlen(node->text) > 40 ? "..." : "");
	else if (node->type == CONF_NODE_NULL)
		fputs("is empty; takes ", out);
	else
		fprintf(out, "a %s is not allowed; takes ", node->type == CONF_NODE_LIST ? "list" : "mapping");
	describe(out, f);
	fclose(out);
	report_node(c, node, text);
	free(text);
}

/* ---- names ---- */

/* Edit distance in which swapped neighbours are one edit. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), d[34][34];

	if (n > 32 || m > 32)
		return SIZE_MAX;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			size_t best;

			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][m];
}

static void report_unknown(struct conf *c, const struct conf_node *node, const struct conf_mapping *map)
{
	size_t best = strlen(node->key) / 3 + 2, size;
	char *path = conf_tree_path(node), *text;
	FILE *out = must(open_memstream(&text, &size));
	const char *nearest = NULL;

	for (const struct conf_field *f = map->fields; f->name != NULL; f++) {
		size_t d = distance(node->key, f->name);

		if (d < best) {
			best = d;
			nearest = f->name;
		}
	}
	if (nearest != NULL) {
		fprintf(out, "unknown field; did you mean '%s'?", nearest);
	} else {
		fputs("unknown field; known here: ", out);
		describe_fields(out, map);
	}
	fclose(out);
	report(c, node->key_line, node->key_column, path, text);
	free(path);
	free(text);
}

/* ---- fields ---- */

static void read_field(struct conf *c, const struct conf_node *node, const struct conf_field *f, void *dest);
static void set_defaults(const struct conf_mapping *map, void *obj);

static void *at(void *obj, size_t offset)
{
	return (char *)obj + offset;
}

static size_t field_count(const struct conf_mapping *map)
{
	size_t n = 0;

	while (map->fields[n].name != NULL)
		n++;
	assert(n <= MAX_FIELDS);
	return n;
}

/* The items of a list are fields without a name. */
static struct conf_field item_field(const struct conf_field *list)
{
	return (struct conf_field){.name = list->name, .kind = list->item, .choices = list->choices, .sub = list->sub};
}

static void set_default(const struct conf_field *f, void *dest)
{
	bool good = true;

	if (f->kind == CONF_MAP) {
		set_defaults(f->sub, dest);
	} else if (f->kind == CONF_LIST && f->fallback != NULL) {
		struct conf_field item = item_field(f);
		struct conf_list *list = dest;

		list->items = must(calloc(1, f->item_size));
		list->count = 1;
		good = parse_scalar(&item, f->fallback, list->items);
	} else if (f->fallback != NULL) {
		good = parse_scalar(f, f->fallback, dest);
	}
	assert(good); /* a table with a wrong default */
	(void)good;
}

static void set_defaults(const struct conf_mapping *map, void *obj)
{
	for (const struct conf_field *f = map->fields; f->name != NULL; f++)
		set_default(f, at(obj, f->offset));
}

static void read_list(struct conf *c, const struct conf_node *node, const struct conf_field *f, struct conf_list *list)
{
	bool lone = node->type != CONF_NODE_LIST;
	size_t count = lone ? 1 : node->count;
	struct conf_field item = item_field(f);
	char limit[40] = "or more";

	if (count < f->min || (f->max != 0 && count > f->max)) {
		if (f->max != 0)
			snprintf(limit, sizeof(limit), "to %" PRIu64, f->max);
		conf_error(c, node, NULL, "has %zu item%s; takes %" PRIu64 " %s", count, count == 1 ? "" : "s", f->min,
			   limit);
		return;
	}
	if (count == 0)
		return;
	assert(f->item_size > 0); /* a list's row says it */
	list->items = must(calloc(count, f->item_size));
	list->count = count;
	for (size_t i = 0; i < count; i++)
		read_field(c, lone ? node : node->children[i], &item, at(list->items, i * f->item_size));
}

/* Find each field's node; report what is unknown or repeated. */
static void match_fields(struct conf *c, const struct conf_node *node, const struct conf_mapping *map,
			 const struct conf_node *nodes[MAX_FIELDS])
{
	for (size_t i = 0; i < node->count; i++) {
		const struct conf_node *child = node->children[i];
		size_t n = 0;

		while (map->fields[n].name != NULL && strcmp(map->fields[n].name, child->key) != 0)
			n++;
		if (map->fields[n].name == NULL) {
			report_unknown(c, child, map);
		} else if (nodes[n] != NULL) {
			char *path = conf_tree_path(child), text[64];

			snprintf(text, sizeof(text), "given twice; first in line %d", nodes[n]->key_line);
			report(c, child->key_line, child->key_column, path, text);
			free(path);
		} else {
			nodes[n] = child;
		}
	}
}

static void read_mapping(struct conf *c, const struct conf_node *node, const struct conf_mapping *map, void *obj)
{
	const struct conf_node *nodes[MAX_FIELDS] = {NULL};
	size_t count = field_count(map), errors = c->errors, bad = c->bad;

	if (node->type == CONF_NODE_MAP)
		match_fields(c, node, map, nodes);
	for (size_t i = 0; i < count; i++) {
		const struct conf_field *f = &map->fields[i];
		const struct conf_node *child = nodes[i];

		if (node->type != CONF_NODE_MAP && strcmp(f->name, map->lone) == 0)
			child = node;
		if (f->node_offset != 0)
			*(const struct conf_node **)at(obj, f->node_offset) = child != NULL ? child : node;
		if (child != NULL)
			read_field(c, child, f, at(obj, f->offset));
		else if (!f->required)
			set_default(f, at(obj, f->offset));
		else
			conf_error(c, node, f->name, "is missing");
	}
	if (map->check != NULL && c->errors == errors && c->bad == bad && !map->check(c, node, obj))
		assert(c->errors > errors);
}

static void read_field(struct conf *c, const struct conf_node *node, const struct conf_field *f, void *dest)
{
	bool good;

	if (node->type == CONF_NODE_BAD) {
		c->bad++; /* was reported when the tree was read */
		return;
	}
	if (f->kind == CONF_LIST && node->type != CONF_NODE_NULL) {
		read_list(c, node, f, dest);
		return;
	}
	if (f->kind == CONF_MAP)
		good = node->type == CONF_NODE_MAP || (node->type == CONF_NODE_SCALAR && f->sub->lone != NULL);
	else
		good = node->type == CONF_NODE_SCALAR && parse_scalar(f, node->text, dest);
	if (!good)
		report_value(c, node, f);
	else if (f->kind == CONF_MAP)
		read_mapping(c, node, f->sub, dest);
}

/* ---- freeing ---- */

static void free_fields(const struct conf_mapping *map, void *obj);

static void free_field(const struct conf_field *f, void *dest)
{
	if (f->kind == CONF_STRING) {
		free(*(char **)dest);
	} else if (f->kind == CONF_MAP) {
		free_fields(f->sub, dest);
	} else if (f->kind == CONF_LIST) {
		struct conf_field item = item_field(f);
		struct conf_list *list = dest;

		for (size_t i = 0; i < list->count; i++)
			free_field(&item, at(list->items, i * f->item_size));
		free(list->items);
	}
}

static void free_fields(const struct conf_mapping *map, void *obj)
{
	for (const struct conf_field *f = map->fields; f->name != NULL; f++)
		free_field(f, at(obj, f->offset));
}

void conf_free(const struct conf_mapping *map, size_t size, void *obj)
{
	free_fields(map, obj);
	memset(obj, 0, size);
}

/* ---- the whole ---- */

static bool load(struct conf *c, const char *text, size_t len, const struct conf_mapping *map, size_t size, void *obj)
{
	const struct conf_field top = {.name = map->name, .kind = CONF_MAP, .sub = map};
	struct conf_node *root = conf_tree_read(text, len, report, c);

	if (root != NULL)
		read_field(c, root, &top, obj);
	conf_tree_free(root);
	if (c->errors == 0)
		return true;
	conf_free(map, size, obj);
	return false;
}

bool conf_load_text(const char *name, const char *text, size_t len, const struct conf_mapping *map, size_t size,
		    void *obj, char *errors, size_t errors_size)
{
	struct conf c = {.name = name};
	bool good = load(&c, text, len, map, size, obj);
	size_t printed_size;
	char *printed;
	FILE *out = must(open_memstream(&printed, &printed_size));

	print_messages(&c, out);
	fclose(out);
	if (errors_size > 0)
		snprintf(errors, errors_size, "%s", printed);
	free(printed);
	return good;
}

/* NULL: *why says why.  wait: one that is not a regular file may be opened, and read as long as it takes. */
static FILE *open_file(const char *path, bool wait, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | (wait ? 0 : O_NONBLOCK));
	struct stat st;
	FILE *in = NULL;

	if (fd < 0 || fstat(fd, &st) < 0)
		*why = strerror(errno);
	else if (S_ISDIR(st.st_mode))
		*why = strerror(EISDIR);
	else if (!wait && !S_ISREG(st.st_mode))
		*why = "it is not a regular file";
	else
		in = must(fdopen(fd, "r"));
	if (in == NULL && fd >= 0)
		close(fd);
	return in;
}

/* Read a file whole, a byte more than is allowed at most.  NULL: *why says why. */
static char *read_file(const char *path, bool wait, size_t *len, const char **why)
{
	size_t cap = (size_t)CONF_TREE_MAX_LEN + 2, used = 0, room = 0, n;
	FILE *in = open_file(path, wait, why);
	char *text = NULL;

	if (in == NULL)
		return NULL;
	do {
		if (used == room) {
			room = room == 0 ? 16384 : 2 * room < cap ? 2 * room : cap;
			text = must(realloc(text, room));
		}
		n = fread(text + used, 1, room - used, in);
		used += n;
	} while (n > 0 && used < cap);
	if (ferror(in)) {
		*why = strerror(errno);
		free(text);
		text = NULL;
	}
	fclose(in);
	*len = used;
	return text;
}

bool conf_load(const char *path, const struct conf_mapping *map, size_t size, void *obj)
{
	struct conf c = {.name = path};
	const char *why = NULL;
	size_t len = 0;
	char *text = read_file(path, true, &len, &why);
	bool good;

	if (text == NULL) {
		fprintf(stderr, "%s: cannot be read: %s\n", path, why);
		return false;
	}
	good = load(&c, text, len, map, size, obj);
	print_messages(&c, stderr);
	free(text);
	return good;
}

bool conf_load_quiet(const char *path, const struct conf_mapping *map, size_t size, void *obj, char *errors,
		     size_t errors_size)
{
	const char *why = NULL;
	size_t len = 0;
	char *text = read_file(path, false, &len, &why);
	bool good;

	if (text == NULL) {
		snprintf(errors, errors_size, "%s: cannot be read: %s\n", path, why);
		return false;
	}
	good = conf_load_text(path, text, len, map, size, obj, errors, errors_size);
	free(text);
	return good;
}
