/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fad, the forwarding agent: opens the parts in the order in which they need
 * each other, runs the loop, and takes them down so that packets go the
 * kernel's way as before.
 */
#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fad/agent.h"
#include "lib/daemon.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define MACHINE_ID "/etc/machine-id"
/* An abstract socket's name: it belongs to the network namespace, as filters and the punt port do. */
#define NAMESPACE_LOCK "turnout-fad"

#define FIRST_PRIVILEGE_FREE_PORT 1024

static int failed(const char *what, int error)
{
	log_error("%s: %s", what, strerror(error < 0 ? -error : error));
	return EXITCODE_FAILURE;
}

/* ---- who we are ---- */

static void set_name(struct agent *a)
{
	if (a->conf.name != NULL)
		snprintf(a->name, sizeof(a->name), "%s", a->conf.name);
	else if (gethostname(a->name, sizeof(a->name) - 1) < 0 || a->name[0] == '\0')
		snprintf(a->name, sizeof(a->name), "fad");
}

static int set_identity(struct agent *a, const char *config)
{
	char id[64] = "";
	FILE *in;

	a->identity = a->conf.identity;
	if (a->identity != 0)
		return EXITCODE_OK;
	in = fopen(MACHINE_ID, "re");
	if (in != NULL) {
		if (fgets(id, sizeof(id), in) == NULL)
			id[0] = '\0';
		fclose(in);
	}
	id[strcspn(id, "\n")] = '\0';
	if (id[0] == '\0') {
		fprintf(stderr, "%s: identity: is missing, and there is nothing in %s to derive it from\n", config,
			MACHINE_ID);
		return EXITCODE_CONFIG;
	}
	a->identity = fad_config_identity(id, a->name);
	return EXITCODE_OK;
}

/* ---- privileges ---- */

/* CAP_BPF and CAP_PERFMON are CAP_SYS_ADMIN's work where the kernel or a container engine does not know them. */
static int drop_capabilities(const struct agent *a, bool loaded)
{
	bool fine = capng_get_caps_process() == 0 && capng_have_capability(CAPNG_PERMITTED, CAP_BPF) &&
		    (loaded || capng_have_capability(CAPNG_PERMITTED, CAP_PERFMON));
	bool coarse = !fine && capng_have_capability(CAPNG_PERMITTED, CAP_SYS_ADMIN);
	int keep[5] = {CAP_NET_ADMIN, CAP_NET_RAW};
	size_t n = 2;

	keep[n++] = coarse ? CAP_SYS_ADMIN : CAP_BPF;
	if (!coarse && !loaded)
		keep[n++] = CAP_PERFMON;
	if (!loaded && a->conf.control.port < FIRST_PRIVILEGE_FREE_PORT)
		keep[n++] = CAP_NET_BIND_SERVICE;
	return daemon_drop_capabilities(keep, n);
}

/* ---- start ---- */

static int take_lock(struct agent *a, const struct daemon_options *o)
{
	char text[512];

	a->lock = bus_lock(o->run_dir, o->name);
	if (a->lock >= 0)
		return EXITCODE_OK;
	if (errno == EWOULDBLOCK) {
		log_error("another %s runs under %s; give this one another --name or --run-dir", o->name, o->run_dir);
		return EXITCODE_BUSY;
	}
	log_error("%s", bus_explain(errno, o->run_dir, o->name, text, sizeof(text)));
	return errno == EACCES || errno == EPERM ? EXITCODE_PRIVILEGE : EXITCODE_FAILURE;
}

/* Two agents would take the filters and the punt port from each other, whatever their run directories. */
static int take_namespace(struct agent *a)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	const size_t len = sizeof(NAMESPACE_LOCK) - 1;

	memcpy(name.sun_path + 1, NAMESPACE_LOCK, len);
	a->namespace_lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (a->namespace_lock < 0)
		return failed("socket", errno);
	if (bind(a->namespace_lock, (const struct sockaddr *)&name,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) == 0)
		return EXITCODE_OK;
	if (errno != EADDRINUSE)
		return failed("locking the network namespace", errno);
	log_error("another fad runs in this network namespace; see: ss -xlpn '( src @%s )'", NAMESPACE_LOCK);
	return EXITCODE_BUSY;
}

