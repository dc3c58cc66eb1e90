/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl capture: follows agents and shows the packets they drop, punt,
 * copy and get back, as lines and into a file that tcpdump and Wireshark read.
 *
 * Agents show packets only while a lease is live, so it is renewed; whoever is
 * killed leaves nothing behind.  Must not know what a packet's reasons mean.
 */
#include "ctl/capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "lib/daemon.h"

#define RENEW_US  500000
#define SILENT_MS 3000
#define SNAP_FILE 65535

struct capture;

struct followed {
	struct capture *capture;
	char *dir, *name; /* of the daemon */
	char *label;
	struct bus_client *client;
	bool heard;        /* an event came: from here on nothing is missed */
	uint64_t reply_ms; /* the last one */
	bool silent;
	uint64_t skipped_first, skipped; /* of the agent's count */
	bool counted;
};

struct capture {
	struct ctl *ctl;
	struct capture_conf conf;
	Turnout__Capture request;
	sd_event *loop;
	struct followed *agents;
	size_t agent_count;
	bool announced;
	uint64_t shown;
	pcap_t *pcap; /* for its link type only */
	pcap_dumper_t *file;
	struct bpf_program filter;
	bool has_filter;
	enum exitcode status;
};

/* ---- packets ---- */

static void end(struct capture *x, enum exitcode status)
{
	x->status = status;
	sd_event_exit(x->loop, 0);
}

static void write_packet(struct capture *x, const Turnout__Captured *p)
{
	struct pcap_pkthdr h = {.caplen = (bpf_u_int32)p->packet.len, .len = p->length};

	h.ts.tv_sec = (time_t)(p->time_us / 1000000);
	h.ts.tv_usec = (suseconds_t)(p->time_us % 1000000);
	pcap_dump((u_char *)x->file, &h, p->packet.data);
	if (pcap_dump_flush(x->file) < 0) {
		ctl_error(x->ctl, EXITCODE_FAILURE, "%s: %s", x->conf.file, strerror(errno));
		end(x, EXITCODE_FAILURE);
	}
}

static void on_captured(struct followed *a, const Turnout__Captured *p)
{
	struct capture *x = a->capture;
	bool to_stdout = x->conf.file && strcmp(x->conf.file, "-") == 0;
	bpf_u_int32 len = (bpf_u_int32)p->packet.len;

	a->skipped = p->skipped;
	if (!capture_wanted(&x->request, p) ||
	    (x->has_filter && bpf_filter(x->filter.bf_insns, p->packet.data, p->length, len) == 0))
		return;
	if (x->conf.count > 0 && x->shown >= x->conf.count)
		return;
	x->shown++;
	if (x->file)
		write_packet(x, p);
	if (!to_stdout) {
		capture_print(x->ctl->out, x->ctl->json, a->label, p);
		fflush(x->ctl->out);
	}
	if (x->shown == x->conf.count)
		sd_event_exit(x->loop, 0);
}

/* Once all agents were heard: who starts something now will see it. */
static void announce(struct capture *x)
{
	for (size_t i = 0; i < x->agent_count; i++)
		if (!x->agents[i].heard || !x->agents[i].counted)
			return;
	if (x->announced)
		return;
	x->announced = true;
	fprintf(x->ctl->err, "capturing at");
	for (size_t i = 0; i < x->agent_count; i++)
		fprintf(x->ctl->err, "%s %s", i > 0 ? "," : "", x->agents[i].label);
	fprintf(x->ctl->err, "; end with ^C\n");
	fflush(x->ctl->err);
}

static void on_event(void *ctx, const Turnout__Event *event)
{
	struct followed *a = ctx;

	a->heard = true;
	announce(a->capture);
	if (event->what_case == TURNOUT__EVENT__WHAT_CAPTURED)
		on_captured(a, event->captured);
}

static void on_reply(void *ctx, const Turnout__Reply *reply)
{
	struct followed *a = ctx;

	a->reply_ms = daemon_now_ms();
	if (a->silent)
		ctl_error(a->capture->ctl, EXITCODE_OK, "%s answers again", a->label);
	a->silent = false;
	if (*reply->error) {
		ctl_error(a->capture->ctl, EXITCODE_FAILURE, "%s: %s", a->label, reply->error);
		end(a->capture, EXITCODE_FAILURE);
		return;
	}
	if (!reply->capture)
		return;
	/* A restarted agent counts from zero. */
	if (!a->counted || reply->capture->skipped < a->skipped_first)
		a->skipped_first = a->counted ? 0 : reply->capture->skipped;
	a->skipped = reply->capture->skipped;
	a->counted = true;
	announce(a->capture);
}

