# SPDX-License-Identifier: Apache-2.0
#
#   make          build build/understudy, the NF library and its headers (installs nothing)
#   make help     these lines
#   make deps     install the Debian packages needed, skipping what is there
#   make check    deps, build, lint, unit tests, NF tests, the simulation, lab tests
#   make check-unit, check-sim, check-lab   parts of it
#   make check-more   what CI runs: check, further lab tests and seeds, planted bugs, fuzzing, models, clang-tidy
#   make check-labs   all lab tests, those of check-long too
#   make check-long   check-more, and what takes hours (docs/CONTRIBUTING.md)
#   make lint, make format   what a machine can see of style; clang-format of all files
#   make fuzz     libFuzzer on everything that reads bytes from outside, T=60 seconds for each target (tests/fuzz/fuzz.mk)
#   make model    the protocol's models, searched by spin (part of check-more)
#   make sim      SEEDS=N fresh seeds of the simulated pair on all cores (docs/testing.md)
#   make results  the experiments of the field's papers into docs/results, RESULTS_MINUTES=26 at most (scripts/results)
#   make demo     deps, build, then 500 downloads through a pair whose primaries are killed
#   make fleet-demo   the same of a fleet: downloads through shards on four servers, of which one dies; a fifth one is added; a picture
#   make install, uninstall, deb, image   into DESTDIR and PREFIX; out of them; Debian packages; an OCI image (scripts/packaging/install.mk)
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
# Debian 12 has it as msgpack, later ones as msgpack-c.
MSGPACK := $(shell pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)
LIBS    := liblz4 $(MSGPACK) libxxhash yaml-0.1 jansson libpcap openssl libseccomp libmicrohttpd libcurl libdw libfixbuf
TESTLIB := cmocka libmicrohttpd

WARN   := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
CFLAGS := -std=gnu11 $(OPT) -g $(WARN) $(SANFLAGS) -fPIC -pthread -I. -Itests -DUNDERSTUDY_VERSION='"$(VERSION)"' -MMD -MP
ARCH   := $(if $(filter aarch64%,$(shell $(CC) -dumpmachine)),-march=armv8-a+crc+crypto,-march=x86-64-v3 -mprfchw)
# libcurl and libmicrohttpd are loaded when they are needed (understudy/base/late.h).
LDLIBS  = $(shell pkg-config --libs $(filter-out libcurl libmicrohttpd,$(LIBS))) -lIPSec_MB -lm -ldl

# DPDK is known to the rooms that scripts/rooms names. Its -march would lower ours, so ours comes last.
DPDK_CFLAGS = $(shell pkg-config --cflags libdpdk | sed 's/-I/-isystem /g')
DPDK_LIBS   = $(shell pkg-config --libs libdpdk)

