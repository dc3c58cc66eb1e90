/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smd: wires the control endpoint, the health checks, the admin bus and the
 * clock to the manager.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/exitcode.h"
#include "lib/log.h"
#include "smd/admin.h"
#include "smd/check_io.h"

#define FIRST_PRIVILEGE_FREE_PORT 1024
#define WITHDRAW_PAUSE_US         5000 /* between bursts of withdrawals: agents have to keep up */
#define TICK_ACCURACY_US          1000

struct smd {
	struct smd_conf *conf;
	const char *conf_path;
	char name[WIRE_MAX_NAME + 1];
	sd_event *loop;
	sd_event_source *tick;
	struct endpoint *endpoint;
	struct manager *manager;
	struct checker *checker;
	struct bus_server *bus;
	struct admin admin;
	int lock;
};

/* ---- the manager's way out ---- */

static bool send_one(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	const struct smd *d = ctx;

	return endpoint_send(d->endpoint, to, m);
}

static bool send_all(void *ctx, struct wire_msg *m)
{
	const struct smd *d = ctx;

	return endpoint_send_all(d->endpoint, m);
}

static bool send_named(void *ctx, struct wire_msg *m)
{
	const struct smd *d = ctx;

	return endpoint_send_peers(d->endpoint, m);
}

static void send_notice(void *ctx, const struct manager_notice *notice)
{
	const struct smd *d = ctx;
	Turnout__Event event = TURNOUT__EVENT__INIT;
	Turnout__Notice what = TURNOUT__NOTICE__INIT;

	if (!d->bus)
		return;
	admin_notice(notice, &what);
	event.what_case = TURNOUT__EVENT__WHAT_NOTICE;
	event.notice = &what;
	bus_publish(d->bus, &event);
}

static const struct manager_out manager_out = {
	.send = send_one, .send_all = send_all, .send_named = send_named, .notice = send_notice};

/* ---- what comes in ---- */

static void on_message(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m)
{
	const struct smd *d = ctx;

	manager_message(d->manager, from, m, daemon_now_ms());
}

static void on_peer_known(void *ctx, const struct endpoint_peer *peer)
{
	const struct smd *d = ctx;

	manager_peer_known(d->manager, peer, daemon_now_ms());
}

static void on_peer_asks(void *ctx, const struct endpoint_peer *peer)
{
	const struct smd *d = ctx;

	manager_peer_asks(d->manager, peer, daemon_now_ms());
}

static void on_undecodable(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m,
			   const struct wire_diagnosis *why)
{
	const struct smd *d = ctx;

	(void)from;
	(void)m;
	(void)why;
	manager_undecodable(d->manager);
}

static const struct endpoint_handler endpoint_handler = {
	.message = on_message,
	.peer_known = on_peer_known,
	.peer_asks = on_peer_asks,
	.undecodable = on_undecodable,
};

static void on_check(void *ctx, size_t number, bool good, const char *text)
{
	const struct smd *d = ctx;

	manager_check_result(d->manager, number, good, text, daemon_now_ms());
}

static void on_own(void *ctx, const struct addr *addr)
{
	const struct smd *d = ctx;

	manager_own_address(d->manager, addr);
}

static const struct check_handler check_handler = {.result = on_check, .own = on_own};

static const char *on_request(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	struct smd *d = ctx;

	return admin_answer(&d->admin, request, reply, daemon_now_ms());
}

