# SPDX-License-Identifier: Apache-2.0
#
# make install and make uninstall. Files go below DESTDIR; only without DESTDIR
# is the host itself touched (tools/packaging/host). Configuration and state are
# the operator's: install never overwrites them, uninstall never removes them.

sbindir		:= $(PREFIX)/sbin
bindir		:= $(PREFIX)/bin
datadir		:= $(PREFIX)/share
mandir		:= $(datadir)/man
unitdir		:= $(PREFIX)/lib/systemd/system
sysusersdir	:= $(PREFIX)/lib/sysusers.d
tmpfilesdir	:= $(PREFIX)/lib/tmpfiles.d
# Where dkms(8) looks, whatever the prefix.
dkmsdir		:= /usr/src/hoody-$(VERSION)

INSTALL		?= install
packaging	:= tools/packaging
man_pages	:= $(wildcard docs/*.1 docs/*.5 docs/*.7 docs/*.8)
examples	:= $(wildcard docs/examples/*)
# The unit names the program by its path.
with_prefix	= sed 's,/usr/sbin/,$(sbindir)/,'

# "name from" pairs: everything that is installed and removed again as one file.
installed	= $(sbindir)/hoody-agent $(bindir)/hoody \
		  $(datadir)/lxc/hooks/hoody-hook \
		  $(unitdir)/hoody-agent.service \
		  $(sysusersdir)/hoody.conf $(tmpfilesdir)/hoody.conf \
		  $(datadir)/bash-completion/completions/hoody \
		  $(datadir)/zsh/vendor-completions/_hoody \
		  $(foreach page,$(man_pages),$(mandir)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))

.PHONY: install-files install-dkms

install: install-files install-dkms
	$(if $(DESTDIR),,$(packaging)/host install $(VERSION))

install-files: agent cli
	$(INSTALL) -D -m 0755 $(O)/bin/hoody-agent $(DESTDIR)$(sbindir)/hoody-agent
	$(INSTALL) -D -m 0755 $(O)/bin/hoody $(DESTDIR)$(bindir)/hoody
	$(INSTALL) -D -m 0755 tools/lxc/hoody-hook $(DESTDIR)$(datadir)/lxc/hooks/hoody-hook
	$(INSTALL) -d $(DESTDIR)$(unitdir)
	$(with_prefix) $(packaging)/hoody-agent.service >$(DESTDIR)$(unitdir)/hoody-agent.service
	chmod 0644 $(DESTDIR)$(unitdir)/hoody-agent.service
	$(INSTALL) -D -m 0644 $(packaging)/hoody.sysusers $(DESTDIR)$(sysusersdir)/hoody.conf
	$(INSTALL) -D -m 0644 $(packaging)/hoody.tmpfiles $(DESTDIR)$(tmpfilesdir)/hoody.conf
	$(INSTALL) -D -m 0644 $(packaging)/completion/hoody.bash $(DESTDIR)$(datadir)/bash-completion/completions/hoody
	$(INSTALL) -D -m 0644 $(packaging)/completion/_hoody $(DESTDIR)$(datadir)/zsh/vendor-completions/_hoody
	$(foreach page,$(man_pages),$(INSTALL) -D -m 0644 $(page) $(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)) &&) true
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(datadir)/doc/hoody/examples $(packaging)/agent.conf $(examples)
	test -e $(DESTDIR)/etc/hoody/agent.conf || \
		$(INSTALL) -D -m 0644 $(packaging)/agent.conf $(DESTDIR)/etc/hoody/agent.conf

# The module's source as dkms builds it; also what the tests build.
install-dkms:
	rm -rf $(DESTDIR)$(dkmsdir)
	$(INSTALL) -D -m 0644 dkms.conf $(DESTDIR)$(dkmsdir)/dkms.conf
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(dkmsdir)/kmod $(filter-out kmod/uapi/%,$(kmod_src)) kmod/VERSION
	$(INSTALL) -D -m 0644 kmod/uapi/linux/hoody.h $(DESTDIR)$(dkmsdir)/kmod/uapi/linux/hoody.h

uninstall:
	$(if $(DESTDIR),,$(packaging)/host uninstall $(VERSION))
	rm -f $(addprefix $(DESTDIR),$(installed))
	rm -rf $(DESTDIR)$(dkmsdir) $(DESTDIR)$(datadir)/doc/hoody
	$(if $(DESTDIR),,$(packaging)/host reload $(VERSION))
	@echo 'Left in place: /etc/hoody, /var/lib/hoody and the user hoody (docs/operations.md says how to remove them).'
