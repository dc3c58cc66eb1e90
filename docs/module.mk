# SPDX-License-Identifier: BSD-2-Clause
#
# Man pages out of docs/man/*.scd, which are scdoc with `@include NAME` for
# what several pages say.  A page's date is its source's.

MAN_SOURCES := $(wildcard docs/man/*.scd)
MAN_PAGES := $(patsubst docs/man/%.scd,$(BUILD)/man/%,$(MAN_SOURCES))
INSTALL_TARGETS += install-man

.PHONY: man install-man
man: $(MAN_PAGES)
all: man

$(BUILD)/man/%: docs/man/%.scd $(wildcard docs/man/*.inc) Makefile docs/module.mk
	@mkdir -p $(@D)
	$(call say,MAN,$<)set -o pipefail; awk -v version='$(VERSION)' ' \
		function put(line) { gsub(/@VERSION@/, version, line); print line } \
		/^@include / { file = "docs/man/" $$2 ".inc"; \
			while ((more = (getline line < file)) > 0) put(line); \
			if (more < 0) { print file " is not there" > "/dev/stderr"; exit 1 } close(file); next } \
		{ put($$0) }' $< | SOURCE_DATE_EPOCH=$$(stat -c %Y $<) scdoc > $@

install-man: man
	for page in $(MAN_PAGES); do \
		section="$${page##*.}"; \
		$(INSTALL) -d '$(DESTDIR)$(PREFIX)/share/man'/"man$$section" && \
		$(INSTALL) -m 644 "$$page" '$(DESTDIR)$(PREFIX)/share/man'/"man$$section" || exit 1; done
