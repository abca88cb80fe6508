# make              the library and the program       make unit      the unit tests' programs
# make check-bin    gossamer-check                    make SAN=address,undefined ...   sanitized, in its own build folder
# make install      PREFIX=/usr/local DESTDIR=        make wasm      the browser's modules (clang-19, lld-19, wasi-libc)
CC      ?= cc
AR      ?= ar
ARCH    := $(shell $(CC) -dumpmachine | cut -d- -f1)
SYS     := $(if $(findstring darwin,$(shell $(CC) -dumpmachine)),macos,linux)
comma   := ,
# Sanitized builds are clang's: gcc 12 needs more than four minutes for kern_c.c with UndefinedBehaviorSanitizer and -O2.
ifneq ($(SAN),)
CC      := clang-19
endif
V       := build/$(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion -Wundef
# Warnings stop the build under the compilers the project is checked with (gcc 12, clang 14 and 19): others know other warnings.
CC_MAJOR := $(shell $(CC) -dumpversion | cut -d. -f1)
WERROR  ?= $(if $(filter 12 14 19,$(CC_MAJOR)),-Werror)
CFLAGS_ALL = -std=c11 $(WARN) $(WERROR) -fvisibility=hidden -fPIC -ffp-contract=off -fno-math-errno -D_DEFAULT_SOURCE -Iinclude $(OPT) $(CFLAGS) \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
LIBS    := -lm -lpthread -ldl

# ---- sources: every .c of a folder but those of other platforms and levels --------------------------------------------
NOT_HERE := $(wildcard src/*/*_wasm.c src/*/*_web.c) $(if $(filter linux,$(SYS)),src/base/os_macos.c,$(wildcard src/base/os_linux*.c)) \
            $(wildcard src/cpu/*_simd128.c src/cpu/*_relaxed.c) \
            $(if $(filter x86_64,$(ARCH)),,src/base/os_linux_x86.c $(wildcard src/cpu/*_avx2.c src/cpu/*_avx512vnni.c src/cpu/*_amx.c)) \
            $(if $(filter aarch64 arm64,$(ARCH)),,src/base/os_linux_arm.c $(wildcard src/cpu/*_neon.c src/cpu/*_dotprod.c))
LIB_C   := $(filter-out $(NOT_HERE),$(wildcard src/*/*.c))
APP_C   := $(filter-out app/wasm%,$(wildcard app/*.c app/cli/*.c app/server/*.c))
LIB_O   := $(LIB_C:%.c=$(V)/%.o)
APP_O   := $(APP_C:%.c=$(V)/%.o)
# The one place where an instruction set is turned on: per object, never for all.
ISA_avx2       := -mavx2 -mfma -mf16c
ISA_avx512vnni := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
ISA_amx        := $(ISA_avx512vnni) -mamx-tile -mamx-int8
ISA_dotprod    := -march=armv8.2-a+dotprod
isa = $(ISA_$(lastword $(subst _, ,$(basename $(notdir $(1))))))

all: $(V)/gossamer $(V)/libgossamer.a $(V)/libgossamer.so
lib: $(V)/libgossamer.a
$(V)/libgossamer.a: $(LIB_O) $(V)/gen/wgsl.o ; @rm -f $@; $(AR) rcs $@ $^
$(V)/libgossamer.so: $(LIB_O) $(V)/gen/wgsl.o ; $(CC) $(CFLAGS_ALL) -shared -Wl,$(if $(filter macos,$(SYS)),-install_name$(comma)libgossamer.so.0,-soname$(comma)libgossamer.so.0) -o $@ $^ $(LIBS)
$(V)/gossamer: $(APP_O) $(V)/libgossamer.a ; $(CC) $(CFLAGS_ALL) -o $@ $^ -lcurl -lmicrohttpd -lz $(LIBS)
$(V)/%.o: %.c Makefile ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) $(call isa,$<) -MMD -MP -c -o $@ $<

# ---- generated: WGSL files as C arrays ----------------------------------------------------------------------------------
build/embed: tools/embed.c ; @mkdir -p $(@D); cc -std=c11 -O1 -Wall -Wextra -o $@ $<
$(V)/gen/wgsl.c: build/embed $(wildcard src/gpu/wgsl/*.wgsl) ; @mkdir -p $(@D); build/embed goss_wgsl $(sort $(wildcard src/gpu/wgsl/*.wgsl)) > $@
$(V)/gen/wgsl.o: $(V)/gen/wgsl.c ; $(CC) $(CFLAGS_ALL) -Isrc -c -o $@ $<

# ---- tests ---------------------------------------------------------------------------------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(V)/unit/%,$(wildcard tests/unit/test_*.c))
CHECK_O := $(patsubst %.c,$(V)/%.o,$(filter-out tests/check/%_wasm.c,$(wildcard tests/check/*.c)))
unit: $(UNIT)
$(V)/unit/test_prefix: $(V)/app/prefix_dir.o
$(V)/unit/%: $(V)/tests/unit/%.o $(V)/libgossamer.a ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)
TEXT_T := $(patsubst tests/text/%.c,$(V)/text/%,$(wildcard tests/text/*.c))
text-bin: $(TEXT_T)
$(V)/text/%: $(V)/tests/text/%.o $(V)/libgossamer.a ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)
check-bin: $(V)/gossamer-check
$(V)/gossamer-check: $(CHECK_O) $(V)/libgossamer.a ; $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)

# ---- wasm: the engine for browsers and Node, in two modules that JavaScript chooses from by WebAssembly.validate -------------
# wasi-libc gives pure functions only (libm, string). Its objects lack atomics, hence --no-check-features; its malloc is never linked.
WASM_CC  ?= clang-19
WASM_LD  ?= wasm-ld-19
WASI_LIB ?= /usr/lib/wasm32-wasi
W        := build/wasm
DIST     := web/dist
WASM_CFLAGS := --target=wasm32-wasi -std=c11 $(WARN) -Werror -fno-math-errno -ffp-contract=off -fvisibility=hidden -Iinclude \
               -msimd128 -matomics -mbulk-memory -mmutable-globals -mnontrapping-fptoint -msign-ext
WASM_LDFLAGS := --no-entry --shared-memory --import-memory --initial-memory=16777216 --max-memory=4294967296 -z stack-size=1048576 \
                --no-check-features --gc-sections --export=__stack_pointer --export=__wasm_call_ctors --strip-all -L$(WASI_LIB)
WASM_NOT  := src/base/thread.c $(wildcard src/*/*_linux*.c src/*/*_macos.c src/*/*_posix.c src/*/*_native.c src/*/*_avx2.c src/*/*_avx512vnni.c src/*/*_amx.c \
             src/*/*_neon.c src/*/*_dotprod.c)
WASM_C    := $(filter-out $(WASM_NOT),$(wildcard src/*/*.c app/wasm*.c))
# Kernels for speed, all else for size: a page downloads one module before anything can be seen.
wasm_opt   = $(if $(filter src/cpu/kern_simd128.c src/cpu/kern_relaxed.c src/cpu/stage% src/model/sample.c,$(1)),-O2,-Oz)
wasm_isa   = $(if $(filter %_relaxed.c,$(1)),-mrelaxed-simd)
wasm_objs  = $(patsubst %.c,$(W)/$(1)/%.o,$(2)) $(W)/$(1)/gen/wgsl.o
wasm: $(addprefix $(DIST)/,gossamer.wasm gossamer-relaxed.wasm check.wasm check-relaxed.wasm check-gpu.wasm)
# GOSS_WASM_FEATURES: what goss_os_cpu_features() answers: GOSS_CPU_SIMD128, and GOSS_CPU_RELAXED in the second module.
$(W)/simd/%.o: %.c Makefile ; @mkdir -p $(@D); $(WASM_CC) $(WASM_CFLAGS) $(call wasm_opt,$<) -DGOSS_WASM_FEATURES=32 -MMD -MP -c -o $@ $<
$(W)/relaxed/%.o: %.c Makefile ; @mkdir -p $(@D); $(WASM_CC) $(WASM_CFLAGS) $(if $(filter %_simd128.c,$<),-Oz,$(call wasm_opt,$<)) $(call wasm_isa,$<) -DGOSS_WASM_FEATURES=96 -MMD -MP -c -o $@ $<
$(W)/simd/gen/wgsl.o $(W)/relaxed/gen/wgsl.o: $(W)/gen/wgsl.c ; @mkdir -p $(@D); $(WASM_CC) $(WASM_CFLAGS) -Os -Isrc -c -o $@ $<
$(W)/gen/wgsl.c: build/embed $(wildcard src/gpu/wgsl/*.wgsl) ; @mkdir -p $(@D); build/embed -s goss_wgsl $(sort $(wildcard src/gpu/wgsl/*.wgsl)) > $@
WASM_SIMD_O    := $(call wasm_objs,simd,$(filter-out %_relaxed.c,$(WASM_C)))
WASM_RELAXED_O := $(call wasm_objs,relaxed,$(WASM_C))
$(DIST)/gossamer.wasm: $(WASM_SIMD_O) ; @mkdir -p $(@D); $(WASM_LD) $(WASM_LDFLAGS) -o $@ $^ -lc
$(DIST)/gossamer-relaxed.wasm: $(WASM_RELAXED_O) ; @mkdir -p $(@D); $(WASM_LD) $(WASM_LDFLAGS) -o $@ $^ -lc
# gossamer-check for the page /check: the kernels alone, with a memory of their own.
CHECK_WASM_C := src/cpu/kern.c src/cpu/kern_c.c src/cpu/kern_ref.c src/cpu/kern_simd128.c src/format/quant.c src/base/rt_wasm.c \
                $(filter-out %_main.c %_gpu.c %/gpu_wasm.c,$(wildcard tests/check/*.c))
CHECK_LDFLAGS := --no-entry --no-check-features --gc-sections --strip-all -z stack-size=1048576 -L$(WASI_LIB)
$(DIST)/check.wasm: $(patsubst %.c,$(W)/simd/%.o,$(CHECK_WASM_C)) ; @mkdir -p $(@D); $(WASM_LD) $(CHECK_LDFLAGS) -o $@ $^ -lc
$(DIST)/check-relaxed.wasm: $(patsubst %.c,$(W)/relaxed/%.o,$(CHECK_WASM_C) src/cpu/kern_relaxed.c) ; @mkdir -p $(@D); $(WASM_LD) $(CHECK_LDFLAGS) -o $@ $^ -lc
# Its GPU half needs the engine's kernels and gpu.h, and nothing of relaxed SIMD.
CHECK_GPU_O := $(patsubst %.c,$(W)/simd/%.o,$(filter-out %/native_gpu.c,$(wildcard tests/check/*_gpu.c)) tests/check/gpu_wasm.c)
$(DIST)/check-gpu.wasm: $(CHECK_GPU_O) $(filter-out $(W)/simd/app/%,$(WASM_SIMD_O)) ; @mkdir -p $(@D); $(WASM_LD) $(WASM_LDFLAGS) -o $@ $^ -lc
-include $(WASM_SIMD_O:.o=.d) $(WASM_RELAXED_O:.o=.d) $(CHECK_GPU_O:.o=.d)

# Fuzz targets of the readers of foreign bytes (base, format and text): a sanitized replay of the stored corpus, and libFuzzer itself.
FUZZ_SRC := $(filter src/base/% src/format/% src/text/%,$(LIB_C))
FUZZ_FLAGS := -std=c11 -O1 -g -D_DEFAULT_SOURCE -Iinclude -fno-sanitize-recover=all -fno-omit-frame-pointer
fuzz-bin: build/fuzz/gguf build/fuzz/json build/fuzz/chat
fuzz-libfuzzer: build/fuzz/libfuzzer-gguf build/fuzz/libfuzzer-json build/fuzz/libfuzzer-chat
FUZZ_O = $(patsubst %.c,build/fuzz/$(1)/%.o,$(FUZZ_SRC))
build/fuzz/clang/%.o: %.c ; @mkdir -p $(@D); clang-19 $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
build/fuzz/cc/%.o: %.c ; @mkdir -p $(@D); $(CC) $(FUZZ_FLAGS) -fsanitize=address,undefined -MMD -MP -c -o $@ $<
build/fuzz/libfuzzer-%: build/fuzz/clang/tests/fuzz/fuzz_%.o $(call FUZZ_O,clang)
	clang-19 -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)
build/fuzz/%: build/fuzz/cc/tests/fuzz/fuzz_%.o build/fuzz/cc/tests/fuzz/fuzz_replay.o $(call FUZZ_O,cc)
	$(CC) -fsanitize=address,undefined -o $@ $^ $(LIBS)
-include $(patsubst %.o,%.d,$(call FUZZ_O,clang) $(call FUZZ_O,cc))
# ---- install: the program, both libraries, the header, the pkg-config file, the demo models and the page ------------------
PREFIX  ?= /usr/local
VERSION := $(shell sed -n 's/.*GOSS_VERSION "\(.*\)"/\1/p' include/gossamer.h)
D       := $(DESTDIR)$(PREFIX)
install: all
	install -d $(D)/bin $(D)/lib/pkgconfig $(D)/include $(D)/share/gossamer/models $(D)/share/gossamer/web
	install -m 755 $(V)/gossamer $(D)/bin/
	install -m 644 $(V)/libgossamer.a $(D)/lib/
	install -m 755 $(V)/libgossamer.so $(D)/lib/libgossamer.so.0
	ln -sf libgossamer.so.0 $(D)/lib/libgossamer.so
	install -m 644 include/gossamer.h $(D)/include/
	install -m 644 models/demo-gptoss.gguf models/demo-gptoss-draft.gguf models/README.md $(D)/share/gossamer/models/
	cp -R web/. $(D)/share/gossamer/web/
	printf 'prefix=%s\nName: gossamer\nDescription: runs gpt-oss and llama GGUF models\nVersion: %s\nCflags: -I$${prefix}/include\nLibs: -L$${prefix}/lib -lgossamer\nLibs.private: $(LIBS)\n' \
	    '$(PREFIX)' '$(VERSION)' > $(D)/lib/pkgconfig/gossamer.pc

clean: ; rm -rf build $(DIST)
-include $(LIB_O:.o=.d) $(APP_O:.o=.d) $(CHECK_O:.o=.d) $(UNIT:$(V)/unit/%=$(V)/tests/unit/%.d)
.SECONDARY:
.PHONY: all lib unit install text-bin check-bin wasm clean
