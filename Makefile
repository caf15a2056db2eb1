# SPDX-License-Identifier: Apache-2.0
#
#   make          build build/understudy, the NF library and its headers (installs nothing)
#   make help     these lines
#   make deps     install the Debian packages needed, skipping what is there
#   make check    deps, build, lint, unit tests, NF tests, the simulation, lab tests (TAP, through prove)
#   make check-unit, check-sim, check-lab   parts of it
#   make check-more, check-long   further lab tests, fuzzing, models; and what takes hours (docs/CONTRIBUTING.md)
#   make lint, make format   what a machine can see of style; clang-format of all files
#   make fuzz     libFuzzer on everything that reads bytes from outside, T=60 seconds for each target (tests/fuzz/fuzz.mk)
#   make model    the protocol's models, searched by spin (part of check-more)
#   make sim      SEEDS=N fresh seeds of the simulated pair on all cores (docs/testing.md)
#   make results  the experiments of the field's papers into docs/results, RESULTS_MINUTES=26 at most (scripts/results)
#   make demo     deps, build, then 500 downloads through a pair whose primaries are killed
#   make fleet-demo   the same of a fleet: downloads through shards on four servers, of which one dies; a fifth one is added; a picture
#   make install, uninstall, deb   into DESTDIR and PREFIX; out of them; Debian packages in build/deb (packaging/install.mk)
#   make soak     KILLS=100 HANGS=20 faults at random moments under downloads, SEED=n for those again (docs/testing.md)
#   make day      DAY_S=3600 a day of a pair: faults of all kinds under clients, alerts and log held against them (docs/testing.md); SEED, TIMING
#   make clean    away with build, build-san, build-fuzz
#   SAN=1         any of these with address and undefined-behaviour sanitizers, in build-san/
#   V=1           any of these with the commands that build

SAN   ?= 0
ifeq ($(SAN),1)
BUILD    := build-san
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT      := -O1
LTO      :=
LTOLINK  :=
else
BUILD := build
OPT   := -O2
# The program is optimized as one: NFs call small functions of nflib for every packet. Libraries and tests are not.
LTO     := -flto -ffat-lto-objects
LTOLINK := -flto=2 $(OPT)
endif
PLAIN   = $(if $(LTO),@objcopy -R '.gnu.lto_*' -R '.gnu.debuglto_*' $@)

# A line for each file that is made; the whole command with V=1.
V ?=
Q  = $(if $(V),,@echo '  $@' && )
CC      := gcc
VERSION := 0.3.0
LIBS    := liblz4 msgpack libxxhash yaml-0.1 jansson libpcap hiredis openssl libseccomp libmicrohttpd libcurl libdw libfixbuf
TESTLIB := cmocka

WARN   := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
CFLAGS := -std=gnu11 $(OPT) -g $(WARN) $(SANFLAGS) -fPIC -pthread -I. -DUNDERSTUDY_VERSION='"$(VERSION)"' -MMD -MP
ARCH   := -march=x86-64-v3 -mprfchw
LDLIBS  = $(shell pkg-config --libs $(LIBS)) -lm -ldl

# DPDK is known to the rooms that scripts/rooms names. Its -march would lower ours, so ours comes last.
DPDK_CFLAGS = $(shell pkg-config --cflags libdpdk | sed 's/-I/-isystem /g')
DPDK_LIBS   = $(shell pkg-config --libs libdpdk)

