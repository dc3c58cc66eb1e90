/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing a listing, for people as a table or for programs as JSON.
 *
 * Works from the rows' protobuf descriptor: a field's name is the JSON key and,
 * in upper case, the heading; numbers stand on the right.  A new field in
 * proto/admin.proto shows up here without a change.  Must not know what any
 * field means, nor where rows come from.
 */
#ifndef TURNOUT_CTL_RENDER_H
#define TURNOUT_CTL_RENDER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * The column that says which daemon a row came from.  It is not called
 * `source`, because rows about packets have a source of their own.
 */
#define RENDER_DAEMON "daemon"

struct render;

/* Start a listing.  Nothing is written yet.  `listing` is the key of the JSON
 * object, borrowed.  NULL when out of memory. */
struct render *render_new(FILE *out, bool json, const char *listing, const ProtobufCMessageDescriptor *type);
/* Add a row, which is copied.  JSON is written at once, so a long listing needs
 * no memory; a table needs all rows to know its widths.  False: out of memory. */
bool render_row(struct render *r, const char *daemon, const ProtobufCMessage *row);
size_t render_count(const struct render *r);
/* Write the rest and free r.  With no rows a table is the line `empty`.
 * False: something could not be written. */
bool render_end(struct render *r, const char *empty);
/* Free r; an unfinished JSON document stays unfinished. */
void render_cancel(struct render *r);

/* One row as a JSON object in a line of its own. */
bool render_line(FILE *out, const char *daemon, const ProtobufCMessage *row);

/* Can fields of this type be printed?  (For a test over all row types.) */
bool render_knows(const ProtobufCFieldDescriptor *field);

#endif