/* ---- leases ---- */

static void renew(struct followed *a)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;

	request.what_case = TURNOUT__REQUEST__WHAT_CAPTURE;
	request.capture = &a->capture->request;
	bus_client_send(a->client, &request);
	if (!a->silent && daemon_now_ms() - a->reply_ms > SILENT_MS) {
		a->silent = true;
		ctl_error(a->capture->ctl, EXITCODE_OK, "%s does not answer; going on as soon as it does", a->label);
	}
}

static void renew_all(struct capture *x)
{
	for (size_t i = 0; i < x->agent_count; i++)
		renew(&x->agents[i]);
}

static int on_renew(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)usec;
	renew_all(ctx);
	return sd_event_source_set_time_relative(source, RENEW_US);
}

static int on_over(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)usec;
	(void)ctx;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Give the lease up; what it says of packets left out is the last word. */
static void release(struct followed *a)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Reply *reply;

	a->capture->request.end = true;
	request.what_case = TURNOUT__REQUEST__WHAT_CAPTURE;
	request.capture = &a->capture->request;
	if (bus_call(a->dir, a->name, &request, 500, &reply) < 0)
		return;
	if (reply->capture)
		a->skipped = reply->capture->skipped;
	turnout__reply__free_unpacked(reply, NULL);
}

/* ---- whom to follow ---- */

/* The label is "NAME", with several run directories "RUN_DIR/NAME". */
static bool add_agent(void *ctx, const char *label, const Turnout__Reply *reply)
{
	struct capture *x = ctx;
	struct followed *grown = realloc(x->agents, (x->agent_count + 1) * sizeof(*grown)), *a;
	const char *slash = strrchr(label, '/');

	(void)reply;
	if (!grown)
		return false;
	x->agents = grown;
	a = &x->agents[x->agent_count++];
	*a = (struct followed){.capture = x, .reply_ms = daemon_now_ms(), .label = strdup(label)};
	a->dir = slash ? strndup(label, (size_t)(slash - label)) : strdup(x->ctl->run_dirs[0]);
	a->name = strdup(slash ? slash + 1 : label);
	return a->label && a->dir && a->name;
}

static enum exitcode find_agents(struct capture *x)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	enum exitcode status;
	size_t answered;

	request.what_case = TURNOUT__REQUEST__WHAT_CAPTURE;
	request.capture = &x->request;
	status = ask_all(x->ctl, "captures", &request, add_agent, x, &answered);
	return x->agent_count > 0 ? EXITCODE_OK : status;
}

