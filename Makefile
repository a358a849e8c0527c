# make                    programs and libraries in build/release
# make BUILD=asan ...     the same in build/asan: asan tsan debug cov beside release; CC=gcc or clang
# make demo               two ncds on this machine, real data, a comparison with kernel TCP
# make check              everything that is tested in under ten minutes
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

OPT_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LD_release  := -pie -Wl,-z,relro,-z,now
OPT_debug   := -O0
OPT_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
LD_asan     := -fsanitize=address,undefined
OPT_tsan    := -O1 -fsanitize=thread
LD_tsan     := -fsanitize=thread
OPT_cov     := -O0 --coverage
LD_cov      := --coverage
override CFLAGS  += $(BASE) $(WARN) $(OPT_$(BUILD))
override LDFLAGS += $(LD_$(BUILD)) -pthread

# ---- what is built ----

CORE     := $(wildcard daemon/core/*.c)
DAEMON   := $(filter-out daemon/main.c,$(wildcard daemon/*.c))
CLIENT   := $(wildcard libclient/*.c)
STAT     := $(wildcard daemon/stat/*.c)
CAT      := $(wildcard libclient/cat/*.c)
PERF     := $(wildcard bench/perf/*.c)
objects   = $(patsubst %.c,$(OUT)/%.o,$(1))

DAEMON_LIBS := -levent -luring -lnuma -lsystemd -linih
SONAME      := libncclient.so.0
PROGRAMS    := $(OUT)/ncd $(OUT)/ncd-stat $(OUT)/ncd-cat $(OUT)/ncd-perf
LIBRARIES   := $(OUT)/libncclient.a $(OUT)/libncclient.so

all: $(PROGRAMS) $(LIBRARIES)

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<

$(OUT)/libcore.a: $(call objects,$(CORE))
$(OUT)/libdaemon.a: $(call objects,$(DAEMON))
$(OUT)/libncclient.a: $(call objects,$(CLIENT))
$(OUT)/%.a:
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/$(SONAME): $(patsubst %.c,$(OUT)/pic/%.o,$(CLIENT)) libclient/ncclient.map
	$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(SONAME) \
		-Wl,--version-script=libclient/ncclient.map -Wl,-z,noexecstack -o $@ $(filter %.o,$^)

$(OUT)/libncclient.so: $(OUT)/$(SONAME)
	ln -sf $(SONAME) $@

$(OUT)/ncd: $(OUT)/daemon/main.o $(OUT)/libdaemon.a $(OUT)/libcore.a
	$(CC) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS)

$(OUT)/ncd-stat: $(call objects,$(STAT))
	$(CC) $(LDFLAGS) -o $@ $^

$(OUT)/ncd-cat: $(call objects,$(CAT)) $(OUT)/libncclient.a
	$(CC) $(LDFLAGS) -o $@ $^

$(OUT)/ncd-perf: $(call objects,$(PERF)) $(OUT)/libncclient.a
	$(CC) $(LDFLAGS) -o $@ $^ -luring -lm

# ---- tests ----

UNIT_TESTS   := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/test_*.c))
CLIENT_TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/client/test_*.c))
FUZZERS      := $(patsubst %.c,$(OUT)/%,$(wildcard tests/fuzz/fuzz_*.c))

$(OUT)/tests/unit/test_%: $(OUT)/tests/unit/test_%.o $(OUT)/libdaemon.a $(OUT)/libcore.a
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(DAEMON_LIBS)

$(OUT)/tests/client/test_%: $(OUT)/tests/client/test_%.o $(OUT)/tests/client/fake_daemon.o \
			    $(OUT)/libncclient.a
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

$(OUT)/tests/sim/sim: $(call objects,$(wildcard tests/sim/*.c)) $(OUT)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^

check-unit: $(UNIT_TESTS) $(CLIENT_TESTS)
	@tests/run-unit.sh $^

check-sim: $(OUT)/tests/sim/sim
	$< --seeds $(or $(SEEDS),200)

# daemon/core must not reach the kernel: only these libc symbols may be undefined in it.
CORE_LIBC := memcpy memmove memset memcmp __memcpy_chk __memmove_chk __memset_chk \
	     __stack_chk_fail __assert_fail _GLOBAL_OFFSET_TABLE_
check-sansio: $(call objects,$(CORE))
	@ld -r -o $(OUT)/core-all.o $^; \
	bad=$$(nm -u $(OUT)/core-all.o | awk '{print $$2}' | grep -vxF "$$(printf '%s\n' $(CORE_LIBC))"); \
	test -z "$$bad" || { echo "daemon/core calls: $$bad"; exit 1; }; echo "check-sansio: daemon/core calls nothing"

clean:
	rm -rf build

.PHONY: all clean check-unit check-sim check-sansio
.SECONDARY:
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
