/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl's command line: options, the table of verbs, usage errors.
 *
 * Must not know what a verb does.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/text.h"
#include "lib/daemon.h"

const struct command commands[] = {
	{"show", "LISTING", "print what the daemons hold", "turnoutctl show services", show_run, show_details},
	{"watch", "", "print what happens, as it happens", "turnoutctl watch --for 1m", watch_run, watch_details},
	{"trace", "PROTO FROM TO [FLAGS]", "what would become of a packet, and why",
	 "turnoutctl trace tcp 10.0.1.11:4000 203.0.113.10:80", trace_run, trace_details},
	{"server", "ACTION [SERVICE/]SERVER", "drain, disable or enable a server", "turnoutctl server drain web/s1",
	 server_run, server_details},
	{"version", "", "print the versions of turnoutctl and of the daemons", "turnoutctl version --json", version_run,
	 NULL},
	{"capture", "[FILTER...]", "show packets that agents drop, punt, copy or get back",
	 "turnoutctl capture --drops -w drops.pcap tcp", capture_run, capture_details},
	{"doctor", "", "what is wrong here, and what to do about it", "turnoutctl doctor", doctor_run, doctor_details},
	{"help", "[VERB]", "explain a verb", "turnoutctl help show", help_run, NULL},
	{NULL, NULL, NULL, NULL, NULL, NULL},
};

enum { OPTION_RUN_DIR = 256, OPTION_FROM, OPTION_JSON, OPTION_TIMEOUT, OPTION_ALL, OPTION_VERSION, OPTION_CAPTURE };

static const struct option options[] = {
	{"run-dir", required_argument, NULL, OPTION_RUN_DIR},
	{"from", required_argument, NULL, OPTION_FROM},
	{"json", no_argument, NULL, OPTION_JSON},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"all", no_argument, NULL, OPTION_ALL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	/* Of capture, in the order of take_capture_option(); count and for are watch's, too. */
	{"write", required_argument, NULL, 'w'},
	{"count", required_argument, NULL, OPTION_CAPTURE},
	{"for", required_argument, NULL, OPTION_CAPTURE + 1},
	{"reason", required_argument, NULL, OPTION_CAPTURE + 2},
	{"drops", no_argument, NULL, OPTION_CAPTURE + 3},
	{"punts", no_argument, NULL, OPTION_CAPTURE + 4},
	{"copies", no_argument, NULL, OPTION_CAPTURE + 5},
	{"returned", no_argument, NULL, OPTION_CAPTURE + 6},
	{NULL, 0, NULL, 0},
};

/* ---- messages ---- */

enum exitcode ctl_error(struct ctl *c, enum exitcode status, const char *format, ...)
{
	char *text = NULL, *safe = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		safe = text_safe(text);
	va_end(args);
	fprintf(c->err, "turnoutctl: %s\n", safe ? safe : "out of memory");
	free(safe);
	free(text);
	return status;
}

static void append(char *list, size_t size, const char *word)
{
	size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s", len ? ", " : "", word);
}

enum exitcode ctl_unknown(struct ctl *c, const char *what, const char *word, const char *const *words, size_t count)
{
	const char *nearest = text_nearest(word, words, count);
	char list[512] = "";

	for (size_t i = 0; i < count; i++)
		append(list, sizeof(list), words[i]);
	if (!*word)
		return ctl_error(c, EXITCODE_USAGE, "which %s? There are: %s", what, list);
	if (nearest)
		return ctl_error(c, EXITCODE_USAGE, "unknown %s '%s'; did you mean '%s'? There are: %s", what, word,
				 nearest, list);
	return ctl_error(c, EXITCODE_USAGE, "unknown %s '%s'; there are: %s", what, word, list);
}

const struct command *command_find(struct ctl *c, const char *name)
{
	const char *names[16];
	size_t n = 0;

	for (const struct command *command = commands; command->name; command++) {
		if (strcmp(command->name, name) == 0)
			return command;
		if (n < sizeof(names) / sizeof(names[0]))
			names[n++] = command->name;
	}
	ctl_unknown(c, "verb", name, names, n);
	return NULL;
}

/* ---- options ---- */

static bool parse_timeout(struct ctl *c, const char *text)
{
	char *end;
	long ms = strtol(text, &end, 10);

	if (*end || end == text || ms < 1 || ms > CTL_TIMEOUT_MAX_MS) {
		ctl_error(c, EXITCODE_USAGE, "--timeout '%s': a number of milliseconds from 1 to %d is needed", text,
			  CTL_TIMEOUT_MAX_MS);
		return false;
	}
	c->timeout_ms = (int)ms;
	return true;
}

