/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every daemon's main() needs around its event loop.  Must not know of
 * any daemon's types.
 */
#include "lib/daemon.h"

#include <cap-ng.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "lib/exitcode.h"
#include "lib/log.h"

#define NAME_MAX_LEN 31

enum option_id { OPTION_CONFIG = 'c', OPTION_RUN_DIR = 'r', OPTION_NAME = 'n', OPTION_DEBUG = 'd', OPTION_CHECK = 'C' };

static void print_help(const struct daemon_usage *usage)
{
	printf("%s - %s\n\n"
	       "Usage: %s %s [OPTION...]\n\n"
	       "  --config FILE   configuration, see docs/configuration.md\n"
	       "  --run-dir DIR   where sockets and state go (default %s)\n"
	       "  --name NAME     name of this instance's sockets (default %s)\n"
	       "  --debug         log more\n"
	       "  --check         read the configuration, say whether it is good, exit\n"
	       "  --help          this\n"
	       "  --version       version\n\n"
	       "Example:\n%s",
	       usage->program, usage->summary, usage->program,
	       usage->config_optional ? "[--config FILE]" : "--config FILE", DAEMON_RUN_DIR, usage->program,
	       usage->example);
}

/* The name becomes part of file names. */
static bool name_good(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && len <= NAME_MAX_LEN && name[len] == '\0' && name[0] != '.' && name[0] != '-';
}

static bool usage_error(const struct daemon_usage *usage, int *status, const char *what, const char *value)
{
	fprintf(stderr, "%s: %s%s; try '%s --help'\n", usage->program, what, value, usage->program);
	*status = EXITCODE_USAGE;
	return false;
}

/* One option; returns false when the program should end with *status. */
static bool take_option(int option, struct daemon_options *options, const struct daemon_usage *usage, int *status)
{
	switch (option) {
	case OPTION_CONFIG:
		options->config = optarg;
		return true;
	case OPTION_RUN_DIR:
		options->run_dir = optarg ? optarg : "";
		return true;
	case OPTION_NAME:
		options->name = optarg ? optarg : "";
		return true;
	case OPTION_DEBUG:
		options->debug = true;
		return true;
	case OPTION_CHECK:
		options->check = true;
		return true;
	case 'h':
		print_help(usage);
		*status = EXITCODE_OK;
		return false;
	case 'V':
		printf("%s %s\n", usage->program, TURNOUT_VERSION);
		*status = EXITCODE_OK;
		return false;
	default: /* getopt has said what is wrong */
		*status = EXITCODE_USAGE;
		return false;
	}
}

bool daemon_parse(struct daemon_options *options, int argc, char **argv, const struct daemon_usage *usage, int *status)
{
	static const struct option table[] = {
		{"config", required_argument, NULL, OPTION_CONFIG},
		{"run-dir", required_argument, NULL, OPTION_RUN_DIR},
		{"name", required_argument, NULL, OPTION_NAME},
		{"debug", no_argument, NULL, OPTION_DEBUG},
		{"check", no_argument, NULL, OPTION_CHECK},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int option;

	*options = (struct daemon_options){.run_dir = DAEMON_RUN_DIR, .name = usage->program};
	optind = 0; /* glibc: start over, also after an earlier parse */
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
		if (!take_option(option, options, usage, status))
			return false;
	if (optind < argc)
		return usage_error(usage, status, "unexpected argument: ", argv[optind]);
	if (options->config == NULL && !usage->config_optional)
		return usage_error(usage, status, "--config FILE is missing", "");
	if (options->run_dir[0] == '\0')
		return usage_error(usage, status, "--run-dir is empty", "");
	if (!name_good(options->name))
		return usage_error(usage, status, "--name takes 1 to 31 of A-Z a-z 0-9 . _ -, not ", options->name);
	log_open(options->name, options->debug);
	return true;
}

/* What a signal calls; freed by the loop with its source. */
struct signal_hook {
	void (*call)(void *ctx);
	void *ctx;
};

static int on_hup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct signal_hook *hook = userdata;

	(void)source;
	(void)info;
	if (hook->call != NULL)
		hook->call(hook->ctx);
	else
		log_info("SIGHUP: nothing to reload; restart to apply a new configuration");
	return 0;
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct signal_hook *hook = userdata;

	(void)info;
	if (hook->call == NULL)
		return sd_event_exit(sd_event_source_get_event(source), 0);
	hook->call(hook->ctx);
	return 0;
}

