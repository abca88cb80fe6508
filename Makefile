# make              the library and the program       make unit      the unit tests' programs
# make check-bin    gossamer-check                    make SAN=address,undefined ...   sanitized, in its own build folder
# make wheel        the Python package                make dist      a tarball that needs no compiler
# make install      PREFIX=/usr/local DESTDIR=        make wasm      the browser's modules (clang and lld from 19 on, wasi-libc)
# make lint         the rules of docs/style.md          make format    the lines of C that you changed
CC      ?= cc
HOST_CC ?= cc
AR      ?= ar
MACHINE := $(shell $(CC) -dumpmachine)
ARCH    := $(firstword $(subst -, ,$(MACHINE)))
SYS     := $(if $(findstring darwin,$(MACHINE))$(findstring macos,$(MACHINE)),macos,linux)
comma   := ,
# Sanitized builds are clang's: gcc 12 needs more than four minutes for kern_c.c with UndefinedBehaviorSanitizer and -O2.
CLANG   ?= $(eval CLANG := $(or $(shell sh tools/clang.sh san),$(error this needs a clang with its sanitizers)))$(CLANG)
ifneq ($(SAN),)
CC      := $(CLANG)
endif
# The folder of what is built: the compiler's name, with its arguments; of sanitized builds the sanitizers'.
space   := $() $()
V       := build/$(if $(SAN),san-$(subst $(comma),-,$(SAN)),$(subst =,-,$(subst $(space),-,$(notdir $(CC)))))
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion -Wundef
# Warnings stop the build in our own CI only (.ci/run sets WERROR=-Werror): the next compiler knows other warnings.
WERROR  ?=
# Where includes begin: the folder itself, the public header, the library's folders, the programs' folders.
INCLUDES := -Iinclude -Isrc -Iapp -I.
CFLAGS_ALL = -std=c11 $(WARN) $(WERROR) -fvisibility=hidden -fPIC -ffp-contract=off -fno-math-errno -D_DEFAULT_SOURCE $(INCLUDES) $(OPT) $(CFLAGS) \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
LIBS    := -lm -lpthread -ldl

# ---- sources: every .c of a folder but those of other platforms and levels --------------------------------------------
SRC_C   := $(wildcard src/*/*.c src/*/*/*.c)
NOT_HERE := $(filter %_wasm.c %_web.c,$(SRC_C)) $(if $(filter linux,$(SYS)),src/base/os_macos.c,$(wildcard src/base/os_linux*.c)) \
            $(wildcard src/cpu/*_simd128.c src/cpu/*_relaxed.c) \
            $(if $(filter x86_64,$(ARCH)),,src/base/os_linux_x86.c $(wildcard src/cpu/*_avx2.c src/cpu/*vnni.c src/cpu/*_amx.c)) \
            $(if $(filter aarch64 arm64,$(ARCH)),,src/base/os_linux_arm.c $(wildcard src/cpu/*_neon.c src/cpu/*_dotprod.c))
LIB_C   := $(filter-out $(NOT_HERE),$(SRC_C))
WGSL    := $(sort $(wildcard src/gpu/*/*.wgsl))
APP_C   := $(filter-out app/module/% app/ring/% app/layer/%,$(wildcard app/*.c app/*/*.c))
LIB_O   := $(LIB_C:%.c=$(V)/%.o)
APP_O   := $(APP_C:%.c=$(V)/%.o)
# The one place where an instruction set is turned on: per object, never for all.
ISA_avx2       := -mavx2 -mfma -mf16c
ISA_avxvnni    := -mavx2 -mfma -mf16c -mavxvnni
ISA_avx512vnni := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
ISA_amx        := $(ISA_avx512vnni) -mamx-tile -mamx-int8
# zig's clang knows the second spelling only, gcc's headers want the first.
ISA_dotprod     = $(shell $(CC) -march=armv8.2-a+dotprod -x c -E /dev/null >/dev/null 2>&1 && echo -march=armv8.2-a+dotprod || echo -mcpu=generic+dotprod)
isa = $(ISA_$(lastword $(subst _, ,$(basename $(notdir $(1))))))

# Where OpenMPI is installed, and for its own machine: what --pipeline loads.
MPICC   := $(if $(SAN),,$(if $(filter $(MACHINE),$(shell $(HOST_CC) -dumpmachine)),$(shell command -v mpicc)))
RING    := $(if $(MPICC),$(V)/gossamer_mpi.so)

