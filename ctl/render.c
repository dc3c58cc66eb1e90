/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing a listing, see render.h: libsmartcols draws the table, jansson
 * writes the JSON.
 *
 * Must not know what any field means, nor where rows come from.
 */
#include "ctl/render.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"

struct render {
	FILE *out;
	const char *listing;
	const ProtobufCMessageDescriptor *type;
	struct libscols_table *table; /* NULL: JSON */
	size_t rows;
};

/* ---- fields ---- */

static bool is_number(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_UINT64;
}

bool render_knows(const ProtobufCFieldDescriptor *field)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return false;
	return is_number(field) || field->type == PROTOBUF_C_TYPE_BOOL || field->type == PROTOBUF_C_TYPE_STRING;
}

static uint64_t number(const ProtobufCFieldDescriptor *field, const void *value)
{
	return field->type == PROTOBUF_C_TYPE_UINT32 ? *(const uint32_t *)value : *(const uint64_t *)value;
}

static const void *member(const ProtobufCMessage *row, const ProtobufCFieldDescriptor *field)
{
	return (const uint8_t *)row + field->offset;
}

/* ---- text ---- */

/* An empty text is a dash, so that a row always has as many words as columns. */
static char *text_value(const ProtobufCFieldDescriptor *field, const void *value)
{
	char digits[24];

	if (is_number(field)) {
		snprintf(digits, sizeof(digits), "%" PRIu64, number(field, value));
		return strdup(digits);
	}
	if (field->type == PROTOBUF_C_TYPE_BOOL)
		return strdup(*(const protobuf_c_boolean *)value ? "yes" : "no");
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		const char *text = *(char *const *)value;

		return text_safe(text && *text ? text : "-");
	}
	return strdup("-");
}

static bool add_column(struct render *r, const char *name, bool right)
{
	char heading[64];
	size_t i;

	for (i = 0; name[i] && i < sizeof(heading) - 1; i++)
		heading[i] = (char)toupper((unsigned char)name[i]);
	heading[i] = '\0';
	return scols_table_new_column(r->table, heading, 0, right ? SCOLS_FL_RIGHT : 0) != NULL;
}

static bool start_table(struct render *r)
{
	r->table = scols_new_table();
	if (!r->table)
		return false;
	scols_table_set_stream(r->table, r->out);
	/* Never cut a value to the width of the terminal. */
	scols_table_set_termforce(r->table, SCOLS_TERMFORCE_NEVER);
	if (!add_column(r, RENDER_DAEMON, false))
		return false;
	for (unsigned i = 0; i < r->type->n_fields; i++)
		if (!add_column(r, r->type->fields[i].name, is_number(&r->type->fields[i])))
			return false;
	return true;
}

static bool text_row(struct render *r, const char *daemon, const ProtobufCMessage *row)
{
	struct libscols_line *line = scols_table_new_line(r->table, NULL);
	char *text = text_safe(daemon && *daemon ? daemon : "-");

	if (!line || !text || scols_line_refer_data(line, 0, text) < 0) {
		free(text);
		return false;
	}
	for (unsigned i = 0; i < r->type->n_fields; i++) {
		text = text_value(&r->type->fields[i], member(row, &r->type->fields[i]));
		if (!text || scols_line_refer_data(line, i + 1, text) < 0) {
			free(text);
			return false;
		}
	}
	return true;
}

/* ---- JSON ---- */

static json_t *json_text(const char *text)
{
	char *safe = text_safe(text ? text : "");
	json_t *value = safe ? json_string(safe) : NULL;

	free(safe);
	return value;
}

static json_t *json_value(const ProtobufCFieldDescriptor *field, const void *value)
{
	if (is_number(field)) {
		uint64_t n = number(field, value);

		/* jansson's integers are signed; beyond them a double comes nearest. */
		return n <= INT64_MAX ? json_integer((json_int_t)n) : json_real((double)n);
	}
	if (field->type == PROTOBUF_C_TYPE_BOOL)
		return json_boolean(*(const protobuf_c_boolean *)value);
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return json_text(*(char *const *)value);
	return json_null();
}

static void json_start(struct render *r)
{
	fprintf(r->out, "{\"%s\":[", r->listing);
}

/* NULL: out of memory. */
static json_t *json_of(const char *daemon, const ProtobufCMessage *row)
{
	json_t *object = json_object();
	bool ok = object != NULL;

	for (unsigned i = 0; ok && i < row->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &row->descriptor->fields[i];

		ok = json_object_set_new(object, field->name, json_value(field, member(row, field))) == 0;
	}
	if (ok && json_object_set_new(object, RENDER_DAEMON, json_text(daemon)) == 0)
		return object;
	json_decref(object);
	return NULL;
}

bool render_line(FILE *out, const char *daemon, const ProtobufCMessage *row)
{
	json_t *object = json_of(daemon, row);
	bool ok = object && json_dumpf(object, out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;

	json_decref(object);
	return fputc('\n', out) != EOF && ok;
}

static bool json_row(struct render *r, const char *daemon, const ProtobufCMessage *row)
{
	json_t *object = json_of(daemon, row);
	bool ok = object != NULL;

	if (ok) {
		if (r->rows == 0)
			json_start(r);
		fputs(r->rows == 0 ? "\n" : ",\n", r->out);
		ok = json_dumpf(object, r->out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;
	}
	json_decref(object);
	return ok;
}

/* ---- either ---- */

struct render *render_new(FILE *out, bool json, const char *listing, const ProtobufCMessageDescriptor *type)
{
	struct render *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->out = out;
	r->listing = listing;
	r->type = type;
	if (!json && !start_table(r)) {
		render_cancel(r);
		return NULL;
	}
	return r;
}

bool render_row(struct render *r, const char *daemon, const ProtobufCMessage *row)
{
	bool ok = r->table ? text_row(r, daemon, row) : json_row(r, daemon, row);

	if (ok)
		r->rows++;
	return ok;
}

size_t render_count(const struct render *r)
{
	return r->rows;
}

bool render_end(struct render *r, const char *empty)
{
	bool ok = true;

	if (r->table && r->rows > 0) {
		ok = scols_print_table(r->table) == 0;
	} else if (r->table) {
		fprintf(r->out, "%s\n", empty);
	} else {
		if (r->rows == 0)
			json_start(r);
		fputs(r->rows > 0 ? "\n]}\n" : "]}\n", r->out);
	}
	if (fflush(r->out) != 0 || ferror(r->out))
		ok = false;
	render_cancel(r);
	return ok;
}

void render_cancel(struct render *r)
{
	if (!r)
		return;
	scols_unref_table(r->table);
	free(r);
}
