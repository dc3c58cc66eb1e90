# SPDX-License-Identifier: BSD-2-Clause
#
# Installation.  DESTDIR and PREFIX as usual; nothing is enabled or started.

INSTALL ?= install
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/turnout
# Where a Wireshark of this prefix looks for scripts, as Debian builds it.
WIRESHARKDIR = $(DESTDIR)$(PREFIX)/lib/$(shell $(CC) -print-multiarch 2>/dev/null || uname -m)/wireshark/plugins

.PHONY: install
install: all $(INSTALL_TARGETS)
	$(INSTALL) -d '$(DESTDIR)$(PREFIX)/sbin' '$(DESTDIR)$(PREFIX)/bin' '$(DOCDIR)/examples' \
		'$(DESTDIR)$(PREFIX)/share/bash-completion/completions' '$(WIRESHARKDIR)'
	$(INSTALL) -m 755 $(addprefix $(BUILD)/bin/,fad smd routed-glue) '$(DESTDIR)$(PREFIX)/sbin'
	$(INSTALL) -m 755 $(BUILD)/bin/turnoutctl '$(DESTDIR)$(PREFIX)/bin'
	$(INSTALL) -m 644 ctl/turnoutctl.bash '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/turnoutctl'
	$(INSTALL) -m 644 proto/wireshark/turnout.lua '$(WIRESHARKDIR)'
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE $(wildcard docs/*.md) '$(DOCDIR)'
	$(INSTALL) -m 644 $(wildcard docs/examples/*.yaml docs/examples/*.conf */*.example.yaml) '$(DOCDIR)/examples'