# SRC: what knows no DPDK, linked into tests as well. NODE: the rest, and the program's main.
ROOMS     := $(shell sed -n 's/^\([a-z/]*\) *|.*/\1/p' scripts/rooms)
DPDKROOMS := $(shell sed -n 's/^\([a-z/]*\) *|[^|]*| yes *|.*/\1/p' scripts/rooms)
NODE   := $(wildcard $(DPDKROOMS:%=%/*.c)) tools/main.c
SRC    := $(filter-out $(NODE) nftest/% nfs/dpi/%,$(wildcard $(ROOMS:%=%/*.c)))
# NFs that are files of their own, built as an author builds one and loaded by their name: not every edge needs them. Tests and
# fuzzers link those without a library in them.
MODULES    := dns_guard dpi ips nptv6 portscan syn_proxy trojan
module_obj  = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard nfs/$(1).c nfs/$(1)/*.c))
MODULEOBJ  := $(foreach m,$(MODULES),$(call module_obj,$m))
MODULEFILES := $(MODULES:%=$(BUILD)/lib/understudy/%.so)
OBJ    := $(SRC:%.c=$(BUILD)/obj/%.o)
NODEOBJ := $(NODE:%.c=$(BUILD)/obj/%.o)
NFLIB  := $(BUILD)/lib/libunderstudy-nf.a
NFTESTLIB := $(BUILD)/lib/libunderstudy-nftest.so
HEADERS := $(wildcard nflib/*.h nflib/*/*.h) nftest/nftest.h nftest/frames.h ftcore/base/check.h ftcore/base/error.h ftcore/region/heap.h ftcore/region/lines.h ftcore/region/region.h ftcore/record/format.h ftcore/record/record.h ftcore/order/section.h
CORE   := $(BUILD)/lib/libcore.a

UNIT   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c tests/nf/test_*.c))
NFTEST := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard nftest/*.c))
HELP   := $(patsubst tests/%.c,$(BUILD)/obj/tests/%.o,$(wildcard tests/help/*.c)) $(NFTEST)
# Lab tests of check-more, which CI runs behind check, and those that check-long runs, with the audit in each run of a
# table (AUDIT_ALL in tests/lab/replay.sh): so dpi is in both. check runs the others.
MORE   := afxdp apply apply-confirm apply-kill apply-routes chains checksums conflict crash delta dpi fleet-drills greedy hairpin \
          hostile hung install ipv6 keeper-bugs keeper-device keeper-files keeper-poison keeper-two lanes-diverge log members-past \
          members-strict members-tls memif nat-log nat64 on-crash outside-nf poison push recorder-lanes refused-version \
          replay-inside replay-lanes rest right-ends rules server-loss show stale try verdict ways
LONGER := apply-kill-interfaces arbiter arbiter-tls digests dpi-pair fight fleet-balance fleet-bgp fleet-change fleet-etcd fleet-metrics fleet-tls fleet-upgrade fragments-lanes full heap inspect interfaces ips-evasion jumbo keeper-apply \
          keeper-poison-bugs keeper-trojan lanes-modes large-frames \
          load-balancer-ipv6 matrix metrics nfs privilege reasons recorder replay syn-proxy trace track track-frr upgrade vlan ways-members ways-tls
LABMORE := $(MORE:%=tests/lab/%.t)
LABLONG := tests/lab/dpi.t $(LONGER:%=tests/lab/%.t) $(wildcard tests/lab/long/*.t)
LAB    := $(filter-out $(LABMORE) $(LABLONG),$(wildcard tests/lab/*.t))

# Built a second time with bugs to be found, of which the environment chooses one.
PLANTED := $(shell grep -lE 'FT_PLANTED|def UNDERSTUDY_PLANT' $$(find ftcore nflib keeper replicator lane node tools -name '*.c'))

.PHONY: all help deps lint results sim sim-coverage check check-sim check-sim-more check-more check-long check-unit check-lab model demo fleet-demo soak day clean format
all: $(BUILD)/understudy $(BUILD)/probe $(BUILD)/numbered $(NFLIB) $(NFTESTLIB) $(MODULEFILES) $(HEADERS:%=$(BUILD)/include/%)

help:
	@sed -n 's/^#   \(make\|SAN\|V=\)/\1/p' Makefile

deps:
	@scripts/deps

$(OBJ) $(NODEOBJ) $(PLANTED:%.c=$(BUILD)/planted/%.o): CFLAGS += $(LTO)

$(BUILD)/understudy: $(NODEOBJ) $(filter-out $(MODULEOBJ),$(OBJ)) | $(MODULEFILES)
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) $(LDFLAGS) -pthread -rdynamic -o $@.new $^ $(LDLIBS) $(DPDK_LIBS) && mv $@.new $@

# The same with bugs to be found, of which the environment chooses one: what the replay tool's oracle is worth.
$(BUILD)/understudy-planted: $(PLANTED:%.c=$(BUILD)/planted/%.o) \
    $(filter-out $(PLANTED:%.c=$(BUILD)/obj/%.o) $(MODULEOBJ),$(NODEOBJ) $(OBJ)) | $(MODULEFILES)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -pthread -rdynamic -o $@ $^ $(LDLIBS) $(DPDK_LIBS)
$(BUILD)/planted/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(if $(filter $(NODE),$<),$(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API) -DUNDERSTUDY_PLANT $(ARCH) -c -o $@ $<

# The program of the next format, for pairs of two versions. What knows no format is the program's own.
NEXTOBJ := $(patsubst $(BUILD)/obj/%,$(BUILD)/next/%,$(filter-out $(BUILD)/obj/nfs/% $(BUILD)/obj/nflib/%,$(NODEOBJ) $(OBJ)))
$(BUILD)/understudy-next: $(NEXTOBJ) $(filter-out $(MODULEOBJ),$(filter $(BUILD)/obj/nfs/% $(BUILD)/obj/nflib/%,$(OBJ))) | $(MODULEFILES)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -pthread -rdynamic -o $@ $^ $(LDLIBS) $(DPDK_LIBS)
$(NEXTOBJ): $(BUILD)/next/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API -include tests/next.h -UUNDERSTUDY_VERSION -DUNDERSTUDY_VERSION='"0.next"' $(ARCH) -c -o $@ $<
$(BUILD)/tests/unit/test_format: $(BUILD)/next/tests/unit/test_format.o $(patsubst %.c,$(BUILD)/next/%.o,$(wildcard ftcore/base/*.c ftcore/region/*.c ftcore/record/*.c))
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) -pthread -o $@ $^ $(LDLIBS) $(shell pkg-config --libs $(TESTLIB))
$(BUILD)/next/tests/unit/test_format.o: tests/unit/test_format.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -include tests/next.h $(ARCH) -c -o $@ $<

# What names the version is made again when that changes.
VERSIONED := $(shell grep -ls UNDERSTUDY_VERSION $(NODE) $(filter %.c,$(OBJ:$(BUILD)/obj/%.o=%.c)))
$(foreach kind,obj next planted,$(VERSIONED:%.c=$(BUILD)/$(kind)/%.o)): Makefile

# libfixbuf's headers include glib's.
$(foreach kind,obj next planted,$(BUILD)/$(kind)/node/export/encode.o): CFLAGS += $(shell pkg-config --cflags-only-I libfixbuf | sed 's/-I/-isystem /g')

# The page of reports is in the program.
$(foreach kind,obj next planted,$(BUILD)/$(kind)/tools/pair/report.o): tools/pair/report.html

# The lab's prober; numbered datagrams.
$(BUILD)/probe: $(BUILD)/obj/tests/lab/probe.o $(patsubst %.c,$(BUILD)/obj/%.o,tools/pair/child.c ftcore/base/error.c ftcore/base/event_log.c)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -pthread -o $@ $^ $(shell pkg-config --libs jansson)

$(BUILD)/numbered: $(BUILD)/obj/tests/lab/numbered.o
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -o $@ $^

# Everything but the ports: what the tests link, and what an NF outside the tree is built against.
$(CORE): $(OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar qcs $@ $^
	$(PLAIN)
$(NFLIB): $(filter $(BUILD)/obj/ftcore/% $(BUILD)/obj/nflib/%,$(OBJ))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar qcs $@ $^
	$(PLAIN)
# What tests of NFs outside the tree link: the harness, all that a module may call, and the NFs of the tree.
$(NFTESTLIB): $(NFTEST) $(filter $(BUILD)/obj/ftcore/% $(BUILD)/obj/nflib/% $(BUILD)/obj/nfs/%,$(OBJ)) $(CORE)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -shared $(LDFLAGS) -pthread -o $@ $^ $(LDLIBS)
# Nothing of a module is known outside of it: NF_MODULE registers its NF while it is loaded.
$(MODULEOBJ): CFLAGS += -fvisibility=hidden
# nDPI is linked in: both nodes have the same one, and what it asks of the wall clock comes to the module.
$(BUILD)/lib/understudy/dpi.so: MODULELIBS := -Wl,--gc-sections,--wrap=time,--wrap=gettimeofday,--wrap=exit,--exclude-libs,ALL -l:libndpi.a -lgcrypt -lm
$(foreach m,$(MODULES),$(eval $(BUILD)/lib/understudy/$m.so: $(call module_obj,$m)))
$(MODULEFILES):
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) -shared $(LDFLAGS) -pthread -o $@ $^ $(MODULELIBS)
$(BUILD)/include/%: %
	@mkdir -p $(@D)
	@cp $< $@

$(NODE:%.c=$(BUILD)/obj/%.o): $(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API $(ARCH) -c -o $@ $<
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(ARCH) -c -o $@ $<

# Whole archive, so that NFs register themselves in tests as they do in the program. A test that includes a file of the product
# for what is static in it has all objects but that file's.
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(HELP) $(CORE)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(if $(INCLUDED),-fno-lto) -pthread -rdynamic -o $@ $(filter %.o,$^) \
	    $(if $(INCLUDED),$(filter-out $(INCLUDED),$(OBJ)),-Wl$(COMMA)--whole-archive $(CORE) -Wl$(COMMA)--no-whole-archive) \
	    $(LDLIBS) $(shell pkg-config --libs $(TESTLIB))
COMMA := ,
$(foreach t,$(shell grep -lE '^#include "[a-z_/]+\.c"' tests/unit/*.c tests/nf/*.c),$(eval $(t:tests/%.c=$(BUILD)/tests/%): \
    INCLUDED := $(shell sed -n 's|^#include "\([a-z_/]*\)\.c"|$(BUILD)/obj/\1.o|p' $t)))
# The worlds that one of them runs in alone.
$(BUILD)/tests/unit/test_core_faults: $(BUILD)/obj/tests/unit/pair.o
$(BUILD)/tests/unit/test_transcripts: $(BUILD)/obj/tests/unit/world.o
# Their module, and the library that it is compared with.
$(BUILD)/tests/nf/test_dpi_captures: LDLIBS += -lndpi
$(BUILD)/tests/nf/test_dpi $(BUILD)/tests/nf/test_dpi_captures: $(BUILD)/lib/understudy/dpi.so
.PRECIOUS: $(BUILD)/obj/%.o

# The simulation: the product's sources behind tests/sim/seam.h, in which the world answers in place of the system;
# calls between files that the world looks at go through tests/sim/hooks.c.
SIM_WRAPS := nd_lane_sleep ft_lane_wake ft_lane_ring nd_lane_wait nd_lane_announce nd_lane_emit_tail nd_group_barrier nf_chain_look nf_chain_pass nf_chain_run nf_chain_command nf_chain_abandon nd_crash_save_quarantine lg_capture_end ft_snapshot_begin ft_edit_track ft_edit_track_in_line \
    ft_region_wipe ft_section_enter_ordered ft_section_leave_ordered ft_section_depend ft_section_mark rp_sender_turn rp_receiver_take \
    rp_receiver_reset rp_snapshot_take rp_snapshot_turn rp_link_send rp_view_store rp_view_writer_give ft_ring_init ft_ring_free ft_message_encode \
    ft_record_encode ft_chunk_encode ft_line_run_append ft_audit_forbid rp_stream_open rp_stream_two_ways rp_stream_fd rp_stream_handshake rp_stream_sealed \
    rp_stream_read rp_stream_write rp_stream_flush rp_stream_peer_closed rp_stream_pending rp_stream_why rp_stream_close rp_keys_read
SIM_PRODUCT := $(filter-out replicator/socket.c node/control/% node/metrics/% node/export/% node/arbiter/% fleet/% node/etcd/% cli/% tools/%,$(SRC)) node/ports/datagrams.c node/ports/fed.c
SIM_SOCKETS := replicator/link.o replicator/meeting.o replicator/stream.o
SIM_OBJ   := $(SIM_PRODUCT:%.c=$(BUILD)/sim/%.o)
SIM_TESTS := $(patsubst %.c,$(BUILD)/sim/%.o,$(wildcard tests/sim/*.c) nftest/frames.c tests/help/record_check.c tests/help/arbiter.c)
SIM_SEAM   = -include tests/next.h -include tests/sim/seam.h -DRP_CLOCKS=1024u -DRP_HOLD_NS=20000000ull -DKP_UNANSWERED=30u
$(filter $(BUILD)/sim/ftcore/% $(BUILD)/sim/replicator/%,$(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim/%)): SIM_SEAM += -DSIM_MEMORY
$(BUILD)/sim/ftcore/region/region.o: SIM_SEAM += -DSIM_REGION
$(SIM_SOCKETS:%=$(BUILD)/sim/%): SIM_SEAM += -DSIM_SOCKETS
$(BUILD)/sim/replicator/view.o: SIM_SEAM += -DSIM_FILES
$(BUILD)/sim/replicator/view_writer.o $(BUILD)/sim/ftcore/base/worker.o: SIM_SEAM += -DSIM_THREAD
# A node's end of an input keeper comes with the structs of its ports, so with DPDK's headers.
SIM_FED    = $(foreach d,sim sim-planted sim-coverage,$(BUILD)/$d/node/ports/datagrams.o $(BUILD)/$d/node/ports/fed.o)
$(SIM_FED): SIM_SEAM += -DSIM_DATAGRAMS
$(SIM_FED) $(BUILD)/sim/tests/sim/keeper.o $(BUILD)/sim/tests/sim/datagrams.o: CFLAGS += $(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API
$(SIM_OBJ): $(BUILD)/sim/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SIM_SEAM) $(ARCH) -c -o $@ $<
$(SIM_TESTS): $(BUILD)/sim/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -include tests/next.h -DRP_CLOCKS=1024u $(ARCH) -c -o $@ $<
# make sim SEEDS=N: N fresh seeds on all cores. make sim SEED=S VERBOSE=1: that one, with its transcript. KIND=K: of that kind.
SEEDS   ?= 1000
SEED    ?=
VERBOSE ?=
KIND    ?=
sim: $(BUILD)/simulate
	@$(BUILD)/simulate $(KIND:%=-k %) $(if $(SEED),-s $(SEED) $(if $(VERBOSE),-v),-r -n $(SEEDS) -j $(shell nproc))
# The same ones each time, beside every seed that ever failed: the first quarter of each kind in check, the rest in check-more.
# Fresh ones: make sim, check-long.
FIXED_SEEDS := arbiter:2000 crash:1000 told:1000 members:1500 ways:1000 keeper:1000
check-sim: $(BUILD)/simulate $(BUILD)/fleet-day
	@BUILD=$(BUILD) prove --timer --failures --exec bash tests/sim/world.t
	@$(BUILD)/simulate -q -f 1 -n 1000 -l tests/sim/failed-seeds -j $(shell nproc)
	@for s in $(FIXED_SEEDS); do $(BUILD)/simulate -q -k $${s%:*} -f 1 -n $$(($${s#*:} / 4)) -j $(shell nproc) || exit; done
	@$(BUILD)/fleet-day -s 1 -n 200 -k 4000 -t 28800
check-sim-more: $(BUILD)/simulate $(BUILD)/simulate-planted $(BUILD)/fleet-day
	@BUILD=$(BUILD) prove --timer --failures --exec bash tests/sim/planted.t
	@$(BUILD)/simulate -q -f 1001 -n 3000 -j $(shell nproc)
	@for s in $(FIXED_SEEDS); do $(BUILD)/simulate -q -k $${s%:*} -f $$(($${s#*:} / 4 + 1)) -n $$(($${s#*:} * 3 / 4)) -j $(shell nproc) || exit; done
	@$(BUILD)/fleet-day -s 3 -n 100 -k 2000 -t 28800 -d 200
PLAN := plan balance place room words
# A day of a thousand servers, planned: build/fleet-day, with -s SEED (tests/fleet/day.c).
$(BUILD)/fleet-day: $(patsubst %.c,$(BUILD)/obj/%.o,tests/fleet/day.c $(PLAN:%=fleet/%.c) ftcore/base/error.c ftcore/base/event_log.c)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -pthread -o $@ $^ -lm
$(BUILD)/simulate: $(SIM_OBJ) $(SIM_TESTS)
	$(Q)$(CC) $(SANFLAGS) -pthread -rdynamic -o $@ $^ $(SIM_WRAPS:%=-Wl,--wrap=%) $(LDLIBS)

# The same with bugs to be found, of which the environment chooses one (ftcore/base/plant.h).
$(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-planted/%): $(BUILD)/sim-planted/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SIM_SEAM) -DUNDERSTUDY_PLANT $(ARCH) -c -o $@ $<
$(filter $(BUILD)/sim-planted/ftcore/% $(BUILD)/sim-planted/replicator/%,$(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-planted/%)): SIM_SEAM += -DSIM_MEMORY
$(BUILD)/sim-planted/ftcore/region/region.o: SIM_SEAM += -DSIM_REGION
$(SIM_SOCKETS:%=$(BUILD)/sim-planted/%): SIM_SEAM += -DSIM_SOCKETS
$(BUILD)/sim-planted/replicator/view.o: SIM_SEAM += -DSIM_FILES
$(BUILD)/sim-planted/replicator/view_writer.o $(BUILD)/sim-planted/ftcore/base/worker.o: SIM_SEAM += -DSIM_THREAD
$(BUILD)/simulate-planted: $(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-planted/%) $(SIM_TESTS)
	$(Q)$(CC) $(SANFLAGS) -pthread -rdynamic -o $@ $^ $(SIM_WRAPS:%=-Wl,--wrap=%) $(LDLIBS)

# What of ftcore/ and replicator/ the simulation reaches.
COVERAGE_SEEDS ?= 3000
COVERAGE_KIND  ?= 1000
$(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-coverage/%): $(BUILD)/sim-coverage/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SIM_SEAM) -O0 $(if $(filter ftcore/% replicator/%,$<),--coverage) $(ARCH) -c -o $@ $<
$(filter $(BUILD)/sim-coverage/ftcore/% $(BUILD)/sim-coverage/replicator/%,$(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-coverage/%)): SIM_SEAM += -DSIM_MEMORY
$(BUILD)/sim-coverage/ftcore/region/region.o: SIM_SEAM += -DSIM_REGION
$(SIM_SOCKETS:%=$(BUILD)/sim-coverage/%): SIM_SEAM += -DSIM_SOCKETS
$(BUILD)/sim-coverage/replicator/view.o: SIM_SEAM += -DSIM_FILES
$(BUILD)/sim-coverage/replicator/view_writer.o $(BUILD)/sim-coverage/ftcore/base/worker.o: SIM_SEAM += -DSIM_THREAD
$(BUILD)/simulate-coverage: $(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-coverage/%) $(SIM_TESTS)
	$(Q)$(CC) $(SANFLAGS) --coverage -Wl,-u,__gcov_dump -pthread -rdynamic -o $@ $^ $(SIM_WRAPS:%=-Wl,--wrap=%) $(LDLIBS)
sim-coverage: $(BUILD)/simulate-coverage
	@find $(BUILD)/sim-coverage -name '*.gcda' -delete
	@$(BUILD)/simulate-coverage -q tests/sim/scenarios/*.sim > /dev/null
	@$(BUILD)/simulate-coverage -q -f 1 -n $(COVERAGE_SEEDS) -j $(shell nproc)
	@for kind in liar troubled alone narrow stray; do $(BUILD)/simulate-coverage -q -k $$kind -f 1 -n $(COVERAGE_KIND) -j $(shell nproc) || exit 1; done
	@tests/sim/coverage $(BUILD)/sim-coverage

lint:
	@scripts/lint

check-unit: $(UNIT)
	@CMOCKA_MESSAGE_OUTPUT=TAP prove -j4 --timer --failures --exec scripts/tap $(UNIT)

check-lab: all $(if $(filter $(LABMORE) $(LABLONG),$(LAB)),$(BUILD)/understudy-planted $(BUILD)/understudy-next)
	@if [ -n "$(LAB)" ]; then UNDERSTUDY=$(BUILD)/understudy BUILD=$(BUILD) prove --timer --failures --exec bash $(LAB); fi

# Both models, every variant within bounds, and the mistakes that they must find: tests/model/model.t says which.
results: all
	scripts/results

model:
	@prove --timer --failures --exec bash tests/model/model.t

check: deps
	@mkdir -p $(BUILD) && date +%s >$(BUILD)/check-begun
	@echo "check: the build, lint, $(words $(UNIT)) programs of unit and NF tests, the simulation, $(words $(LAB)) lab tests; last time here: $$(cat $(BUILD)/check-took 2>/dev/null || echo never run to its end)"
	+@$(MAKE) --no-print-directory -j2 all
	+@$(MAKE) --no-print-directory -j2 $(UNIT)
	@scripts/lint --fast
	+@$(MAKE) --no-print-directory check-unit
	+@$(MAKE) --no-print-directory -j2 $(BUILD)/simulate $(BUILD)/fleet-day
	+@$(MAKE) --no-print-directory check-sim
	+@$(MAKE) --no-print-directory check-lab
	@echo "$$((($$(date +%s) - $$(cat $(BUILD)/check-begun) + 59) / 60)) minutes" >$(BUILD)/check-took

check-more: deps
	+@$(MAKE) --no-print-directory -j2 build-fuzz/replay build-fuzz/fuzz $(BUILD)/understudy-planted $(BUILD)/understudy-next $(BUILD)/simulate-planted
	+@$(MAKE) --no-print-directory check-sim-more
	+@$(MAKE) --no-print-directory check-fuzz
	+@$(MAKE) --no-print-directory model
	+@$(MAKE) --no-print-directory check-lab LAB='$(LABMORE)'

check-long: check check-more
	@$(BUILD)/simulate -q -r -n 20000 -j $(shell nproc)
	@$(BUILD)/simulate -q -k members -r -n 20000 -j $(shell nproc)
	@$(BUILD)/simulate -q -k keeper -r -n 20000 -j $(shell nproc)
	@MODEL_LONG=1 prove --timer --failures --exec bash tests/model/model.t
	@if [ -n "$(LABLONG)" ]; then AUDIT_ALL=1 UNDERSTUDY=$(BUILD)/understudy BUILD=$(BUILD) prove --timer --failures --exec bash $(LABLONG); fi

demo: deps
	+@$(MAKE) --no-print-directory -j2 all
	@UNDERSTUDY=$(BUILD)/understudy BUILD=$(BUILD) scripts/demo

fleet-demo: deps
	+@$(MAKE) --no-print-directory -j2 all
	@UNDERSTUDY=$(BUILD)/understudy BUILD=$(BUILD) scripts/fleet-demo

# KILLS, HANGS, SEED, WILD and SOAK_LIMIT go to the script, which says what they are.
soak: deps
	+@$(MAKE) --no-print-directory -j2 all
	@$(foreach v,KILLS HANGS SEED WILD SOAK_LIMIT,$(if $($v),$v='$($v)')) UNDERSTUDY=$(BUILD)/understudy BUILD=$(BUILD) scripts/soak

day: deps
	+@$(MAKE) --no-print-directory -j2 all $(BUILD)/understudy-next
	@tests/day/day.py --seconds $(or $(DAY_S),3600) $(if $(SEED),--seed $(SEED)) $(if $(TIMING),--timing "$(TIMING)") --program $(BUILD)/understudy --next $(BUILD)/understudy-next

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build build-san build-fuzz

include tests/fuzz/fuzz.mk
include packaging/install.mk

-include $(SIM_OBJ:.o=.d) $(SIM_OBJ:$(BUILD)/sim/%.o=$(BUILD)/sim-planted/%.d) $(SIM_OBJ:$(BUILD)/sim/%.o=$(BUILD)/sim-coverage/%.d) $(SIM_TESTS:.o=.d)
-include $(OBJ:.o=.d) $(NFTEST:.o=.d) $(NODEOBJ:.o=.d) $(NEXTOBJ:.o=.d) $(BUILD)/next/tests/unit/test_format.d $(PLANTED:%.c=$(BUILD)/planted/%.d)
-include $(patsubst tests/%.c,$(BUILD)/obj/tests/%.d,$(wildcard tests/help/*.c tests/unit/*.c tests/nf/*.c tests/lab/*.c tests/fleet/*.c)) $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard nfs/dpi/*.c))