# SRC: what knows no DPDK, linked into tests as well. NODE: the rest, and the program's main.
ROOMS     := $(shell sed -n 's/^\([a-z/]*\) *|.*/\1/p' scripts/rooms)
DPDKROOMS := $(shell sed -n 's/^\([a-z/]*\) *|[^|]*| yes *|.*/\1/p' scripts/rooms)
NODE   := $(wildcard $(DPDKROOMS:%=%/*.c)) understudy/main.c
SRC    := $(filter-out $(NODE) tests/nftest/% nfs/dpi/%,$(wildcard $(ROOMS:%=%/*.c)))
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
HEADERS := $(wildcard nflib/*.h nflib/*/*.h) tests/nftest/nftest.h tests/nftest/frames.h ftcore/base/check.h ftcore/base/cpu.h ftcore/base/error.h ftcore/region/heap.h ftcore/region/lines.h ftcore/region/region.h ftcore/record/format.h ftcore/record/record.h ftcore/order/section.h
CORE   := $(BUILD)/lib/libcore.so

UNIT   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c tests/nf/test_*.c))
NFTEST := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/nftest/*.c))
HELP   := $(patsubst tests/%.c,$(BUILD)/obj/tests/%.o,$(wildcard tests/help/*.c)) $(NFTEST)
# Lab tests of check-more, which CI runs beside those of check, and those that check-long runs, with the audit in each run of a
# table (AUDIT_ALL in tests/lab/replay.sh). check runs the others.
MORE   := apply apply-kill chains crash demos docs fleet-rights hostile install keeper keeper-files keys lanes-diverge members memif nat64 outside-nf \
          replay-lanes right-ends rules scope show slow stale table-lanes two-servers
LONGER := afxdp apply-confirm apply-kill-interfaces apply-routes arbiter arbiter-tls checksums conflict digests dpi fight fleet-balance fleet-bgp \
          fleet-change fleet-drills fleet-etcd fleet-liar fleet-metrics fleet-slow fleet-slow-primary fleet-tls fleet-upgrade fragments-lanes full heap hung inspect \
          interfaces ips-evasion jumbo keeper-apply keeper-bugs keeper-device keeper-poison keeper-poison-bugs keeper-trojan keeper-two lanes-modes \
          large-frames link-port load-balancer-ipv6 log machine matrix members-past members-strict members-tls metrics nat-log nfs on-crash poison \
          privilege push reasons recorder recorder-lanes redis refused-version replay replay-inside rest server-loss syn-proxy table-hosts trace \
          track track-frr try upgrade verdict vlan ways ways-members ways-tls
LABMORE := $(MORE:%=tests/lab/%.t)
LABLONG := $(LONGER:%=tests/lab/%.t) $(wildcard tests/lab/long/*.t)
LAB    := $(filter-out $(LABMORE) $(LABLONG),$(wildcard tests/lab/*.t))

# Built a second time with bugs to be found, of which the environment chooses one.
PLANTED := $(shell grep -lE 'FT_PLANTED|def UNDERSTUDY_PLANT' $$(find ftcore nflib replicator lane understudy -name '*.c'))

.PHONY: all help deps lint results sim sim-coverage check check-sim check-more check-labs check-long check-unit check-lab model demo fleet-demo soak day clean format
all: $(BUILD)/understudy $(BUILD)/probe $(BUILD)/numbered $(BUILD)/ask $(BUILD)/witness $(NFLIB) $(NFTESTLIB) $(MODULEFILES) $(patsubst %,$(BUILD)/include/%,$(HEADERS:tests/%=%))

help:
	@sed -n 's/^#   \(make\|SAN\|V=\)/\1/p' Makefile

deps:
	@scripts/deps

$(OBJ) $(NODEOBJ) $(PLANTED:%.c=$(BUILD)/planted/%.o): CFLAGS += $(LTO)

$(BUILD)/understudy: $(NODEOBJ) $(filter-out $(MODULEOBJ),$(OBJ)) | $(MODULEFILES)
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) $(LDFLAGS) -pthread -rdynamic -o $@.new $^ $(LDLIBS) $(DPDK_LIBS) && mv $@.new $@

# The same with bugs to be found, of which the environment chooses one: what the replay tool's oracle is worth.
$(BUILD)/understudy-planted: $(PLANTED:%.c=$(BUILD)/planted/%.o) $(BUILD)/planted/tests/sim/planted_lane.o \
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
$(BUILD)/tests/unit/test_format: $(BUILD)/next/tests/unit/test_format.o $(BUILD)/obj/tests/help/test.o $(patsubst %.c,$(BUILD)/next/%.o,$(wildcard ftcore/base/*.c ftcore/region/*.c ftcore/record/*.c))
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) -pthread -o $@ $^ $(LDLIBS) $(shell pkg-config --libs $(TESTLIB))
$(BUILD)/next/tests/unit/test_format.o: tests/unit/test_format.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -include tests/next.h $(ARCH) -c -o $@ $<

# What names the version is made again when that changes.
VERSIONED := $(shell grep -ls UNDERSTUDY_VERSION $(NODE) $(filter %.c,$(OBJ:$(BUILD)/obj/%.o=%.c)))
$(foreach kind,obj next planted,$(VERSIONED:%.c=$(BUILD)/$(kind)/%.o)): Makefile

# libfixbuf's headers include glib's.
$(foreach kind,obj next planted,$(BUILD)/$(kind)/understudy/export/encode.o): CFLAGS += $(shell pkg-config --cflags-only-I libfixbuf | sed 's/-I/-isystem /g')

# The page of reports is in the program.
$(foreach kind,obj next planted,$(BUILD)/$(kind)/understudy/pair/report.o): understudy/pair/report.html

# What measures: lanes in one thread; the bench beside chains whose state is in Redis, of which the files of nflib that report
# are compiled with tests/bench/watch.h in front of them.
BENCHOBJ := $(filter-out $(MODULEOBJ),$(OBJ))
REPORTS  := $(shell grep -lw NF_WATCH nflib/*/*.c)
WATCHED  := $(patsubst %.c,$(BUILD)/watched/%.o,$(filter-out nflib/state/map.c nflib/session/table.c,$(REPORTS)) \
    $(addprefix tests/bench/,watched_map.c watched_sessions.c redis.c wire.c))