# What --gpu N shows a WebGPU library: a layer of Vulkan's loader, beside what says so to the loader.
LAYER   := $(if $(SAN)$(filter macos,$(SYS)),,$(V)/vulkan/gossamer_one_gpu.so)

all: $(V)/gossamer $(V)/libgossamer.a $(V)/libgossamer.so $(RING) $(LAYER)
lib: $(V)/libgossamer.a $(V)/libgossamer.so
$(V)/libgossamer.a: $(LIB_O) $(V)/gen/wgsl.o ; @rm -f $@; $(AR) rcs $@ $^
$(V)/libgossamer.so: $(LIB_O) $(V)/gen/wgsl.o ; $(CC) $(CFLAGS_ALL) -shared -Wl,$(if $(filter macos,$(SYS)),-install_name$(comma)libgossamer.so.0,-soname$(comma)libgossamer.so.0) -o $@ $^ $(LIBS)
$(V)/gossamer: $(APP_O) $(V)/libgossamer.a ; $(CC) $(CFLAGS_ALL) -o $@ $^ -lcurl -lmicrohttpd -lz $(LIBS)
$(V)/gossamer_mpi.so: app/ring/ring_mpi.c app/common/ring_module.h include/gossamer.h Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(patsubst -I%,-isystem %,$(shell $(MPICC) --showme:compile)) -shared -o $@ $< $(shell $(MPICC) --showme:link) $(LIBS)
$(V)/vulkan/gossamer_one_gpu.so: app/layer/one_gpu.c app/layer/gossamer_one_gpu.json app/common/vulkan_abi.h Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -shared -o $@ $<
	cp app/layer/gossamer_one_gpu.json $(@D)/
$(V)/%.o: %.c Makefile ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) $(call isa,$<) -MMD -MP -c -o $@ $<

# ---- generated: WGSL files as C arrays ----------------------------------------------------------------------------------
build/embed: tools/embed.c ; @mkdir -p $(@D); $(HOST_CC) -std=c11 -O1 -Wall -Wextra -o $@ $<
$(V)/gen/wgsl.c: build/embed $(WGSL) ; @mkdir -p $(@D); build/embed goss_wgsl $(WGSL) > $@
$(V)/gen/wgsl.o: $(V)/gen/wgsl.c ; $(CC) $(CFLAGS_ALL) -Isrc -c -o $@ $<

