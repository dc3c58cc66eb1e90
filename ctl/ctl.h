/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl's insides: the options, the table of verbs, and asking daemons.
 *
 * Each verb has a file of its own and prints only to the streams it is given.
 * Only ask_io.c talks to daemons.  ARCH-7.
 */
#ifndef TURNOUT_CTL_CTL_H
#define TURNOUT_CTL_CTL_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/bus.h"
#include "lib/exitcode.h"

#define CTL_TIMEOUT_MS     2000
#define CTL_TIMEOUT_MAX_MS 600000
#define CTL_MAX_PAGES      20000 /* more than the longest listing has */

/* Options of capture, and some of watch, as given; NULL: not. */
struct ctl_capture {
	const char *file, *count, *duration, *reason;
	bool drops, punts, copies, returned;
	const char *given; /* the name of one of them that only capture has */
	const char *bound; /* of one that watch has, too */
};

struct ctl {
	FILE *out;
	FILE *err;
	const char **run_dirs; /* allocated; strings from argv */
	size_t run_dir_count;
	const char *from; /* NULL: every daemon */
	bool json;
	bool all;
	bool help;
	bool version;
	int timeout_ms;
	size_t max_pages; /* a daemon whose cursors never end would keep us for ever */
	struct ctl_capture capture;
	int argc; /* words that are not options, the verb first */
	char **argv;
};

/* A whole run of the program; main() is no more than this. */
enum exitcode ctl_run(int argc, char **argv, FILE *out, FILE *err);

/* ---- verbs: one file each ---- */

struct command {
	const char *name;
	const char *arguments; /* for help, "" if none */
	const char *help;      /* one line */
	const char *example;
	enum exitcode (*run)(struct ctl *c);
	void (*details)(FILE *out); /* more help; NULL: none */
};
extern const struct command commands[]; /* ends with name NULL */

enum exitcode show_run(struct ctl *c);
void show_details(FILE *out);
enum exitcode version_run(struct ctl *c);
enum exitcode help_run(struct ctl *c);
enum exitcode watch_run(struct ctl *c);
void watch_details(FILE *out);
enum exitcode trace_run(struct ctl *c);
void trace_details(FILE *out);
/* "192.0.2.1:80", "[2001:db8::1]:80", or an address alone, port 0.  host: ADDR_STRLEN bytes. */
bool trace_endpoint(const char *text, char *host, uint32_t *port);
enum exitcode server_run(struct ctl *c);
void server_details(FILE *out);
/* "web/s1" or "s1"; service gets "" without one.  False: not of this form. */
bool server_split(const char *word, char *service, size_t size, const char **name);
enum exitcode capture_run(struct ctl *c);
void capture_details(FILE *out);
enum exitcode doctor_run(struct ctl *c);
void doctor_details(FILE *out);
void help_general(FILE *out);
void help_command(FILE *out, const struct command *command);

/* The command of this name, or NULL after saying which there are. */
const struct command *command_find(struct ctl *c, const char *name);

/* ---- messages ---- */

/* "turnoutctl: ...\n" on the error stream; returns status. */
enum exitcode ctl_error(struct ctl *c, enum exitcode status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A usage error for a word that is missing (empty) or none of `words`: lists them and suggests the nearest. */
enum exitcode ctl_unknown(struct ctl *c, const char *what, const char *word, const char *const *words, size_t count);

/* ---- asking ---- */

/* Called for every page of every daemon that answered.  `daemon` is its name,
 * with several run directories "RUN_DIR/NAME".  False ends the asking (the
 * callee has said why). */
typedef bool (*ask_page)(void *ctx, const char *daemon, const Turnout__Reply *reply);

/*
 * Put a request to each daemon, or to --from, page by page.  `what` names it
 * for messages.  Daemons that do not know it are passed over when another does.
 * Returns EXITCODE_OK if at least one answered and none failed; otherwise has
 * said why and returns the status; *answered is the number of daemons that did.
 */
enum exitcode ask_all(struct ctl *c, const char *what, Turnout__Request *request, ask_page page, void *ctx,
		      size_t *answered);

#endif