/* The kernel's side: what needs the most privileges. */
static int open_kernel(struct agent *a)
{
	struct classifier_limits limits = {.fixed = a->conf.limits.fixed,
					   .wildcards = a->conf.limits.wildcards + 1,
					   .plans = fad_config_plans(&a->conf)};
	int status = port_open(&a->port, a->loop, a->conf.punt_port, &agent_port_handler, a);

	if (status == EXITCODE_OK)
		status = classifier_open(&a->classifier, port_kernel_ifindex(a->port), &limits);
	if (status != EXITCODE_OK)
		return status;
	classifier_permit_protected(a->classifier, a->conf.permit_protected);
	for (size_t i = 0; i < a->conf.fallback.count; i++)
		classifier_fallback(a->classifier, &((const struct addr *)a->conf.fallback.items)[i],
				    a->conf.fallback_for);
	status = classifier_attach_port(a->classifier, port_kernel_ifindex(a->port));
	return status == EXITCODE_OK ? netlink_open(&a->netlink, a->loop, &agent_netlink_handler, a) : status;
}

static int open_engine(struct agent *a)
{
	struct engine_conf conf = fad_config_engine(&a->conf);
	struct plantab_memory memory;
	uint64_t plan_key[2];

	conf.adverts_version = endpoint_incarnation(a->endpoint);
	daemon_random(NULL, conf.hash_key, sizeof(conf.hash_key));
	daemon_random(NULL, conf.cookie_key, sizeof(conf.cookie_key));
	daemon_random(NULL, a->hash_key, sizeof(a->hash_key));
	if (classifier_plans(a->classifier, &memory)) {
		daemon_random(NULL, plan_key, sizeof(plan_key));
		a->plans = plantab_new(&memory, plan_key);
	}
	a->engine = engine_new(&conf, &agent_engine_out, a);
	if (a->engine != NULL)
		engine_use_plans(a->engine, a->plans);
	a->admin = admin_new();
	return a->engine != NULL && a->admin != NULL && agent_tap_new(a) ? EXITCODE_OK : failed("engine", ENOMEM);
}

static int open_bus(struct agent *a, const struct daemon_options *o)
{
	int r = bus_server_new(&a->bus, a->loop, o->run_dir, o->name, agent_request, agent_release, a);
	char text[512];

	if (r == 0)
		return EXITCODE_OK;
	log_error("%s", bus_explain(r, o->run_dir, o->name, text, sizeof(text)));
	return r == -EACCES || r == -EPERM ? EXITCODE_PRIVILEGE : EXITCODE_FAILURE;
}

static int start(struct agent *a, const struct daemon_options *o)
{
	int status = take_lock(a, o), r;

	if (status == EXITCODE_OK)
		status = take_namespace(a);
	if (status == EXITCODE_OK)
		status = drop_capabilities(a, false);
	if (status != EXITCODE_OK)
		return status;
	r = sd_event_default(&a->loop);
	if (r >= 0)
		r = daemon_signals_end(a->loop, agent_reload, agent_stop, a);
	if (r < 0 || !agent_links_new(a))
		return failed("event loop", r < 0 ? r : ENOMEM);
	/* First what changes nothing when it fails. */
	status = endpoint_open(&a->endpoint, a->loop, a->identity, a->name, &a->conf.control, &a->conf.security,
			       &agent_endpoint_handler, a);
	if (status == EXITCODE_OK)
		status = open_kernel(a);
	if (status == EXITCODE_OK)
		status = drop_capabilities(a, true);
	if (status == EXITCODE_OK)
		status = mtu_open(&a->mtu); /* its thread has the privileges left */
	if (status == EXITCODE_OK)
		status = open_engine(a);
	if (status == EXITCODE_OK)
		status = open_bus(a, o);
	if (status == EXITCODE_OK) {
		agent_protect_control(a);
		status = agent_links_check(a);
	}
	if (status != EXITCODE_OK)
		return status;
	r = agent_start(a);
	if (r < 0)
		return failed("timer", r);
	/* Last, so that no packet comes up before there is somebody to take it. */
	agent_take_over(a);
	return agent_links_attach(a);
}

