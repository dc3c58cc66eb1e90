/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGHUP: keys and senders are read again, so that keys roll without a restart
 * (SEC-3).  Everything else takes one, which is said, and then nothing changes.
 *
 * Must not know what keys are used for.
 */
#include <stdlib.h>
#include <string.h>

#include "fad/agent.h"
#include "lib/exitcode.h"
#include "lib/log.h"

static void refuse(struct agent *a, const char *why)
{
	log_error("not reloaded: %s", why);
	agent_notice(a, "error", "configuration", "fad", "not reloaded: %s", why);
}

/* Errors of the file, a line each. */
static void refuse_lines(struct agent *a, char *lines)
{
	char *rest = lines;

	for (char *line; (line = strsep(&rest, "\n")) != NULL;)
		if (*line != '\0')
			refuse(a, line);
}

void agent_reload(void *ctx)
{
	struct agent *a = ctx;
	struct fad_conf conf;
	struct endpoint_trust *trust;
	struct security_conf old;
	const char *restart;
	char text[8192];

	if (!fad_config_load_quiet(a->conf_path, &conf, text, sizeof(text))) {
		refuse_lines(a, text);
		return;
	}
	restart = fad_config_needs_restart(&a->conf, &conf);
	if (restart != NULL) {
		snprintf(text, sizeof(text), "a change of '%s' takes effect only by a restart", restart);
		refuse(a, text);
	} else if (endpoint_trust_load(&trust, &conf.security) != EXITCODE_OK) {
		refuse(a, "a key cannot be used");
	} else {
		endpoint_believe(a->endpoint, trust);
		old = a->conf.security;
		a->conf.security = conf.security;
		conf.security = old;
		log_info("reloaded: %zu keys, signing with %u", a->conf.security.keys.count,
			 a->conf.security.sign_with);
		agent_notice(a, "info", "configuration", "fad", "reloaded: %zu keys, signing with %u",
			     a->conf.security.keys.count, a->conf.security.sign_with);
	}
	fad_config_free(&conf);
}
