/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl help: prints the table of verbs, or one verb of it.
 *
 * Must not know of daemons.
 */
#include "ctl/ctl.h"

#include <string.h>

#include "lib/daemon.h"

static void print_options(FILE *out)
{
	fprintf(out,
		"\nOptions:\n"
		"  --run-dir DIR  where the daemons' sockets are; may be repeated (default %s)\n"
		"  --from NAME    ask only this daemon\n"
		"  --json         print JSON\n"
		"  --all          show counters: those that are zero, too\n"
		"  --timeout MS   how long to wait for a daemon (default %d)\n"
		"  --help         explain the verb\n"
		"  --version      print turnoutctl's own version\n",
		DAEMON_RUN_DIR, CTL_TIMEOUT_MS);
}

void help_general(FILE *out)
{
	int width = 0;

	fprintf(out, "usage: turnoutctl VERB [OPTIONS]\n\nAsks the Turnout daemons of this machine.\n\nVerbs:\n");
	for (const struct command *c = commands; c->name; c++)
		width = width > (int)strlen(c->arguments) ? width : (int)strlen(c->arguments);
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "  %-8s %-*s  %s\n", c->name, width, c->arguments, c->help);
	print_options(out);
	fprintf(out, "\nExample:\n  turnoutctl show services\n");
}

void help_command(FILE *out, const struct command *command)
{
	fprintf(out, "usage: turnoutctl %s%s%s [OPTIONS]\n\n%s: %s\n", command->name, *command->arguments ? " " : "",
		command->arguments, command->name, command->help);
	if (command->details)
		command->details(out);
	print_options(out);
	fprintf(out, "\nExample:\n  %s\n", command->example);
}

enum exitcode help_run(struct ctl *c)
{
	const struct command *command;

	if (c->argc == 1) {
		help_general(c->out);
		return EXITCODE_OK;
	}
	command = command_find(c, c->argv[1]);
	if (!command)
		return EXITCODE_USAGE;
	help_command(c->out, command);
	return EXITCODE_OK;
}