$(WATCHED): CFLAGS += $(LTO)
$(BUILD)/watched/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -D_GNU_SOURCE= -include tests/bench/watch.h $(ARCH) -c -o $@ $<
$(BUILD)/bench-lane: $(BUILD)/obj/tests/bench/lane.o $(BENCHOBJ) | $(MODULEFILES)
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) -pthread -rdynamic -o $@ $^ $(LDLIBS)
$(BUILD)/bench-rules: $(BUILD)/obj/tests/bench/rules.o $(BENCHOBJ)
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) -pthread -rdynamic -o $@ $^ $(LDLIBS)
$(BUILD)/bench-lanes: $(BUILD)/obj/tests/bench/lanes.o
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) -pthread -o $@ $^ -lIPSec_MB
$(BUILD)/bench-redis: $(patsubst %,$(BUILD)/obj/tests/bench/%.o,redis_bench access) $(WATCHED) $(filter-out $(REPORTS:%.c=$(BUILD)/obj/%.o),$(BENCHOBJ)) | $(MODULEFILES)
	$(Q)$(CC) $(SANFLAGS) $(LTOLINK) -pthread -rdynamic -o $@ $^ $(LDLIBS) -lhiredis

# The lab's prober; numbered datagrams.
$(BUILD)/probe: $(BUILD)/obj/tests/lab/probe.o $(patsubst %.c,$(BUILD)/obj/%.o,understudy/pair/child.c understudy/base/given.c ftcore/base/error.c ftcore/base/event_log.c)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -pthread -o $@ $^ $(shell pkg-config --libs jansson)

$(BUILD)/ask: $(BUILD)/obj/tests/lab/ask.o
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -o $@ $^ $(shell pkg-config --libs jansson)
$(BUILD)/numbered $(BUILD)/witness: $(BUILD)/%: $(BUILD)/obj/tests/lab/%.o
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -o $@ $^

