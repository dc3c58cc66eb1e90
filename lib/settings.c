/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a daemon was configured to, as rows of the admin bus.
 */
#include "lib/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void settings_add(struct settings *s, const char *name, const char *format, ...)
{
	Turnout__SettingRow *row;
	va_list args;

	if (s->count == SETTINGS_MAX)
		return;
	row = &s->rows[s->count];
	va_start(args, format);
	vsnprintf(s->values[s->count], sizeof(s->values[s->count]), format, args);
	va_end(args);
	turnout__setting_row__init(row);
	row->name = (char *)(uintptr_t)name;
	row->value = s->values[s->count];
	s->pointers[s->count++] = row;
}

void settings_add_endpoint(struct settings *s, const struct endpoint_conf *control, const struct security_conf *keys)
{
	const struct addr *groups = control->groups.items;
	char text[ADDR_STRLEN], list[4 * (ADDR_STRLEN + 1)] = "";

	settings_add(s, "control.address", "%s", addr_print(&control->address, text));
	settings_add(s, "control.port", "%u", control->port);
	settings_add(s, "control.interface", "%s", control->interface ? control->interface : "");
	for (size_t i = 0; i < control->groups.count; i++) {
		size_t len = strlen(list);

		snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? "," : "", addr_print(&groups[i], text));
	}
	settings_add(s, "control.group", "%s", list);
	settings_add(s, "control.group-port", "%u", control->group_port);
	settings_add(s, "control.multicast", "%s", control->multicast ? "true" : "false");
	settings_add(s, "control.multicast-ttl", "%u", control->multicast_ttl);
	settings_add(s, "control.peers", "%zu", control->peers.count);
	settings_add(s, "security.keys", "%zu", keys->keys.count);
	settings_add(s, "security.sign-with", "%u", keys->sign_with);
	settings_add(s, "security.accept-from", "%zu", keys->accept_from.count);
}

void settings_give(struct settings *s, Turnout__Reply *reply)
{
	reply->settings = s->pointers;
	reply->n_settings = s->count;
}
