# make                    programs and libraries in build/release
# make BUILD=asan ...     the same in build/asan: asan tsan debug cov beside release; CC=gcc or clang
# make V=1                shows the commands
# make deps               installs the Debian packages that are missing, or says how
# make demo               two ncds on this machine, real data, a comparison with kernel TCP
# make check              everything that is tested in under ten minutes
# make install            DESTDIR= PREFIX=/usr/local; make uninstall takes it away again
# make help               the rest
BUILD  ?= release
OUT    := build/$(BUILD)
PREFIX ?= /usr/local
WERROR ?= -Werror
RELEASE := 0.1.0

CPPFLAGS += -D_GNU_SOURCE -DNCD_RELEASE='"$(RELEASE)"' -Iinclude -Idaemon -Ilibclient -MMD -MP
CFLAGS   ?= -g
BASE     := -std=gnu11 -fno-common -fno-omit-frame-pointer -pthread
WARN     := -Wall -Wextra $(WERROR) -Wshadow -Wundef -Wvla -Wcast-qual -Wpointer-arith \
	    -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	    -Wmissing-declarations -Wformat=2 -Wimplicit-fallthrough -Wnull-dereference \
	    -Wconversion -Wswitch-enum
ifneq ($(findstring clang,$(shell $(CC) --version)),)
WARN += -Wcast-align -Wshorten-64-to-32 -Wunreachable-code -Wmissing-variable-declarations \
	-Wextra-semi-stmt -Wcomma
else
WARN += -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wcast-align=strict \
	-Wjump-misses-init
endif

# Without frame pointers, which all other builds have: small messages cost 5 % less. `perf record
# --call-graph dwarf` finds its way by -g.
OPT_release := -O2 -fomit-frame-pointer -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LD_release  := -pie -Wl,-z,relro,-z,now
# A small frame crosses a dozen calls between files: programs and libraries are optimised as a
# whole. Objects are fat: tests, and who links libncclient.a, need not.
ifeq ($(findstring clang,$(shell $(CC) --version)),)
OPT_release += -flto=auto -ffat-lto-objects
LTO_release := -fno-lto
LTO_whole   := -flto=auto -O2
endif
OPT_debug   := -O0
OPT_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
LD_asan     := -fsanitize=address,undefined
OPT_tsan    := -O1 -fsanitize=thread
LD_tsan     := -fsanitize=thread
OPT_cov     := -O0 --coverage
LD_cov      := --coverage
# CC=clang only; made by `make fuzz`.
OPT_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LD_fuzz     := -fsanitize=address,undefined
override CFLAGS  += $(BASE) $(WARN) $(OPT_$(BUILD))
override LDFLAGS += $(LD_$(BUILD)) $(LTO_$(BUILD)) -pthread

# ---- what is built ----