static bool bad_option(struct ctl *c, int code, const char *word)
{
	char spelt[sizeof(options) / sizeof(options[0])][16], name[64];
	const char *names[sizeof(options) / sizeof(options[0])];
	size_t n = 0;

	if (code == ':') {
		ctl_error(c, EXITCODE_USAGE, "%s needs a value; see turnoutctl help", word);
		return false;
	}
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	for (const struct option *o = options; o->name; o++) {
		snprintf(spelt[n], sizeof(spelt[n]), "--%s", o->name);
		if (strcmp(spelt[n], name) == 0) {
			ctl_error(c, EXITCODE_USAGE, "%s takes no value", name);
			return false;
		}
		names[n] = spelt[n];
		n++;
	}
	ctl_unknown(c, "option", name, names, n);
	return false;
}

static bool take_capture_option(struct ctl *c, int code)
{
	struct ctl_capture *o = &c->capture;
	const char **const texts[] = {&o->count, &o->duration, &o->reason};
	bool *const flags[] = {&o->drops, &o->punts, &o->copies, &o->returned};

	if (code == 'w')
		o->file = optarg;
	else if (code < OPTION_CAPTURE + 3)
		*texts[code - OPTION_CAPTURE] = optarg;
	else
		*flags[code - OPTION_CAPTURE - 3] = true;
	for (const struct option *l = options; l->name; l++)
		if (l->val == code)
			*(code == OPTION_CAPTURE || code == OPTION_CAPTURE + 1 ? &o->bound : &o->given) = l->name;
	return true;
}

static bool take_option(struct ctl *c, int code, const char *word)
{
	if (code == 'w' || (code >= OPTION_CAPTURE && code <= OPTION_CAPTURE + 6))
		return take_capture_option(c, code);
	switch (code) {
	case OPTION_RUN_DIR:
		if (!*optarg) {
			ctl_error(c, EXITCODE_USAGE, "--run-dir needs a directory");
			return false;
		}
		c->run_dirs[c->run_dir_count++] = optarg;
		return true;
	case OPTION_FROM:
		c->from = optarg;
		return true;
	case OPTION_TIMEOUT:
		return parse_timeout(c, optarg);
	case OPTION_JSON:
		c->json = true;
		return true;
	case OPTION_ALL:
		c->all = true;
		return true;
	case OPTION_VERSION:
		c->version = true;
		return true;
	case 'h':
		c->help = true;
		return true;
	default:
		return bad_option(c, code, word);
	}
}

static bool parse(struct ctl *c, int argc, char **argv)
{
	optind = 0; /* so that a process can parse more than once (glibc) */
	for (;;) {
		int at = optind ? optind : 1;
		int code = getopt_long(argc, argv, ":hw:", options, NULL);

		if (code == -1)
			break;
		/* The word getopt stands on after permuting; good enough to name it. */
		if (!take_option(c, code, argv[optind > at ? optind - 1 : at]))
			return false;
	}
	if (c->run_dir_count == 0)
		c->run_dirs[c->run_dir_count++] = DAEMON_RUN_DIR;
	c->argc = argc - optind;
	c->argv = argv + optind;
	return true;
}

static enum exitcode dispatch(struct ctl *c)
{
	const struct command *command;

	if (c->version) {
		fprintf(c->out, "turnoutctl %s\n", TURNOUT_VERSION);
		return EXITCODE_OK;
	}
	if (c->argc == 0) {
		help_general(c->help ? c->out : c->err);
		return c->help ? EXITCODE_OK : EXITCODE_USAGE;
	}
	command = command_find(c, c->argv[0]);
	if (!command)
		return EXITCODE_USAGE;
	if (c->help) {
		help_command(c->out, command);
		return EXITCODE_OK;
	}
	if (c->capture.given && command->run != capture_run)
		return ctl_error(c, EXITCODE_USAGE, "--%s is an option of capture, not of %s", c->capture.given,
				 command->name);
	if (c->capture.bound && command->run != capture_run && command->run != watch_run &&
	    (command->run != doctor_run || c->capture.count))
		return ctl_error(c, EXITCODE_USAGE, "--%s is an option of capture and watch, not of %s",
				 c->capture.bound, command->name);
	return command->run(c);
}

enum exitcode ctl_run(int argc, char **argv, FILE *out, FILE *err)
{
	struct ctl c = {.out = out, .err = err, .timeout_ms = CTL_TIMEOUT_MS, .max_pages = CTL_MAX_PAGES};
	enum exitcode status = EXITCODE_USAGE;

	c.run_dirs = calloc((size_t)argc + 1, sizeof(*c.run_dirs));
	if (!c.run_dirs)
		return ctl_error(&c, EXITCODE_FAILURE, "out of memory");
	if (parse(&c, argc, argv))
		status = dispatch(&c);
	free(c.run_dirs);
	return status;
}