static int follow(struct capture *x)
{
	for (size_t i = 0; i < x->agent_count; i++) {
		struct followed *a = &x->agents[i];
		int r = bus_client_new(&a->client, x->loop, a->dir, a->name, on_reply, on_event, a);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- set up ---- */

static bool make_filter(struct capture *x)
{
	x->pcap = pcap_open_dead(DLT_RAW, SNAP_FILE);
	if (!x->pcap) {
		ctl_error(x->ctl, EXITCODE_FAILURE, "out of memory");
		return false;
	}
	if (*x->conf.filter) {
		if (pcap_compile(x->pcap, &x->filter, x->conf.filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
			ctl_error(x->ctl, EXITCODE_USAGE, "filter '%s': %s; see: man pcap-filter", x->conf.filter,
				  pcap_geterr(x->pcap));
			x->status = EXITCODE_USAGE;
			return false;
		}
		x->has_filter = true;
	}
	return true;
}

static bool open_file(struct capture *x)
{
	if (!x->conf.file)
		return true;
	x->file = pcap_dump_open(x->pcap, x->conf.file);
	if (!x->file) {
		ctl_error(x->ctl, EXITCODE_FAILURE, "%s", pcap_geterr(x->pcap));
		return false;
	}
	/* A reader of the stream wants to see its head.  After an error libpcap writes nothing, and says nothing. */
	if (pcap_dump_flush(x->file) < 0) {
		ctl_error(x->ctl, EXITCODE_FAILURE, "%s: %s", x->conf.file, strerror(errno));
		return false;
	}
	return true;
}

/* The filter goes along, so that an agent's limit counts wanted packets only. */
static bool set_request(struct capture *x)
{
	Turnout__Capture *r = &x->request;

	daemon_random(NULL, &r->user, sizeof(r->user));
	r->user |= 1;
	if (!x->has_filter)
		return true;
	r->filter = calloc(x->filter.bf_len, sizeof(*r->filter));
	for (u_int i = 0; r->filter && i < x->filter.bf_len; i++) {
		const struct bpf_insn *b = &x->filter.bf_insns[i];

		r->filter[i] = (uint64_t)b->code << 48 | (uint64_t)b->jt << 40 | (uint64_t)b->jf << 32 | b->k;
	}
	r->n_filter = r->filter ? x->filter.bf_len : 0;
	return r->filter != NULL;
}

static int set_loop(struct capture *x)
{
	int r = sd_event_new(&x->loop);

	if (r >= 0)
		r = sd_event_add_signal(x->loop, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(x->loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_time_relative(x->loop, NULL, CLOCK_MONOTONIC, RENEW_US, 0, on_renew, x);
	if (r >= 0 && x->conf.duration_ms > 0)
		r = sd_event_add_time_relative(x->loop, NULL, CLOCK_MONOTONIC, x->conf.duration_ms * 1000, 0, on_over,
					       x);
	return r < 0 ? r : 0;
}

static void summary(struct capture *x)
{
	uint64_t skipped = 0;

	for (size_t i = 0; i < x->agent_count; i++) {
		release(&x->agents[i]);
		skipped += x->agents[i].skipped - x->agents[i].skipped_first;
	}
	fprintf(x->ctl->err, "%llu packet%s captured", (unsigned long long)x->shown, x->shown == 1 ? "" : "s");
	if (skipped > 0)
		fprintf(x->ctl->err,
			"; %llu more were not shown, there were too many a second: a narrower FILTER helps",
			(unsigned long long)skipped);
	fputc('\n', x->ctl->err);
}

static void close_all(struct capture *x)
{
	for (size_t i = 0; i < x->agent_count; i++) {
		bus_client_free(x->agents[i].client);
		free(x->agents[i].label);
		free(x->agents[i].dir);
		free(x->agents[i].name);
	}
	free(x->agents);
	if (x->file)
		pcap_dump_close(x->file);
	if (x->has_filter)
		pcap_freecode(&x->filter);
	if (x->pcap)
		pcap_close(x->pcap);
	free(x->request.filter);
	free(x->conf.filter);
	sd_event_unref(x->loop);
}

static void run(struct capture *x)
{
	int r;

	if (!capture_options(x->ctl, &x->conf, &x->request)) {
		x->status = EXITCODE_USAGE;
		return;
	}
	x->status = EXITCODE_FAILURE;
	if (!make_filter(x) || !set_request(x))
		return;
	x->status = find_agents(x);
	if (x->status != EXITCODE_OK)
		return;
	if (!open_file(x)) {
		x->status = EXITCODE_FAILURE;
		return;
	}
	r = set_loop(x);
	if (r == 0)
		r = follow(x);
	if (r == 0) {
		renew_all(x);
		r = sd_event_loop(x->loop);
		summary(x);
	}
	if (r < 0)
		x->status = ctl_error(x->ctl, EXITCODE_FAILURE, "capture: %s", strerror(-r));
}

enum exitcode capture_run(struct ctl *c)
{
	struct capture x = {.ctl = c, .request = TURNOUT__CAPTURE__INIT};
	sigset_t mask, old;

	/* Signals are read by the loop; in threads that libraries start, too, they must be blocked. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &mask, &old);
	run(&x);
	close_all(&x);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return x.status;
}

void capture_details(FILE *out)
{
	fprintf(out, "\nShows packets that agents of this machine drop, punt to a manager, copy to one, or get\n"
		     "back from one, with the reason: the name of the counter in `turnoutctl show counters`.\n"
		     "FILTER is an expression as of tcpdump (man pcap-filter). At most 1000 packets a second are\n"
		     "shown, and of those dropped in the kernel 1000 a second looked at, before FILTER; what\n"
		     "was left out is counted.\n"
		     "\nOf capture:\n"
		     "  -w FILE        also write them to FILE for tcpdump or Wireshark; -: standard output\n"
		     "  --drops        only packets dropped; with others of these four: those, too\n"
		     "  --punts        packets sent to a manager for a decision\n"
		     "  --copies       copies sent to a manager\n"
		     "  --returned     packets that came back from a manager\n"
		     "  --reason NAME  only those of this reason\n"
		     "  --count N      end after so many packets\n"
		     "  --for TIME     end after 500ms, 10s, 5m, 1h\n");
}