static int add_signal(sd_event *loop, int number, sd_event_signal_handler_t handler, void (*call)(void *ctx), void *ctx)
{
	struct signal_hook *hook = calloc(1, sizeof(*hook));
	sd_event_source *source;
	int r;

	if (hook == NULL)
		return -ENOMEM;
	*hook = (struct signal_hook){call, ctx};
	r = sd_event_add_signal(loop, &source, number, handler, hook);
	if (r < 0) {
		free(hook);
		return r;
	}
	sd_event_source_set_destroy_callback(source, free);
	r = sd_event_source_set_floating(source, 1);
	sd_event_source_unref(source);
	return r;
}

int daemon_signals_end(sd_event *loop, void (*reload)(void *ctx), void (*end)(void *ctx), void *ctx)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	r = add_signal(loop, SIGTERM, on_end, end, ctx);
	if (r >= 0)
		r = add_signal(loop, SIGINT, on_end, end, ctx);
	return r < 0 ? r : add_signal(loop, SIGHUP, on_hup, reload, ctx);
}

int daemon_signals(sd_event *loop, void (*reload)(void *ctx), void *ctx)
{
	return daemon_signals_end(loop, reload, NULL, ctx);
}

/* "cap_net_admin and cap_net_raw", of those not permitted; returns how many. */
static size_t name_missing(const int *keep, size_t count, char *text, size_t size)
{
	size_t missing = 0, used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		const char *name = capng_capability_to_name((unsigned)keep[i]);

		if (capng_have_capability(CAPNG_PERMITTED, (unsigned)keep[i]))
			continue;
		if (used < size)
			used += (size_t)snprintf(text + used, size - used, "%scap_%s", missing > 0 ? "," : "",
						 name != NULL ? name : "unknown");
		missing++;
	}
	return missing;
}

int daemon_drop_capabilities(const int *keep, size_t count)
{
	char missing[256];
	bool bounds;

	if (capng_get_caps_process() < 0) {
		log_error("cannot read this process's capabilities: %s", strerror(errno));
		return EXITCODE_PRIVILEGE;
	}
	if (name_missing(keep, count, missing, sizeof(missing)) > 0) {
		log_error("missing privilege: %s; run as root, or add it to AmbientCapabilities= in the unit file",
			  missing);
		return EXITCODE_PRIVILEGE;
	}
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < count; i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | (bounds ? CAPNG_BOUNDING_SET : 0),
			     (unsigned)keep[i]);
	if (bounds && capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		log_debug("the capability bounding set stays as it is: %s", strerror(errno));
	/* Ambient ones go by themselves with the permitted and inheritable sets. */
	if (capng_apply(CAPNG_SELECT_CAPS) < 0) {
		log_error("cannot drop capabilities: %s", strerror(errno));
		return EXITCODE_PRIVILEGE;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		log_error("cannot set no_new_privs: %s", strerror(errno));
		return EXITCODE_PRIVILEGE;
	}
	return EXITCODE_OK;
}

void daemon_no_core(void)
{
	struct rlimit limit;

	/* 1, not 0: the kernel then does not start a handler of cores either. */
	if (getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_max == 0)
		return;
	limit.rlim_cur = 1;
	if (setrlimit(RLIMIT_CORE, &limit) < 0)
		log_warning("core files cannot be forbidden: %s", strerror(errno));
}

void daemon_ready(sd_event *loop, const char *status)
{
	int r;

	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
	r = sd_event_set_watchdog(loop, 1);
	if (r < 0)
		log_warning("the watchdog cannot be started: %s", strerror(-r));
}

void daemon_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

uint64_t daemon_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec + 1;
}

/* A machine's first millisecond must not look like "never". */
uint64_t daemon_now_ms(void)
{
	return daemon_now_ns() / 1000000u + 1;
}

void daemon_random(void *ctx, void *bytes, size_t len)
{
	uint8_t *p = bytes;

	(void)ctx;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) { /* not on any kernel we run on; guessable nonces would be worse */
			log_error("no randomness from the kernel: %s", strerror(errno));
			abort();
		}
		p += n;
		len -= (size_t)n;
	}
}
