# SPDX-License-Identifier: BSD-2-Clause
#
# Units, the daemons' user and their directories: installed, not enabled.
# A unit is made when it is installed, because PREFIX is in it.

UNITS := fad smd routed-glue
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
INSTALL_TARGETS += install-units

.PHONY: install-units
install-units:
	$(INSTALL) -d '$(UNITDIR)' '$(DESTDIR)$(PREFIX)/lib/sysusers.d' '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d'
	for unit in $(UNITS); do \
		sed -e '/^@HARDENING@$$/{r systemd/hardening.inc' -e 'd}' -e 's|@SBINDIR@|$(PREFIX)/sbin|' \
			"systemd/$$unit.service.in" > '$(UNITDIR)'/"$$unit.service" && \
		chmod 644 '$(UNITDIR)'/"$$unit.service" || exit 1; done
	$(INSTALL) -m 644 systemd/turnout.sysusers '$(DESTDIR)$(PREFIX)/lib/sysusers.d/turnout.conf'
	$(INSTALL) -m 644 systemd/turnout.tmpfiles '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/turnout.conf'
