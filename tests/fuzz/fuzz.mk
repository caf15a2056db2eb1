# SPDX-License-Identifier: Apache-2.0
#
#   make fuzz          all targets in turn, T=60 seconds each; ends with a table. FUZZ="record nat": these alone
#   make fuzz-seeds    writes the synthetic inputs to the corpus again
#   make check-fuzz    the corpus through all targets, and FUZZ_RUNS more inputs that libFuzzer makes of it through those
#                      that take seconds for it, the same each time; with sanitizers: part of make check
#
# Objects of their own in build-fuzz/, by clang: libFuzzer needs its instrumentation. Both programs are made of them.

FUZZ_BUILD := build-fuzz
FUZZ_CC    := clang
FUZZ_SAN   := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_FLAGS := -std=gnu11 -O1 -gline-tables-only -Wall -Wextra -Werror -Wno-bitwise-instead-of-logical $(FUZZ_SAN) -fsanitize=fuzzer-no-link \
    -fno-omit-frame-pointer -pthread -I. -Itests -DUNDERSTUDY_VERSION='"$(VERSION)"' -MMD -MP

# All but a node's main thread: a node's answers and the change of its chain come with its ports, so with DPDK.
FUZZ_SRC  := $(filter-out nfs/% understudy/node/run.c understudy/main.c,$(SRC) $(NODE))
FUZZ_OWN  := $(filter-out tests/fuzz/main_%,$(wildcard tests/fuzz/*.c)) tests/nftest/frames.c tests/help/frame.c tests/help/record_check.c tests/help/elf.c
# NFs are linked whole, since they register themselves; but for those whose files targets include, to ask their readers of files.
FUZZ_NFS  := $(filter-out nfs/dpi/% nfs/firewall.c nfs/qos/policer.c nfs/qos/vlan_qos.c,$(wildcard nfs/*.c nfs/*/*.c))
FUZZ_OBJ  := $(patsubst %.c,$(FUZZ_BUILD)/obj/%.o,$(FUZZ_OWN) $(FUZZ_NFS))
FUZZ_LIB  := $(FUZZ_BUILD)/lib/product.a

$(patsubst %.c,$(FUZZ_BUILD)/obj/%.o,$(NODE)): $(FUZZ_BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) $(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API $(ARCH) -c -o $@ $<
$(FUZZ_BUILD)/obj/tests/fuzz/fuzz_control.o: tests/fuzz/fuzz_control.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) $(DPDK_CFLAGS) -DALLOW_EXPERIMENTAL_API $(ARCH) -c -o $@ $<
$(FUZZ_BUILD)/obj/understudy/export/encode.o: FUZZ_FLAGS += $(shell pkg-config --cflags-only-I libfixbuf | sed 's/-I/-isystem /g')
$(FUZZ_BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) $(ARCH) -c -o $@ $<
$(FUZZ_LIB): $(FUZZ_SRC:%.c=$(FUZZ_BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar qcs $@ $^
$(FUZZ_BUILD)/fuzz: $(FUZZ_BUILD)/obj/tests/fuzz/main_fuzz.o $(FUZZ_OBJ) $(FUZZ_LIB)
	$(Q)$(FUZZ_CC) $(FUZZ_SAN) -fsanitize=fuzzer -pthread -o $@ $^ $(LDLIBS) $(DPDK_LIBS)
$(FUZZ_BUILD)/replay: $(FUZZ_BUILD)/obj/tests/fuzz/main_replay.o $(FUZZ_OBJ) $(FUZZ_LIB)
	$(Q)$(FUZZ_CC) $(FUZZ_SAN) -pthread -o $@ $^ $(LDLIBS) $(DPDK_LIBS)

.PHONY: fuzz fuzz-seeds check-fuzz
fuzz: deps
	+@$(MAKE) --no-print-directory -j2 $(FUZZ_BUILD)/fuzz $(FUZZ_BUILD)/replay
	@T=$(T) FUZZ="$(FUZZ)" BUILD=$(FUZZ_BUILD) scripts/fuzz
fuzz-seeds: $(FUZZ_BUILD)/replay
	@for target in $$($(FUZZ_BUILD)/replay --list | cut -d' ' -f1); do rm -f tests/fuzz/corpus/$$target/seed-*; done
	@$(FUZZ_BUILD)/replay --seeds tests/fuzz/corpus
FUZZ_QUICK := core datagram delta heartbeat ips_rules keeper keeper_node lanelink message module packet qos_files receiver record recording rules segments snapshot view
FUZZ_RUNS  := 8000
check-fuzz: $(FUZZ_BUILD)/replay $(FUZZ_BUILD)/fuzz
	@prove --timer --failures --exec '' $(FUZZ_BUILD)/replay
	@FUZZ="$(FUZZ_QUICK)" RUNS=$(FUZZ_RUNS) BUILD=$(FUZZ_BUILD) scripts/fuzz

-include $(patsubst %.c,$(FUZZ_BUILD)/obj/%.d,$(FUZZ_SRC) $(FUZZ_OWN) $(FUZZ_NFS) $(wildcard tests/fuzz/main_*.c))