static void on_release(void *ctx, Turnout__Reply *reply)
{
	struct smd *d = ctx;

	(void)reply;
	admin_release(&d->admin);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	const struct smd *d = userdata;
	int r;

	(void)usec;
	r = sd_event_source_set_time_relative(source, manager_tick(d->manager, daemon_now_ms()) * 1000);
	return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- start ---- */

static int failed(const char *what, int error)
{
	log_error("%s: %s", what, strerror(error < 0 ? -error : error));
	return EXITCODE_FAILURE;
}

static void set_name(struct smd *d)
{
	if (d->conf->name)
		snprintf(d->name, sizeof(d->name), "%s", d->conf->name);
	else if (gethostname(d->name, sizeof(d->name) - 1) < 0 || !d->name[0])
		strcpy(d->name, "smd");
}

static int start_lock(struct smd *d, const struct daemon_options *o)
{
	char text[256];
	int error;

	d->lock = bus_lock(o->run_dir, o->name);
	if (d->lock >= 0)
		return EXITCODE_OK;
	error = errno;
	log_error("%s", bus_explain(error, o->run_dir, o->name, text, sizeof(text)));
	if (error == EACCES || error == EPERM)
		return EXITCODE_PRIVILEGE;
	return error == EWOULDBLOCK ? EXITCODE_BUSY : EXITCODE_FAILURE;
}

static struct check_target check_target(const struct check *k)
{
	return (struct check_target){
		.addr = k->addr,
		.port = k->port,
		.interval_ms = k->conf->interval,
		.timeout_ms = k->conf->timeout,
		.type = k->conf->type == CHECK_AUTO ? CHECK_TCP : (enum config_check_type)k->conf->type,
		.conf = k->conf,
	};
}

static int start_checks(struct smd *d)
{
	const struct services *s = manager_services(d->manager);
	struct check_target *targets = calloc(s->check_count ? s->check_count : 1, sizeof(*targets));
	int r;

	if (!targets)
		return failed("health checks", ENOMEM);
	for (size_t i = 0; i < s->check_count; i++)
		targets[i] = check_target(&s->checks[i]);
	r = checker_new(&d->checker, d->loop, targets, s->check_count, &check_handler, d);
	free(targets);
	return r < 0 ? failed("health checks", r) : EXITCODE_OK;
}

/* ---- another configuration ---- */

static void free_conf(struct smd_conf *conf)
{
	if (conf)
		smd_config_free(conf);
	free(conf);
}

/* Errors, a line each, to the log.  The first is left in `lines`. */
static void log_lines(char *lines)
{
	char *rest = lines;

	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			log_error("%s", line);
}

static void on_reload(void *ctx)
{
	struct smd *d = ctx;
	struct smd_conf *conf = calloc(1, sizeof(*conf)), *old = d->conf;
	struct endpoint_trust *trust;
	char errors[8192] = "out of memory";

	if (!conf || !smd_config_load_quiet(d->conf_path, conf, errors, sizeof(errors))) {
		log_lines(errors);
		manager_reload_refused(d->manager, errors);
		free(conf);
		return;
	}
	if (endpoint_trust_load(&trust, &conf->security) != EXITCODE_OK) {
		manager_reload_refused(d->manager, "a key cannot be used");
		free_conf(conf);
		return;
	}
	if (!manager_reload(d->manager, conf, errors, sizeof(errors), daemon_now_ms())) {
		manager_reload_refused(d->manager, errors);
		endpoint_trust_free(trust);
		free_conf(conf);
		return;
	}
	endpoint_believe(d->endpoint, trust);
	d->conf = conf;
	checker_free(d->checker);
	d->checker = NULL;
	start_checks(d);
	free_conf(old);
}

/* ---- start, continued ---- */

static int start_bus(struct smd *d, const struct daemon_options *o)
{
	char text[256];
	int r = bus_server_new(&d->bus, d->loop, o->run_dir, o->name, on_request, on_release, d);

	if (r < 0) {
		log_error("%s", bus_explain(r, o->run_dir, o->name, text, sizeof(text)));
		return EXITCODE_FAILURE;
	}
	d->admin = (struct admin){
		.manager = d->manager,
		.endpoint = d->endpoint,
		.bus = d->bus,
		.name = d->name,
		.started_ms = daemon_now_ms(),
	};
	return EXITCODE_OK;
}

static int start(struct smd *d, const struct daemon_options *o)
{
	uint64_t seed[2];
	int r, status;

	r = sd_event_default(&d->loop);
	if (r >= 0)
		r = daemon_signals(d->loop, on_reload, d);
	if (r < 0)
		return failed("event loop", r);
	status = start_lock(d, o);
	if (status != EXITCODE_OK)
		return status;
	status = endpoint_open(&d->endpoint, d->loop, d->conf->identity, d->name, &d->conf->control, &d->conf->security,
			       &endpoint_handler, d);
	if (status != EXITCODE_OK)
		return status;
	daemon_random(NULL, seed, sizeof(seed));
	d->manager = manager_new(d->conf, seed, &manager_out, d, daemon_now_ms());
	if (!d->manager)
		return failed("manager", ENOMEM);
	status = start_bus(d, o);
	if (status == EXITCODE_OK)
		status = start_checks(d);
	if (status != EXITCODE_OK)
		return status;
	r = sd_event_add_time_relative(d->loop, &d->tick, CLOCK_MONOTONIC, 0, TICK_ACCURACY_US, on_tick, d);
	return r < 0 ? failed("timer", r) : EXITCODE_OK;
}

/* ---- end ---- */

static void withdraw(struct smd *d)
{
	while (manager_withdraw(d->manager)) {
		endpoint_flush(d->endpoint);
		usleep(WITHDRAW_PAUSE_US);
	}
	endpoint_flush(d->endpoint);
}

static void stop(struct smd *d)
{
	checker_free(d->checker);
	bus_server_free(d->bus);
	if (d->endpoint)
		endpoint_close(d->endpoint);
	manager_free(d->manager);
	sd_event_source_unref(d->tick);
	sd_event_unref(d->loop);
	free_conf(d->conf);
	if (d->lock >= 0)
		close(d->lock);
}

/* "2 services and 1 filter" */
static const char *in_words(const struct smd_conf *conf, char *text, size_t size)
{
	size_t s = conf->services.count, f = conf->filters.count;
	int used = s || !f ? snprintf(text, size, "%zu service%s%s", s, s == 1 ? "" : "s", f ? " and " : "") : 0;

	if (f)
		snprintf(text + used, size - (size_t)used, "%zu filter%s", f, f == 1 ? "" : "s");
	return text;
}

static int serve(struct smd *d, const struct daemon_options *o)
{
	int status = start(d, o), r;
	char text[64];

	if (status != EXITCODE_OK)
		return status;
	daemon_ready(d->loop, "serving");
	log_info("%s, identity 0x%llx: serving %s", d->name, (unsigned long long)d->conf->identity,
		 in_words(d->conf, text, sizeof(text)));
	r = sd_event_loop(d->loop);
	daemon_stopping();
	if (r < 0)
		return failed("event loop", r);
	if (d->conf->shutdown == SHUTDOWN_WITHDRAW)
		withdraw(d);
	log_info("ended; %s", d->conf->shutdown == SHUTDOWN_WITHDRAW ? "services withdrawn, known flows go on"
								     : "services stay announced until their TTL");
	return EXITCODE_OK;
}

/* Whether it would start, as far as files tell: keys are read, too. */
static int check(const struct smd_conf *conf, const char *path)
{
	struct endpoint_trust *trust;
	char text[64];
	int status = endpoint_trust_load(&trust, &conf->security);

	if (status == EXITCODE_OK)
		printf("%s: good; %s\n", path, in_words(conf, text, sizeof(text)));
	endpoint_trust_free(trust);
	return status;
}

static const struct daemon_usage usage = {
	.program = "smd",
	.summary = "Turnout's service manager: decides where the flows of services go",
	.example = "  smd --config /etc/turnout/smd.yaml\n"
		   "  smd --check --config smd.yaml\n",
};

int main(int argc, char **argv)
{
	static const int bind_caps[] = {CAP_NET_BIND_SERVICE};
	struct daemon_options options;
	struct smd d = {.lock = -1};
	int status;

	if (!daemon_parse(&options, argc, argv, &usage, &status))
		return status;
	daemon_no_core();
	d.conf_path = options.config;
	d.conf = calloc(1, sizeof(*d.conf));
	if (!d.conf)
		return failed("configuration", ENOMEM);
	if (!smd_config_load(options.config, d.conf)) {
		free_conf(d.conf);
		return EXITCODE_CONFIG;
	}
	if (options.check) {
		status = check(d.conf, options.config);
		free_conf(d.conf);
		return status;
	}
	set_name(&d);
	status = daemon_drop_capabilities(bind_caps, d.conf->control.port < FIRST_PRIVILEGE_FREE_PORT);
	if (status == EXITCODE_OK)
		status = serve(&d, &options);
	stop(&d);
	return status;
}
