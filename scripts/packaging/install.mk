# SPDX-License-Identifier: Apache-2.0
# make install: PREFIX is where things lie when they run, DESTDIR a directory that stands for / until then. make uninstall
# takes the same variables.
# make deb: Debian packages in build/deb, from a copy of the tracked files, which the tree does not notice.
# make image: an OCI image of a node, in the storage of buildah and podman.

PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR   = $(PREFIX)/bin
LIBDIR  ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR   = $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/understudy
SHARE    = $(PREFIX)/share/understudy
# mdoc's date: of the last change of the tables, or of the package.
MANDATE  = $(shell LC_ALL=C date -u -d @$${SOURCE_DATE_EPOCH:-$$(stat -c %Y docs/pair-file.md)} '+%B %-d, %Y')
# A keeper's unit is a node's without what a node alone has: a fleet, a handover, what tells why an NF died.
KEEPER   = sed -e 's/ run -c/ keeper -c/; s/The node %i of a pair/The input keeper %i of a pair/; s/Understudy node/Understudy keeper/; s/understudy@/understudy-keeper@/' \
	-e '/^\# Hands over/d; /^ExecStop/d; /^\# A node of a fleet/d; /^EnvironmentFile/d; /^\# So that it tells which NF/d; /^\# For the files of a chain/d; /^ReadWritePaths/d' \
	-e 's/its lanes and its replicator go on/its turns/'
FILL     = sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|'

.PHONY: install uninstall deb
# $(call put,MODE,DIRECTORY,FILES)
put = install -d $(DESTDIR)$(2) && install -m $(1) $(3) $(DESTDIR)$(2)

install: all $(BUILD)/man/understudy.1 $(BUILD)/man/understudy.yaml.5
	$(call put,755,$(BINDIR),$(BUILD)/understudy)
	$(call put,644,$(PREFIX)/lib/understudy,$(MODULEFILES))
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(LIBDIR)/pkgconfig
	$(call put,644,$(LIBDIR),$(NFLIB))
	$(call put,644,$(PREFIX)/lib/understudy-dev,$(NFTESTLIB))
	$(foreach h,$(HEADERS),install -D -m 644 $(h) $(DESTDIR)$(PREFIX)/include/understudy/$(h:tests/%=%) &&) :
	$(FILL) scripts/packaging/understudy-nf.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/understudy-nf.pc
	$(FILL) scripts/packaging/understudy-nftest.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/understudy-nftest.pc
	$(FILL) scripts/packaging/understudy@.service > $(DESTDIR)$(UNITDIR)/understudy@.service
	$(FILL) scripts/packaging/understudy@.service | $(KEEPER) > $(DESTDIR)$(UNITDIR)/understudy-keeper@.service
	$(FILL) scripts/packaging/understudy-fleet.service > $(DESTDIR)$(UNITDIR)/understudy-fleet.service
	$(call put,644,$(MANDIR)/man1,$(BUILD)/man/understudy.1)
	$(call put,644,$(MANDIR)/man5,$(BUILD)/man/understudy.yaml.5)
	install -D -m 644 scripts/packaging/understudy.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/understudy
	$(call put,644,$(SHARE)/chains,$(wildcard nfs/chains/*))
	$(call put,644,$(SHARE)/new-nf,$(wildcard docs/examples/new-nf/*))
	$(call put,644,$(DOCDIR),README.md LICENSE)
	$(call put,644,$(DOCDIR)/docs,$(wildcard docs/*.md))
	ln -sfn ../examples $(DESTDIR)$(DOCDIR)/docs/examples
	$(call put,644,$(DOCDIR)/examples,$(filter-out %/frr %/hello %/kubernetes %/new-nf,$(wildcard docs/examples/*)))
	$(call put,644,$(DOCDIR)/examples/frr,$(wildcard docs/examples/frr/*))
	$(call put,644,$(DOCDIR)/examples/kubernetes,$(wildcard docs/examples/kubernetes/*))
	$(call put,644,$(DOCDIR)/examples/hello,$(wildcard docs/examples/hello/*))

# With the variables of the install. Modules of others stay, and so do configuration, state and user.
uninstall:
	rm -f $(addprefix $(DESTDIR),$(BINDIR)/understudy $(UNITDIR)/understudy@.service $(UNITDIR)/understudy-keeper@.service $(UNITDIR)/understudy-fleet.service $(LIBDIR)/$(notdir $(NFLIB)) \
		$(LIBDIR)/pkgconfig/understudy-nf.pc $(LIBDIR)/pkgconfig/understudy-nftest.pc $(MANDIR)/man1/understudy.1 $(MANDIR)/man5/understudy.yaml.5 \
		$(PREFIX)/share/bash-completion/completions/understudy)
	rm -rf $(addprefix $(DESTDIR),$(PREFIX)/include/understudy $(PREFIX)/lib/understudy-dev $(SHARE) $(DOCDIR))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/understudy/,$(notdir $(MODULEFILES)))
	[ ! -d $(DESTDIR)$(PREFIX)/lib/understudy ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/lib/understudy

# What the pages say of options and keys is the program's and docs/pair-file.md's: scripts/packaging/manual.
$(BUILD)/man/understudy.1: scripts/packaging/manual scripts/packaging/understudy.1.in $(BUILD)/understudy
	@mkdir -p $(@D)
	scripts/packaging/manual 1 $(BUILD)/understudy scripts/packaging/understudy.1.in DATE="$(MANDATE)" PREFIX=$(PREFIX) > $@.new
	@mv $@.new $@
$(BUILD)/man/understudy.yaml.5: scripts/packaging/manual docs/pair-file.md
	@mkdir -p $(@D)
	scripts/packaging/manual 5 UNDERSTUDY.YAML docs/pair-file.md "$(MANDATE)" $(PREFIX)/share/doc/understudy/docs > $@.new
	@mv $@.new $@

DEB := $(BUILD)/deb/understudy-$(VERSION)
deb:
	rm -rf $(BUILD)/deb
	mkdir -p $(DEB)
	git ls-files -z | xargs -0 cp --parents -t $(DEB)
	mv $(DEB)/scripts/packaging/debian $(DEB)
	cd $(DEB) && dpkg-buildpackage -us -uc -b > ../build.log 2>&1 || { tail -n 30 ../build.log; exit 1; }
	cd $(BUILD)/deb && lintian --fail-on error,warning *.changes
	@ls $(BUILD)/deb/*.deb

# An OCI image in buildah's storage: scripts/packaging/image.
.PHONY: image
image:
	rm -rf $(BUILD)/image/installed
	$(MAKE) install DESTDIR=$(BUILD)/image/installed PREFIX=/usr
	BUILD=$(BUILD) scripts/packaging/image understudy:$(VERSION) $(BUILD)/image/installed