/* ---- end ---- */

static void stop(struct agent *a)
{
	bool leave = a->stopping && agent_leaves_filters(a);

	if (a->engine != NULL)
		engine_use_plans(a->engine, NULL);
	plantab_free(a->plans);
	if (leave) {
		agent_forget_forwards(a);
		/* Nobody is to be back within the second: no need to wait for it. */
		if (!agent_leaves(a))
			classifier_silence(a->classifier);
		classifier_close(a->classifier, false);
		a->classifier = NULL;
	} else if (a->classifier != NULL && a->interfaces != NULL) {
		agent_links_detach(a);
	}
	sd_event_source_disable_unref(a->end);
	sd_event_source_disable_unref(a->tick);
	engine_free(a->engine); /* tells the classifier and routed-glue */
	a->engine = NULL;
	if (a->classifier != NULL)
		agent_forget_forwards(a);
	classifier_close(a->classifier, true);
	if (a->port != NULL)
		port_close(a->port, !leave);
	netlink_close(a->netlink);
	mtu_close(a->mtu);
	endpoint_close(a->endpoint);
	bus_server_free(a->bus);
	admin_free(a->admin);
	tap_free(a->tap);
	free(a->interfaces);
	sd_event_unref(a->loop);
	fad_config_free(&a->conf);
	if (a->namespace_lock >= 0)
		close(a->namespace_lock);
	if (a->lock >= 0)
		close(a->lock);
}

static int serve(struct agent *a, const struct daemon_options *o)
{
	int status = start(a, o);

	if (status != EXITCODE_OK)
		return status;
	daemon_ready(a->loop, "serving");
	log_info("%s, identity 0x%llx: serving on %zu interfaces", a->name, (unsigned long long)a->identity,
		 a->interface_count);
	/* Told to end while taking over: the loop is over already. */
	if (sd_event_get_state(a->loop) != SD_EVENT_FINISHED)
		status = sd_event_loop(a->loop);
	daemon_stopping();
	if (status < 0)
		return failed("event loop", status);
	if (!a->stopping || !agent_leaves_filters(a))
		log_info("ending; packets go the kernel's way");
	else if (agent_leaves(a))
		log_info("ending; filters stay for the next one");
	else
		log_info("ending; for %u s filters send to the fallback what comes", a->conf.fallback_for / 1000);
	return status;
}

/* Whether it would start, as far as files tell: keys are read, too. */
static int check(const struct agent *a, const char *path)
{
	struct endpoint_trust *trust;
	int status = endpoint_trust_load(&trust, &a->conf.security);

	if (status == EXITCODE_OK)
		printf("%s: good; identity 0x%llx, %zu interface%s\n", path, (unsigned long long)a->identity,
		       a->conf.interfaces.count, a->conf.interfaces.count == 1 ? "" : "s");
	endpoint_trust_free(trust);
	return status;
}

static const struct daemon_usage usage = {
	.program = "fad",
	.summary = "Turnout's forwarding agent: does in this router what service managers want done",
	.example = "  fad --config /etc/turnout/fad.yaml\n"
		   "  fad --check --config fad.yaml\n",
};

int main(int argc, char **argv)
{
	struct agent a = {.lock = -1, .namespace_lock = -1, .started_ms = daemon_now_ms()};
	struct daemon_options options;
	int status;

	if (!daemon_parse(&options, argc, argv, &usage, &status))
		return status;
	daemon_no_core();
	a.conf_path = options.config;
	if (!fad_config_load(options.config, &a.conf))
		return EXITCODE_CONFIG;
	set_name(&a);
	status = set_identity(&a, options.config);
	if (status == EXITCODE_OK && options.check)
		status = check(&a, options.config);
	else if (status == EXITCODE_OK)
		status = serve(&a, &options);
	stop(&a);
	return status;
}
