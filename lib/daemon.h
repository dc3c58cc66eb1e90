/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every daemon's main() needs around its event loop: the command line,
 * signals, capabilities, readiness and watchdog, the clock and randomness.
 *
 * Must not know of any daemon's types, nor of sockets or configuration.
 *
 * The usual order in a main():
 *
 *	if (!daemon_parse(&options, argc, argv, &usage, &status))
 *		return status;
 *	... read the configuration; with options.check say so and return ...
 *	status = daemon_drop_capabilities(caps, n);     before any thread
 *	sd_event_default(&loop);
 *	daemon_signals(loop, on_reload, ctx);
 *	... open sockets, start the bus ...
 *	daemon_ready(loop, "serving");
 *	sd_event_loop(loop);
 *	daemon_stopping();
 */
#ifndef TURNOUT_LIB_DAEMON_H
#define TURNOUT_LIB_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define DAEMON_RUN_DIR "/run/turnout"

/* All strings point into argv or are constants. */
struct daemon_options {
	const char *config;  /* --config FILE, required unless usage.config_optional */
	const char *run_dir; /* --run-dir DIR, default DAEMON_RUN_DIR */
	const char *name;    /* --name NAME, default the program's; [A-Za-z0-9._-], at most 31 characters */
	bool debug;          /* --debug */
	bool check;          /* --check: read the configuration, say whether it is good, exit */
};

/* What a program says about itself. */
struct daemon_usage {
	const char *program; /* "fad" */
	const char *summary; /* one line */
	const char *example; /* printed under "Example:"; lines end with \n */
	bool config_optional;
};

/*
 * Parse the command line and open the log.  Returns false when the program
 * should end with *status: after --help or --version (EXITCODE_OK), or a wrong
 * command line (EXITCODE_USAGE, after one line on standard error).
 */
bool daemon_parse(struct daemon_options *options, int argc, char **argv, const struct daemon_usage *usage, int *status);

/*
 * Block SIGTERM, SIGINT and SIGHUP and have the loop handle them: the first
 * two end it with code 0, SIGHUP calls reload (NULL: ignored, with a log line).
 * SIGPIPE is ignored.  Before any thread.  Returns 0 or a negative errno.
 */
int daemon_signals(sd_event *loop, void (*reload)(void *ctx), void *ctx);
/* The same for a daemon that has something to do before it ends: SIGTERM and
 * SIGINT call end, which ends the loop in its own time; it may be called again. */
int daemon_signals_end(sd_event *loop, void (*reload)(void *ctx), void (*end)(void *ctx), void *ctx);

/*
 * Keep these capabilities (CAP_*), drop all others, also from the bounding set
 * where that is permitted, and set no_new_privs.  Before any thread, since
 * capabilities are per thread.  Returns EXITCODE_OK, or EXITCODE_PRIVILEGE
 * after one line naming what is missing and how to give it.
 */
int daemon_drop_capabilities(const int *keep, size_t count);

/* No core files: there are keys in this memory.  Others are not kept from raising the limit again. */
void daemon_no_core(void);

/* Tell the service manager, if there is one; start its watchdog, if it wants
 * one.  status: what `systemctl status` shows. */
void daemon_ready(sd_event *loop, const char *status);
void daemon_stopping(void);

/* Monotonic milliseconds and nanoseconds; never 0. */
uint64_t daemon_now_ms(void);
uint64_t daemon_now_ns(void);

/* Kernel randomness, of the shape of session_random (proto/session.h). ctx is not used. */
void daemon_random(void *ctx, void *bytes, size_t len);

#endif