# Everything but the ports: what the tests link.
$(CORE): $(OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -shared -pthread -o $@ $^ $(LDLIBS)
$(NFLIB): $(filter $(BUILD)/obj/ftcore/% $(BUILD)/obj/nflib/%,$(OBJ))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar qcs $@ $^
	$(PLAIN)
# What tests of NFs outside the tree link: the harness, all that a module may call, and the NFs of the tree.
$(NFTESTLIB): $(NFTEST) $(OBJ)
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
$(BUILD)/include/nftest/%: tests/nftest/%
	@mkdir -p $(@D)
	@cp $< $@
$(BUILD)/include/%: %
	@mkdir -p $(@D)
	@cp $< $@

$(NODE:%.c=$(BUILD)/obj/%.o): $(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API $(ARCH) -c -o $@ $<
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(ARCH) -c -o $@ $<

# A test that includes a file of the product for what is static in it has all objects but that file's, and no library.
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(HELP) $(CORE)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(if $(INCLUDED),-fno-lto) -pthread -rdynamic -o $@ $(filter %.o,$^) \
	    $(if $(INCLUDED),$(filter-out $(INCLUDED),$(OBJ)),$(CORE) -Wl$(COMMA)-rpath$(COMMA)'$$ORIGIN/../../lib') $(LDLIBS) $(shell pkg-config --libs $(TESTLIB))
COMMA := ,
$(foreach t,$(shell grep -lE '^#include "[a-z_/]+\.c"' tests/unit/*.c tests/nf/*.c),$(eval $(t:tests/%.c=$(BUILD)/tests/%): \
    INCLUDED := $(shell sed -n 's|^#include "\([a-z_/]*\)\.c"|$(BUILD)/obj/\1.o|p' $t)))
# These have their state in Redis: what reports is linked as it does.
REDIS_TESTS := $(BUILD)/tests/unit/test_redis $(BUILD)/tests/nf/test_redis
$(REDIS_TESTS): $(filter-out %/redis.o,$(WATCHED))
$(REDIS_TESTS): INCLUDED := $(REPORTS:%.c=$(BUILD)/obj/%.o)
$(REDIS_TESTS): LDLIBS += -lhiredis
# This one asks which object of the process a module is in.
$(BUILD)/tests/unit/test_incidents: INCLUDED := none
# What a chain's files are to a node, in a room that knows DPDK.
$(BUILD)/tests/unit/test_files $(BUILD)/tests/unit/test_confirm: $(BUILD)/obj/understudy/change/kept.o
$(BUILD)/tests/unit/test_thread: $(patsubst %,$(BUILD)/obj/understudy/change/%.o,files kept)
# The model that it has in common with a fuzz target.
$(BUILD)/tests/nf/test_sessions: $(patsubst %,$(BUILD)/obj/tests/fuzz/%.o,fuzz fuzz_sessions sessions_model)
# The world that it runs in alone.
$(BUILD)/tests/unit/test_transcripts: $(BUILD)/obj/tests/unit/world.o
# Their module, and the library that it is compared with.
$(BUILD)/tests/nf/test_dpi_captures: LDLIBS += -lndpi
$(BUILD)/tests/nf/test_dpi $(BUILD)/tests/nf/test_dpi_captures: $(BUILD)/lib/understudy/dpi.so
.PRECIOUS: $(BUILD)/obj/%.o

# The simulation: the product's sources behind tests/sim/seam.h, in which the world answers in place of the system;
# calls between files that the world looks at go through tests/sim/hooks.c.
SIM_WRAPS := nd_lane_sleep ft_lane_wake ft_lane_ring nd_lane_wait nd_lane_announce nd_lane_emit_tail nd_group_barrier nf_chain_look nf_chain_pass nf_chain_run nf_chain_command nf_chain_abandon nd_crash_save_quarantine lg_capture_end ft_snapshot_begin ft_edit_track ft_edit_track_in_line \
    ft_region_wipe ft_section_enter_ordered ft_section_leave_ordered ft_section_depend ft_section_mark rp_sender_turn rp_receiver_take \
    rp_receiver_reset rp_snapshot_take rp_snapshot_turn rp_link_send rp_view_store rp_view_writer_give ft_ring_init ft_ring_free \
    ft_record_encode ft_chunk_encode ft_line_run_append ft_audit_forbid rp_stream_open rp_stream_two_ways rp_stream_fd rp_stream_handshake rp_stream_sealed rp_stream_secret \
    rp_stream_read rp_stream_write rp_stream_flush rp_stream_peer_closed rp_stream_pending rp_stream_why rp_stream_close rp_keys_read \
    nd_link_turn nd_link_look ft_link_put_body ft_link_get_body
SIM_PRODUCT := $(filter-out replicator/socket.c fleet/% $(patsubst %,understudy/%/%,control metrics export arbiter etcd cli pair drill recording replay bench),$(SRC)) understudy/ports/datagrams.c understudy/ports/fed.c
SIM_OBJ   := $(SIM_PRODUCT:%.c=$(BUILD)/sim/%.o)
SIM_TESTS := $(patsubst %.c,$(BUILD)/sim/%.o,$(wildcard tests/sim/*.c) tests/nftest/frames.c tests/help/record_check.c)
# Bugs to be found are compiled in (ftcore/base/plant.h); a run has none but what its environment names.
SIM_SEAM   = -DUNDERSTUDY_PLANT -include tests/next.h -include tests/sim/seam.h -DRP_CLOCKS=1024u -DRP_HOLD_NS=20000000ull -DKP_UNANSWERED=30u -DRP_PORT_QUIET_NS=15000000u -DRP_PORT_AGAIN_NS=20000000u -DND_LINK_EPOCH=8u -DFT_SLOW_NS=40000000ull -DRP_COST_NS=2000000u
# The objects of these files in both builds of the simulation, of which make sim-coverage has one of its own.
simulated  = $(foreach d,sim sim-coverage,$(patsubst %.c,$(BUILD)/$d/%.o,$(1)))
$(call simulated,$(filter ftcore/% replicator/%,$(SIM_PRODUCT))): SIM_SEAM += -DSIM_MEMORY
$(call simulated,ftcore/region/region.c): SIM_SEAM += -DSIM_REGION
$(call simulated,replicator/link.c replicator/meeting.c replicator/stream.c): SIM_SEAM += -DSIM_SOCKETS
$(call simulated,replicator/view.c ftcore/base/durable.c): SIM_SEAM += -DSIM_FILES
$(call simulated,replicator/view_writer.c ftcore/base/worker.c): SIM_SEAM += -DSIM_THREAD
$(BUILD)/sim/tests/sim/planted_lane.o: CFLAGS += -DUNDERSTUDY_PLANT
# A node's end of an input keeper comes with the structs of its ports, so with DPDK's headers.
SIM_FED    = $(call simulated,understudy/ports/datagrams.c understudy/ports/fed.c)
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
PLAN := plan order balance place room words
# A day of a thousand servers, planned: build/fleet-day, with -s SEED (tests/fleet/day.c).
$(BUILD)/fleet-day: $(patsubst %.c,$(BUILD)/obj/%.o,tests/fleet/day.c tests/fleet/agenda.c $(PLAN:%=fleet/%.c) ftcore/base/error.c ftcore/base/event_log.c)
	$(Q)$(CC) $(SANFLAGS) $(if $(LTO),-fno-lto) -pthread -o $@ $^ -lm
$(BUILD)/simulate: $(SIM_OBJ) $(SIM_TESTS)
	$(Q)$(CC) $(SANFLAGS) -pthread -rdynamic -o $@ $^ $(SIM_WRAPS:%=-Wl,--wrap=%) $(LDLIBS)

# What of ftcore/ and replicator/ the simulation reaches.
COVERAGE_SEEDS ?= 3000
COVERAGE_KIND  ?= 1000
$(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-coverage/%): $(BUILD)/sim-coverage/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SIM_SEAM) -O0 $(if $(filter ftcore/% replicator/%,$<),--coverage) $(ARCH) -c -o $@ $<
$(BUILD)/simulate-coverage: $(SIM_OBJ:$(BUILD)/sim/%=$(BUILD)/sim-coverage/%) $(SIM_TESTS)
	$(Q)$(CC) $(SANFLAGS) --coverage -Wl,-u,__gcov_dump -pthread -rdynamic -o $@ $^ $(SIM_WRAPS:%=-Wl,--wrap=%) $(LDLIBS)
sim-coverage: $(BUILD)/simulate-coverage
	@find $(BUILD)/sim-coverage -name '*.gcda' -delete
	@$(BUILD)/simulate-coverage -q tests/sim/scenarios/*.sim > /dev/null
	@$(BUILD)/simulate-coverage -q -f 1 -n $(COVERAGE_SEEDS) -j $(shell nproc)
	@for kind in liar troubled alone narrow stray port; do $(BUILD)/simulate-coverage -q -k $$kind -f 1 -n $(COVERAGE_KIND) -j $(shell nproc) || exit 1; done
	@tests/sim/coverage $(BUILD)/sim-coverage

lint:
	@scripts/lint

results: all $(BUILD)/bench-lane $(BUILD)/bench-lanes $(BUILD)/bench-redis
	scripts/results

# The models, every variant within bounds, and the mistakes that they must find: tests/model/model.t says which.
model:
	@prove --timer --failures --exec bash tests/model/model.t

include tests/fuzz/fuzz.mk

# ── The check: parts of one graph ────────────────────────────────────────────────────────────────
#
# Each part begins as soon as what it runs is built. scripts/part says how it ended, and what failed. Lab tests come behind all that computes,
# LABS at a time, with nothing beside them. One whose first comment begins with "Alone:" runs by itself at the end.

LABS  ?= 2
PART  := BUILD=$(BUILD) scripts/part
LABENV := UNDERSTUDY=$(BUILD)/understudy BUILD=$(BUILD)
ALONE  := $(shell grep -l '^\# Alone:' $(LABMORE) $(LABLONG) /dev/null)
# The longest begin first, so that none of them is left over at the end.
LENGTHY := $(patsubst %,tests/lab/%.t,dpi fleet-drills keeper link-port table-hosts table-lanes verdict) \
           $(patsubst %,$(BUILD)/tests/nf/test_%,dpi_captures damage dpi edge) $(patsubst %,$(BUILD)/tests/unit/test_%,etcd_mirror etcd_store)
queue  = $(filter $(LENGTHY),$(1)) $(filter-out $(LENGTHY),$(1))
.PHONY: part-lint part-tidy part-unit part-scenarios part-planted part-day part-day-dense part-failed-seeds part-fuzz part-corpus part-model part-lab part-lab-all part-lab-alone part-lab-long part-alone

part-lint:
	@$(PART) lint scripts/lint --fast
part-tidy:
	@$(PART) tidy scripts/lint --tidy
part-unit: $(UNIT)
	@$(PART) unit env CMOCKA_MESSAGE_OUTPUT=TAP prove -j2 --timer --failures --exec scripts/tap $(call queue,$(UNIT))
part-scenarios: $(BUILD)/simulate
	@$(PART) scenarios prove --timer --failures --exec bash tests/sim/world.t
part-planted: $(BUILD)/simulate
	@$(PART) planted prove -v --timer --failures --exec bash tests/sim/planted.t
part-day: $(BUILD)/fleet-day
	@$(PART) day $(BUILD)/fleet-day -w 10 -s 1 -n 200 -k 4000 -t 28800
part-day-dense: $(BUILD)/fleet-day
	@$(PART) day-dense $(BUILD)/fleet-day -s 3 -n 100 -k 2000 -t 28800 -d 200
part-corpus: $(FUZZ_BUILD)/replay
	@$(PART) corpus prove --timer --failures --exec '' $(FUZZ_BUILD)/replay
part-fuzz: $(FUZZ_BUILD)/replay $(FUZZ_BUILD)/fuzz
	@$(PART) fuzz env FUZZ="$(FUZZ_QUICK)" RUNS=$(FUZZ_RUNS) BUILD=$(FUZZ_BUILD) scripts/fuzz
part-model:
	@$(PART) model prove --timer --failures --exec bash tests/model/model.t

# The same seeds each time. A kind has as many as it has been worth: what they cost in all is four to eight minutes of a processor.
# check runs the first quarter of each, CI all. Fresh ones: make sim, check-long.
FIXED_SEEDS := pair:1200 sparse:300 arbiter:500 crash:300 told:300 members:600 ways:250 keeper:500 port:120 slow:160
part-failed-seeds: $(BUILD)/simulate
	@$(PART) failed-seeds $(BUILD)/simulate -q -n 0 -l tests/sim/failed-seeds
define seeds
.PHONY: part-seeds-$(1) part-seeds-$(1)-more
part-seeds-$(1): $(BUILD)/simulate
	@$$(PART) seeds-$(1) $(BUILD)/simulate -q $(if $(filter pair,$(1)),,-k $(1)) -f 1 -n $$$$(($(2) / 4))
part-seeds-$(1)-more: $(BUILD)/simulate
	@$$(PART) seeds-$(1)-more $(BUILD)/simulate -q $(if $(filter pair,$(1)),,-k $(1)) -f $$$$(($(2) / 4 + 1)) -n $$$$(($(2) * 3 / 4))
endef
colon := :
$(foreach s,$(FIXED_SEEDS),$(eval $(call seeds,$(firstword $(subst $(colon), ,$s)),$(lastword $(subst $(colon), ,$s)))))
SEED_PARTS := $(foreach s,$(FIXED_SEEDS),part-seeds-$(firstword $(subst $(colon), ,$s)))

part-lab: all
	@$(PART) lab env $(LABENV) prove -j$(LABS) --timer --failures --comments --exec 'scripts/part test' $(call queue,$(LAB))
part-lab-all: all $(BUILD)/understudy-planted
	@$(PART) lab env $(LABENV) prove -j$(LABS) --timer --failures --comments --exec 'scripts/part test' $(call queue,$(filter-out $(ALONE),$(LAB) $(LABMORE)))
part-lab-alone: all $(BUILD)/understudy-planted
	@$(PART) lab-alone env $(LABENV) prove --timer --failures --comments --exec 'scripts/part test' $(filter $(ALONE),$(LABMORE))
part-lab-long: all $(BUILD)/understudy-planted $(BUILD)/understudy-next $(BUILD)/bench-lane $(BUILD)/bench-redis
	@$(PART) lab-long env $(LABENV) prove -j$(LABS) --timer --failures --comments --exec 'scripts/part test' $(call queue,$(filter-out $(ALONE),$(LABLONG)))
part-alone:
	@$(PART) alone env $(LABENV) prove --timer --failures --comments --exec 'scripts/part test' $(filter $(ALONE),$(LABLONG))

# In the order in which they begin. What a slow machine has no time for is left out from the end.
PARTS      := part-lint part-unit part-scenarios part-failed-seeds $(SEED_PARTS) part-day
CI_PARTS   := part-lint part-unit part-planted part-scenarios part-failed-seeds $(SEED_PARTS) $(SEED_PARTS:%=%-more) part-day part-day-dense part-corpus
CI_LAST    := part-fuzz part-model part-tidy

# A step goes on whether or not the one before has failed.
STEP = $(MAKE) --no-print-directory -k -j3
check: deps
	@$(PART) begin
	@echo "check: the build, lint, $(words $(UNIT)) programs of unit and NF tests, the simulation, $(words $(LAB)) lab tests"
	+@bad=0; for parts in "all $(PARTS)" part-lab; do $(STEP) $$parts || bad=1; done; $(PART) end $$bad $(PARTS:part-%=%) lab

# What CI runs: check, the other lab tests and seeds, planted bugs, fuzzing, models, clang-tidy.
check-more: deps
	@$(PART) begin
	@echo "check-more: check, $(words $(LABMORE)) further lab tests, planted bugs, more seeds, fuzzing, models, clang-tidy"
	+@bad=0; for parts in "all $(BUILD)/understudy-planted $(CI_PARTS)" part-lab-all part-lab-alone; do $(STEP) $$parts || bad=1; done; \
	    $(PART) late $(CI_LAST:part-%=%) || $(STEP) $(CI_LAST) || bad=1; $(PART) end $$bad $(patsubst part-%,%,$(CI_PARTS) $(CI_LAST)) lab lab-alone

# Parts of it, for whoever changes something.
check-unit: $(UNIT)
	@CMOCKA_MESSAGE_OUTPUT=TAP prove -j2 --timer --failures --exec scripts/tap $(call queue,$(UNIT))
check-sim: part-scenarios part-failed-seeds $(SEED_PARTS) part-day
check-lab: all $(if $(filter $(LABMORE) $(LABLONG),$(LAB)),$(BUILD)/understudy-planted $(BUILD)/understudy-next $(BUILD)/bench-lane $(BUILD)/bench-redis)
	@$(LABENV) prove --timer --failures --exec '' $(LAB)

# All lab tests: some 80 minutes. Whoever changes lane, replicator, protocol or a lab runs them before it lands.
check-labs: deps
	@$(PART) begin
	+@bad=0; for parts in part-lab-all part-lab-alone part-lab-long part-alone; do $(STEP) $$parts || bad=1; done; \
	    $(PART) end $$bad lab lab-alone lab-long alone

check-long: check-more
	@$(BUILD)/simulate -q -r -n 20000 -j $(shell nproc)
	@$(BUILD)/simulate -q -k members -r -n 20000 -j $(shell nproc)
	@$(BUILD)/simulate -q -k keeper -r -n 20000 -j $(shell nproc)
	@$(BUILD)/simulate -q -k port -r -n 20000 -j $(shell nproc)
	@DAMAGE=16 $(BUILD)/tests/nf/test_damage
	@MODEL_LONG=1 prove --timer --failures --exec bash tests/model/model.t
	+@$(STEP) AUDIT_ALL=1 part-lab-long && $(STEP) part-alone

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

include scripts/packaging/install.mk

-include $(SIM_OBJ:.o=.d) $(SIM_OBJ:$(BUILD)/sim/%.o=$(BUILD)/sim-coverage/%.d) $(SIM_TESTS:.o=.d)
-include $(OBJ:.o=.d) $(NFTEST:.o=.d) $(NODEOBJ:.o=.d) $(NEXTOBJ:.o=.d) $(BUILD)/next/tests/unit/test_format.d $(PLANTED:%.c=$(BUILD)/planted/%.d)
-include $(WATCHED:.o=.d) $(patsubst tests/%.c,$(BUILD)/obj/tests/%.d,$(wildcard tests/bench/*.c tests/fuzz/*.c tests/help/*.c tests/unit/*.c tests/nf/*.c tests/lab/*.c tests/fleet/*.c)) $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard nfs/dpi/*.c))