CORE     := $(wildcard daemon/core/*.c)
DAEMON   := $(filter-out daemon/main.c,$(wildcard daemon/*.c))
CLIENT   := $(wildcard libclient/*.c)
STAT     := $(wildcard daemon/stat/*.c)
CAT      := $(wildcard libclient/cat/*.c)
PERF     := $(wildcard bench/perf/*.c)
RUN      := $(wildcard libclient/run/*.c)
PRELOAD  := $(wildcard libclient/preload/*.c)
objects   = $(patsubst %.c,$(OUT)/%.o,$(1))

DAEMON_LIBS := -levent -luring -lnuma -lsystemd -linih
SONAME      := libncclient.so.0
PROGRAMS    := $(OUT)/ncd $(OUT)/ncd-stat $(OUT)/ncd-cat $(OUT)/ncd-perf $(OUT)/ncd-run
SCALE       := $(addprefix $(OUT)/bench/scale/,scale measure_kernel measure_worker measure_library)
LIBRARIES   := $(OUT)/libncclient.a $(OUT)/libncclient.so $(OUT)/libncpreload.so

# One short line a step; V=1 shows the commands, -s nothing.
Q    := $(if $(V),,@)
mute := $(V)$(findstring s,$(firstword -$(MAKEFLAGS)))
says  = $(if $(mute),,@printf '  %-4s %s\n' $(1) $(2))

all: $(PROGRAMS) $(LIBRARIES) $(OUT)/bench/memcached_load $(SCALE)

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(call says,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(call says,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<

$(OUT)/libcore.a: $(call objects,$(CORE))
$(OUT)/libdaemon.a: $(call objects,$(DAEMON))
$(OUT)/libncclient.a: $(call objects,$(CLIENT))
$(OUT)/%.a:
	@rm -f $@
	$(call says,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(PROGRAMS) $(OUT)/$(SONAME) $(OUT)/libncpreload.so $(SCALE): LTO_release = $(LTO_whole)

$(OUT)/$(SONAME): $(patsubst %.c,$(OUT)/pic/%.o,$(CLIENT)) libclient/ncclient.map
	$(call says,LD,$@)
	$(Q)$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(SONAME) \
		-Wl,--version-script=libclient/ncclient.map -Wl,-z,noexecstack -o $@ $(filter %.o,$^)

$(OUT)/libncclient.so: $(OUT)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

# Its own calls inside must not meet its stand-ins: --wrap gives them to preload/real.c. Where one
# stand-in calls another, it must not meet a function of that name in the program: -Bsymbolic.
WRAPPED := close connect fcntl ioctl ppoll recv recvmsg send sendmsg setsockopt shutdown socket socketpair syscall
$(OUT)/pic/libclient/preload/%.o: override CFLAGS += -U_FORTIFY_SOURCE
$(OUT)/libncpreload.so: $(patsubst %.c,$(OUT)/pic/%.o,$(PRELOAD) $(CLIENT)) \
			libclient/preload/libncpreload.map
	$(call says,LD,$@)
	$(Q)$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,libncpreload.so \
		-Wl,--version-script=libclient/preload/libncpreload.map -Wl,-z,noexecstack -Wl,-z,now \
		-Wl,-Bsymbolic-functions $(WRAPPED:%=-Wl,--wrap=%) -o $@ $(filter %.o,$^)

$(OUT)/ncd-run: $(call objects,$(RUN)) $(OUT)/libncclient.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(OUT)/ncd: $(OUT)/daemon/main.o $(OUT)/libdaemon.a $(OUT)/libcore.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS)

$(OUT)/ncd-stat: $(call objects,$(STAT))
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(OUT)/ncd-cat: $(call objects,$(CAT)) $(OUT)/libncclient.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(OUT)/ncd-perf: $(call objects,$(PERF)) $(OUT)/libncclient.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -luring -lm

# The model of many cores, and what measures the costs that it takes: bench/scale.sh.
SCALE_MODEL := $(call objects,$(addprefix bench/scale/,app.c core.c cost.c model.c rate.c set_up.c \
	       turn.c) bench/perf/hist.c tests/sim/pipe.c tests/sim/random.c tests/sim/timeline.c \
	       daemon/idle.c)
$(OUT)/bench/scale/scale: $(OUT)/bench/scale/main.o $(SCALE_MODEL) $(OUT)/libcore.a
$(OUT)/bench/scale/measure_kernel: $(call objects,bench/scale/measure_kernel.c bench/scale/cost.c)
$(OUT)/bench/scale/measure_worker: $(call objects,bench/scale/measure_worker.c bench/scale/cost.c) \
				   $(OUT)/libdaemon.a $(OUT)/libcore.a
$(OUT)/bench/scale/measure_worker: SCALE_LIBS := $(DAEMON_LIBS)
$(OUT)/bench/scale/measure_library: $(call objects,bench/scale/measure_library.c bench/scale/cost.c) \
				    $(OUT)/libncclient.a
$(SCALE):
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(SCALE_LIBS) -lm

# A load of libc alone, for bench/programs.sh: it runs on kernel TCP as it does under ncd-run.
$(OUT)/bench/memcached_load: $(OUT)/bench/memcached_load.o
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

# ---- tests ----

UNIT_TESTS   := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/test_*.c))
CLIENT_TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/client/test_*.c))
FUZZERS      := $(patsubst %.c,$(OUT)/%,$(wildcard tests/fuzz/fuzz_*.c))

$(OUT)/tests/unit/test_%: $(OUT)/tests/unit/test_%.o $(OUT)/libdaemon.a $(OUT)/libcore.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(DAEMON_LIBS)

$(OUT)/tests/unit/test_scale: $(OUT)/tests/unit/test_scale.o $(SCALE_MODEL) $(OUT)/libcore.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka -lm

$(OUT)/tests/unit/test_ncd_stat: | $(OUT)/ncd-stat
$(OUT)/tests/unit/test_hist: $(OUT)/bench/perf/hist.o
$(OUT)/tests/unit/test_ratio: $(OUT)/bench/perf/ratio.o
$(OUT)/tests/unit/test_pattern: $(OUT)/bench/perf/pattern.o

$(OUT)/tests/client/test_%: $(OUT)/tests/client/test_%.o \
			    $(call objects,$(wildcard tests/client/fake_*.c)) $(OUT)/libncclient.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

# What the end-to-end tests use beside our own programs.
E2E_PROGRAMS := $(addprefix $(OUT)/tests/e2e/,copies echo garbage hostile named no_uring quiet sockets soak)
$(E2E_PROGRAMS): $(OUT)/tests/e2e/%: $(OUT)/tests/e2e/%.o $(OUT)/libncclient.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

# The same for who uses the kernel's calls: on kernel TCP, or under ncd-run.
$(OUT)/tests/e2e/soak_posix: tests/e2e/soak.c
	@mkdir -p $(@D)
	$(call says,LD,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -DSOAK_POSIX -o $@ $<

$(OUT)/tests/sim/sim: $(call objects,$(wildcard tests/sim/*.c)) $(OUT)/libcore.a
	@mkdir -p $(@D)
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

# Of libc alone: it runs on kernel TCP as it does under ncd-run.
$(OUT)/tests/semantics/semantics: $(call objects,$(wildcard tests/semantics/*.c))
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -luring

$(OUT)/tests/semantics/wrong.so: $(OUT)/pic/tests/semantics/wrong/wrong.o
	@mkdir -p $(@D)
	$(call says,LD,$@)
	$(Q)$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -o $@ $^ -ldl

check-unit: $(UNIT_TESTS) $(CLIENT_TESTS)
	@tests/run-unit.sh $^

check-sim: $(OUT)/tests/sim/sim
	$< --list tests/sim/seeds.txt
	$< --twice 20
	$< --seeds $(or $(SEEDS),200) $(if $(FIRST),--first $(FIRST))

# daemon/core must not reach the kernel: only these symbols may be undefined in it, of libc, and the
# one by which the compiler knows the processor.
CORE_LIBC := memcpy memmove memset memcmp __memcpy_chk __memmove_chk __memset_chk \
	     __stack_chk_fail __assert_fail _GLOBAL_OFFSET_TABLE_ __cpu_model
check-sansio: $(call objects,$(CORE))
	@ld -r -o $(OUT)/core-all.o $^; \
	bad=$$(nm -u $(OUT)/core-all.o | awk '{print $$2}' | grep -vxF "$$(printf '%s\n' $(CORE_LIBC))"); \
	test -z "$$bad" || { echo "daemon/core calls: $$bad"; exit 1; }; echo "check-sansio: daemon/core calls nothing"

# Across files: what only the program itself calls is local to it. An option too many undoes that,
# and nobody says so. Release builds by gcc.
check-whole: $(OUT)/ncd
ifneq ($(LTO_$(BUILD)),)
	@! nm $< | grep -q ' T engine_received$$' || { echo "$< is not optimised across files"; exit 1; }
	@echo "check-whole: the engine is local to ncd"
endif

# One step each of what `make check` and .ci/run do; they call these and count.
check-e2e: all $(E2E_PROGRAMS) $(OUT)/tests/e2e/soak_posix
	OUT=$(OUT) tests/e2e/run.sh $(E2E)

check-semantics: all $(addprefix $(OUT)/tests/semantics/,semantics wrong.so)
	OUT=$(OUT) tests/semantics/wrong.sh
	OUT=$(OUT) tests/semantics/run.sh $(CASES)

check-install: all
	OUT=$(OUT) tests/install.sh

check-deps:
	tests/deps.sh

check-man:
	mandoc -T lint -W warning $(MANUAL)

tidy:
	tests/tidy.sh

model:
	tests/model/run.sh

$(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/libdaemon.a $(OUT)/libcore.a
	$(call says,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(DAEMON_LIBS)

fuzzers: $(FUZZERS)

fuzz:
	$(MAKE) BUILD=fuzz CC=clang OUT=$(OUT)-fuzz fuzzers
	tests/fuzz/run.sh $(or $(SECONDS),20) $(patsubst $(OUT)/%,$(OUT)-fuzz/%,$(FUZZERS))

check: deps
	$(MAKE) OUT=$(OUT) all
	@OUT=$(OUT) MAKE="$(MAKE)" tests/check.sh

# ---- packages ----

DEPS_BUILD := pkg-config libevent-dev liburing-dev libnuma-dev libsystemd-dev libinih-dev
DEPS_TEST  := libcmocka-dev iproute2 mandoc
DEPS_CI    := clang libclang-rt-14-dev spin systemd systemd-sysv dbus systemd-container shellcheck \
	      gdb
# What is run under ncd-run. Only CI asks for them: they are services.
DEPS_RUN   := redis-server redis-tools memcached nginx-light apache2-bin haproxy iperf3 sockperf \
	      wrk curl wget python3 python3-uvloop openssh-server openssh-client postgresql git rsync \
	      vsftpd nghttp2-server nghttp2-client

deps:
	@.ci/deps $(DEPS_BUILD) $(DEPS_TEST)
deps-demo:
	@.ci/deps $(DEPS_BUILD)
deps-ci:
	@.ci/deps $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_CI) $(DEPS_RUN)

# ---- the demonstration ----

demo: deps-demo
	@echo "Building ncd (once; the first time takes a minute) ..."
	@$(MAKE) --no-print-directory -s OUT=$(OUT) all
	@OUT=$(OUT) bench/demo.sh

# ---- installation ----

LIBDIR     ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
USERSDIR   ?= $(PREFIX)/lib/sysusers.d
MANDIR     ?= $(PREFIX)/share/man
MANUAL     := $(wildcard man/*.[1-8])
INSTALL    ?= install
D           = $(DESTDIR)
subst_paths = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' \
	      -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' -e 's|@RELEASE@|$(RELEASE)|g'

# What install puts in place, and uninstall removes; ncd.conf has rules of its own.
INSTALLED = $(PREFIX)/sbin/ncd \
	    $(addprefix $(PREFIX)/bin/,ncd-stat ncd-cat ncd-perf ncd-run) \
	    $(PREFIX)/lib/ncd/libncpreload.so \
	    $(addprefix $(LIBDIR)/,libncclient.a libncclient.so $(SONAME) libncclient.so.$(RELEASE)) \
	    $(LIBDIR)/pkgconfig/ncclient.pc $(PREFIX)/include/ncclient.h \
	    $(UNITDIR)/ncd.service $(UNITDIR)/ncd.socket $(USERSDIR)/ncd.conf \
	    $(foreach m,$(notdir $(MANUAL)),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(m))

install: all
	$(INSTALL) -d $(D)$(PREFIX)/sbin $(D)$(PREFIX)/bin $(D)$(LIBDIR)/pkgconfig \
		$(D)$(PREFIX)/include $(D)$(PREFIX)/lib/ncd $(D)$(UNITDIR) $(D)$(USERSDIR) $(D)$(SYSCONFDIR)
	$(INSTALL) -m 755 $(OUT)/ncd $(D)$(PREFIX)/sbin/ncd
	$(INSTALL) -m 755 $(OUT)/ncd-stat $(OUT)/ncd-cat $(OUT)/ncd-perf $(OUT)/ncd-run \
		$(D)$(PREFIX)/bin
	$(INSTALL) -m 755 $(OUT)/libncpreload.so $(D)$(PREFIX)/lib/ncd/libncpreload.so
	$(INSTALL) -m 644 $(OUT)/libncclient.a $(D)$(LIBDIR)/libncclient.a
	$(INSTALL) -m 755 $(OUT)/$(SONAME) $(D)$(LIBDIR)/libncclient.so.$(RELEASE)
	ln -sf libncclient.so.$(RELEASE) $(D)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(D)$(LIBDIR)/libncclient.so
	$(subst_paths) libclient/ncclient.pc.in > $(D)$(LIBDIR)/pkgconfig/ncclient.pc
	$(INSTALL) -m 644 include/ncclient.h $(D)$(PREFIX)/include/ncclient.h
	$(subst_paths) systemd/ncd.service > $(D)$(UNITDIR)/ncd.service
	$(INSTALL) -m 644 systemd/ncd.socket $(D)$(UNITDIR)/ncd.socket
	$(INSTALL) -m 644 systemd/ncd.sysusers $(D)$(USERSDIR)/ncd.conf
	for m in $(MANUAL); do \
		$(INSTALL) -D -m 644 $$m $(D)$(MANDIR)/man$${m##*.}/$${m##*/} || exit 1; done
	test -e $(D)$(SYSCONFDIR)/ncd.conf || \
		$(INSTALL) -m 644 conf/ncd.conf $(D)$(SYSCONFDIR)/ncd.conf
	test -n "$(D)" || ldconfig || echo "run ldconfig as root before using libncclient.so"

# A config that was changed is somebody's work: it stays.
uninstall:
	rm -f $(addprefix $(D),$(INSTALLED))
	if cmp -s conf/ncd.conf $(D)$(SYSCONFDIR)/ncd.conf; then rm $(D)$(SYSCONFDIR)/ncd.conf; fi
	test -n "$(D)" || ldconfig || true

help:
	@sed -n '/^# make/s/^# //p' Makefile
	@echo "make check-unit check-sim check-sansio check-whole check-e2e check-install check-deps check-man tidy model"
	@echo "                        one part of make check; check-sim SEEDS=N FIRST=S"
	@echo "make fuzz               each fuzz target for SECONDS=20 (needs clang)"
	@echo "bash .ci/run            what CI runs: check, sanitizers, 5000 seeds, fuzz, models, systemd"
	@echo "make clean              removes build/"

clean:
	rm -rf build

.PHONY: all clean check check-unit check-sim check-sansio check-whole check-e2e check-semantics \
	check-install check-deps check-man tidy model fuzz fuzzers deps deps-demo deps-ci demo install uninstall help
.SECONDARY:
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