# ---- tests ---------------------------------------------------------------------------------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(V)/unit/%,$(wildcard tests/unit/test_*.c))
CHECK_O := $(patsubst %.c,$(V)/%.o,$(filter-out tests/check/%_wasm.c,$(wildcard tests/check/*.c)))
unit: $(UNIT)
# What sanitizers watch: all but those that need minutes, a peer or a real model; and those with threads.
SMALL := $(filter-out test_guard test_plan test_real test_yarn test_gpu_%,$(notdir $(UNIT)))
unit-small: $(SMALL:%=$(V)/unit/%)
names-small: ; @echo $(SMALL)
unit-threads: $(addprefix $(V)/unit/,test_thread test_pause test_engine_storm test_golden test_engine_chat)
$(V)/unit/test_prefix: $(V)/app/net/prefix_dir.o
$(V)/unit/test_sandbox: $(V)/app/server/sandbox.o $(V)/app/common/share.o
$(V)/tests/unit/test_misuse.o: $(V)/gen/misuse.h
$(V)/tests/unit/test_misuse.o: INCLUDES += -I$(V)
$(V)/gen/misuse.h: tools/misuse.py include/gossamer.h ; @mkdir -p $(@D); python3 tools/misuse.py include/gossamer.h > $@.new && mv $@.new $@
$(V)/unit/%: $(V)/tests/unit/%.o $(V)/libgossamer.a ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
TEXT_T := $(patsubst tests/text/%.c,$(V)/text/%,$(wildcard tests/text/*.c))
text-bin: $(TEXT_T)
$(V)/text/%: $(V)/tests/text/%.o $(V)/libgossamer.a ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)
schemas-bin: $(V)/schemas/try $(V)/schemas/try_counted $(V)/schemas/mask_times
# try, with a call in each basic block of the compiler, which counts them: work that is the same on any machine.
COUNTED := $(patsubst %.c,$(V)/counted/%.o,$(filter src/base/% src/format/% src/engine/schema/%,$(LIB_C)))
$(V)/counted/%.o: %.c Makefile ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -fsanitize-coverage=trace-pc -MMD -MP -c -o $@ $<
$(V)/schemas/try_counted: $(V)/tests/schemas/try.o $(COUNTED) $(V)/libgossamer.a ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)
-include $(COUNTED:.o=.d)
$(V)/schemas/%: $(V)/tests/schemas/%.o $(V)/libgossamer.a ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)
check-bin: $(V)/gossamer-check
$(V)/gossamer-check: $(CHECK_O) $(V)/libgossamer.a ; $(CC) $(CFLAGS_ALL) -o $@ $^ $(LIBS)

# ---- wasm: the engine for browsers and Node, in two modules that JavaScript chooses from by WebAssembly.validate -------------
# wasi-libc gives pure functions only (libm, string). Its objects lack atomics, hence --no-check-features; its malloc is never linked.
WASI_LIB ?= /usr/lib/wasm32-wasi
# Found once, when something of wasm is built: "CLANG WASM-LD".
WASM_TOOLS = $(eval WASM_TOOLS := $(or $(shell WASI_LIB=$(WASI_LIB) sh tools/clang.sh wasm),$(error wasm needs clang and lld from 19 on, and wasi-libc)))$(WASM_TOOLS)
WASM_CC  ?= $(word 1,$(WASM_TOOLS))
WASM_LD  ?= $(word 2,$(WASM_TOOLS))
W        := build/wasm
DIST     := web/dist
WASM_CFLAGS := --target=wasm32-wasi -std=c11 $(WARN) $(WERROR) -fno-math-errno -ffp-contract=off -fvisibility=hidden $(INCLUDES) \
               -msimd128 -matomics -mbulk-memory -mmutable-globals -mnontrapping-fptoint -msign-ext
WASM_LDFLAGS := --no-entry --shared-memory --import-memory --initial-memory=16777216 --max-memory=4294967296 -z stack-size=1048576 \
                --no-check-features --gc-sections --export=__stack_pointer --export=__wasm_call_ctors --strip-all -L$(WASI_LIB)
WASM_NOT  := $(wildcard src/base/os_linux*.c) %_macos.c %_posix.c %_native.c %_avx2.c %_avxvnni.c %_avx512vnni.c %_amx.c %_neon.c %_dotprod.c
WASM_C    := $(filter-out $(WASM_NOT),$(SRC_C) $(wildcard app/module/*.c) $(addprefix app/common/,engine_table.c figures.c params.c reading.c))
# Kernels for speed, all else for size: a page downloads one module before anything can be seen.
wasm_opt   = $(if $(filter src/cpu/kern_simd128.c src/cpu/kern_relaxed.c src/cpu/stage% src/model/sample.c src/engine/telemetry/observe.c,$(1)),-O2,-Oz)
wasm_isa   = $(if $(filter %_relaxed.c,$(1)),-mrelaxed-simd)
# What the second module has compiled for itself; it shares the first one's objects of all else.
WASM_OWN := src/base/os_wasm.c src/cpu/levels.c $(wildcard src/cpu/*_simd128.c src/cpu/*_relaxed.c)
wasm_relaxed = $(foreach c,$(1),$(W)/$(if $(filter $(WASM_OWN),$(c)),relaxed,simd)/$(c:%.c=%.o))
wasm: $(addprefix $(DIST)/,gossamer.wasm gossamer-relaxed.wasm check.wasm check-relaxed.wasm check-gpu.wasm)
# GOSS_WASM_FEATURES: what goss_os_cpu_features() answers: GOSS_CPU_SIMD128, and GOSS_CPU_RELAXED in the second module.
$(W)/simd/%.o: %.c Makefile ; @mkdir -p $(@D); $(WASM_CC) $(WASM_CFLAGS) $(call wasm_opt,$<) -DGOSS_WASM_FEATURES=32 -MMD -MP -c -o $@ $<
$(W)/relaxed/%.o: %.c Makefile ; @mkdir -p $(@D); $(WASM_CC) $(WASM_CFLAGS) $(if $(filter %_simd128.c,$<),-Oz,$(call wasm_opt,$<)) $(call wasm_isa,$<) -DGOSS_WASM_FEATURES=96 -MMD -MP -c -o $@ $<
$(W)/simd/gen/wgsl.o: $(W)/gen/wgsl.c ; @mkdir -p $(@D); $(WASM_CC) $(WASM_CFLAGS) -Os -Isrc -c -o $@ $<
$(W)/gen/wgsl.c: build/embed $(WGSL) ; @mkdir -p $(@D); build/embed -s goss_wgsl $(WGSL) > $@
WASM_SIMD_O    := $(patsubst %.c,$(W)/simd/%.o,$(filter-out %_relaxed.c,$(WASM_C))) $(W)/simd/gen/wgsl.o
WASM_RELAXED_O := $(call wasm_relaxed,$(WASM_C)) $(W)/simd/gen/wgsl.o
$(DIST)/gossamer.wasm: $(WASM_SIMD_O) ; @mkdir -p $(@D); $(WASM_LD) $(WASM_LDFLAGS) -o $@ $^ -lc
$(DIST)/gossamer-relaxed.wasm: $(WASM_RELAXED_O) ; @mkdir -p $(@D); $(WASM_LD) $(WASM_LDFLAGS) -o $@ $^ -lc
# gossamer-check for the page /check: the kernels alone, with a memory of their own.
CHECK_WASM_C := src/cpu/kern.c src/cpu/levels.c src/cpu/kern_c.c src/cpu/kern_ref.c src/cpu/kern_simd128.c src/format/quant.c src/base/rt_wasm.c \
                $(filter-out %_main.c %_gpu.c %/gpu_wasm.c,$(wildcard tests/check/*.c))
CHECK_LDFLAGS := --no-entry --no-check-features --gc-sections --strip-all -z stack-size=1048576 -L$(WASI_LIB)
$(DIST)/check.wasm: $(patsubst %.c,$(W)/simd/%.o,$(CHECK_WASM_C)) ; @mkdir -p $(@D); $(WASM_LD) $(CHECK_LDFLAGS) -o $@ $^ -lc
$(DIST)/check-relaxed.wasm: $(call wasm_relaxed,$(CHECK_WASM_C) src/cpu/kern_relaxed.c) ; @mkdir -p $(@D); $(WASM_LD) $(CHECK_LDFLAGS) -o $@ $^ -lc
# Its GPU half needs the engine's kernels and gpu.h, and nothing of relaxed SIMD.
CHECK_GPU_O := $(patsubst %.c,$(W)/simd/%.o,$(filter-out %/native_gpu.c,$(wildcard tests/check/*_gpu.c)) tests/check/gpu_wasm.c)
$(DIST)/check-gpu.wasm: $(CHECK_GPU_O) $(filter-out $(W)/simd/app/%,$(WASM_SIMD_O)) ; @mkdir -p $(@D); $(WASM_LD) $(WASM_LDFLAGS) -o $@ $^ -lc
-include $(WASM_SIMD_O:.o=.d) $(WASM_RELAXED_O:.o=.d) $(CHECK_GPU_O:.o=.d)

# Fuzz targets of the readers of foreign bytes (base, format, text, schemas; for requests and HTTP the server's, for recordings the programs', too): a
# replay of the stored corpus, of a sanitized build's objects (SAN=address,undefined fuzz-bin), and libFuzzer itself.
FUZZ_SRC := $(filter src/base/% src/format/% src/text/% src/engine/schema/%,$(LIB_C)) app/server/frame.c
FUZZ_T := gguf json chat request http schema encode record
FUZZ_FLAGS := -std=c11 -O1 -g -D_DEFAULT_SOURCE $(INCLUDES) -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_REQUEST := $(addprefix app/common/,params.c reading.c) $(wildcard app/server/req_*.c) \
                $(addprefix app/server/,ids.c input_items.c log.c mcp_items.c mcp_read.c offers.c parse.c read.c store.c thought_key.c tools.c) \
                app/mcp/mcp_file.c
FUZZ_RECORD := app/common/record_read.c app/common/recorded.c
fuzz-bin: $(FUZZ_T:%=$(V)/fuzz/%)
fuzz-libfuzzer: $(FUZZ_T:%=build/fuzz/libfuzzer-%)
build/fuzz/libfuzzer-record: $(FUZZ_RECORD:%.c=build/fuzz/clang/%.o)
$(V)/fuzz/record: $(FUZZ_RECORD:%.c=$(V)/%.o)
build/fuzz/libfuzzer-request: $(FUZZ_REQUEST:%.c=build/fuzz/clang/%.o)
$(V)/fuzz/request: $(FUZZ_REQUEST:%.c=$(V)/%.o)
$(V)/fuzz/%: $(V)/tests/fuzz/fuzz_%.o $(V)/tests/fuzz/fuzz_replay.o $(FUZZ_SRC:%.c=$(V)/%.o) ; @mkdir -p $(@D); $(CC) $(CFLAGS_ALL) -o $@ $^ -lz $(LIBS)
FUZZ_O := $(FUZZ_SRC:%.c=build/fuzz/clang/%.o)
build/fuzz/clang/%.o: %.c ; @mkdir -p $(@D); $(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
build/fuzz/libfuzzer-%: build/fuzz/clang/tests/fuzz/fuzz_%.o $(FUZZ_O)
	$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ -lz $(LIBS)
-include $(patsubst %.o,%.d,$(FUZZ_O) $(FUZZ_REQUEST:%.c=build/fuzz/clang/%.o) $(FUZZ_RECORD:%.c=build/fuzz/clang/%.o)) $(wildcard $(V)/tests/fuzz/*.d)
# ---- install: the program, both libraries, the header, the pkg-config file, the demo models and the page ------------------
PREFIX  ?= /usr/local
VERSION := $(shell sed -n 's/.*GOSS_VERSION "\(.*\)"/\1/p' include/gossamer.h)
D       := $(DESTDIR)$(PREFIX)
install: all
	install -d $(D)/bin $(D)/lib/pkgconfig $(D)/include $(D)/share/gossamer/models $(D)/share/gossamer/web
	install -m 755 $(V)/gossamer $(D)/bin/
	install -m 644 $(V)/libgossamer.a $(D)/lib/
	install -m 755 $(V)/libgossamer.so $(D)/lib/libgossamer.so.0
	$(if $(RING),install -d $(D)/lib/gossamer && install -m 755 $(RING) $(D)/lib/gossamer/)
	$(if $(LAYER),install -d $(D)/lib/gossamer/vulkan && install -m 755 $(LAYER) $(D)/lib/gossamer/vulkan/ && \
	    install -m 644 app/layer/gossamer_one_gpu.json $(D)/lib/gossamer/vulkan/)
	ln -sf libgossamer.so.0 $(D)/lib/libgossamer.so
	install -m 644 include/gossamer.h $(D)/include/
	install -m 644 models/demo-gptoss.gguf models/demo-gptoss-draft.gguf models/README.md $(D)/share/gossamer/models/
	cp -R web/. $(D)/share/gossamer/web/
	printf 'prefix=%s\nName: gossamer\nDescription: runs gpt-oss and llama GGUF models\nVersion: %s\nCflags: -I$${prefix}/include\nLibs: -L$${prefix}/lib -lgossamer\nLibs.private: $(LIBS)\n' \
	    '$(PREFIX)' '$(VERSION)' > $(D)/lib/pkgconfig/gossamer.pc

# ---- dist: what `make install` installs, stripped, as a tarball that needs no compiler; docs/dist.md is its README -----------
DIST_NAME = gossamer-$(VERSION)-$(SYS)-$(ARCH)
dist: all wasm
	rm -rf build/dist/$(DIST_NAME)
	$(MAKE) -s install DESTDIR=build/dist/ PREFIX=$(DIST_NAME)
	strip build/dist/$(DIST_NAME)/bin/gossamer
	strip --strip-unneeded build/dist/$(DIST_NAME)/lib/libgossamer.so.0
	rm build/dist/$(DIST_NAME)/lib/libgossamer.a
	rm -r build/dist/$(DIST_NAME)/lib/pkgconfig
	cp LICENSE build/dist/$(DIST_NAME)/
	cp docs/dist.md build/dist/$(DIST_NAME)/README.md
	tar -C build/dist --sort=name --owner=0 --group=0 --numeric-owner -czf build/dist/$(DIST_NAME).tar.gz $(DIST_NAME)
	@ls build/dist/$(DIST_NAME).tar.gz

# ---- the Python package with the library in it ---------------------------------------------------------------------------
wheel: $(V)/libgossamer.so
	strip --strip-unneeded -o $(V)/wheel.so $<
	@python3 python/wheel.py $(V)/wheel.so build/dist

# ---- the recordings that ship with the page: made again with this; the last one needs 13 GB of disk for a while -------------
recordings: all ; @node tools/recordings.mjs

# ---- form: the lines of C that differ from HEAD, as .clang-format has them; and what a program can check of the rest --------
format: ; @python3 tools/format.py
lint: ; @python3 tools/lint.py && python3 tools/arrows.py

clean: ; rm -rf build $(DIST)
-include $(LIB_O:.o=.d) $(APP_O:.o=.d) $(CHECK_O:.o=.d) $(UNIT:$(V)/unit/%=$(V)/tests/unit/%.d) $(TEXT_T:$(V)/text/%=$(V)/tests/text/%.d) $(wildcard $(V)/tests/schemas/*.d)
.SECONDARY:
.PHONY: all lib unit format lint recordings unit-small unit-threads names-small install text-bin check-bin wasm wheel dist clean
