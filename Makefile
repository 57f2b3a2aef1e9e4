# SPDX-License-Identifier: Apache-2.0
#
# make help says what there is. "make" builds for this machine with what is
# installed on it; check, demo and bench work in the build root (tools/devroot)
# and need nothing but root and a Debian archive.

O		?= build/$(if $(HOODY_DEVROOT),devroot,native)
# Always the same name for the same folder: the dependencies that the compiler writes
# have it, and do not count under another.
override O	:= $(abspath $(O))
VERSION		:= $(shell cat kmod/VERSION)
PREFIX		?= /usr
DESTDIR		?=

CC		?= gcc
PKGS		:= openssl libllhttp libnghttp2 libnghttp3 libngtcp2 libngtcp2_crypto_ossl yyjson sqlite3 libnl-3.0 libnl-genl-3.0 libnl-route-3.0 \
		   libseccomp libcap-ng inih libsystemd libcurl libmnl libbpf libcares
CPPFLAGS	+= -D_GNU_SOURCE -DHOODY_VERSION='"$(VERSION)"' -Iagent -Ikmod/uapi -Iselftests/lib
CFLAGS		?= -O2 -g
CFLAGS_ALL	= -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
		  -Wvla -Wformat=2 -Wno-unused-parameter -Wno-sign-compare $(if $(WERROR),-Werror) \
		  -fPIE -fstack-protector-strong -fno-strict-aliasing $(SANITIZE)
HARDEN		:= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fcf-protection
LDFLAGS_ALL	= -pie -Wl,--as-needed,-z,relro,-z,now $(SANITIZE)

# Asked once, and not for targets that compile nothing.
pkg_cflags	= $(eval pkg_cflags := $(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(pkg_cflags)
# llhttp has no .pc file in Debian 13.
pkg_libs	= $(eval pkg_libs := $(shell pkg-config --libs $(filter-out libllhttp,$(PKGS))) -lllhttp -lpthread -lm)$(pkg_libs)

agent_src	:= $(wildcard agent/lib/*.c agent/control/*.c agent/kernel/*.c agent/front/*.c \
		     agent/route/*.c agent/auth/*.c agent/upstream/*.c agent/audit/*.c agent/firewall/*.c agent/profile/*.c \
		     agent/relay/*.c agent/names/*.c)
agent_obj	:= $(agent_src:%.c=$(O)/%.o)
cli_src		:= $(wildcard tools/hoody/*.c)
cli_obj		:= $(cli_src:%.c=$(O)/%.o)
# The firewall programs, and the header that holds them for the agent.
bpf_src		:= $(wildcard bpf/*.c bpf/*.h bpf/lib/*.h)
CLANG		?= clang
BPFTOOL		?= bpftool
# One program a file: TAP on standard output, or what a script of the suite needs.
test_src	:= $(wildcard selftests/agent/*.c selftests/kmod/*.c selftests/system/*.c selftests/bench/*.c selftests/bpf/*.c)
test_bin	:= $(test_src:%.c=$(O)/%)

kmod_src	:= $(wildcard kmod/*.c kmod/*.h kmod/Kbuild kmod/uapi/linux/*.h)
# Every kernel of the build root; natively the running one, where its headers are.
KERNELS		?= $(if $(HOODY_DEVROOT),$(shell cat /etc/hoody-kernels),$(if $(wildcard /lib/modules/$(shell uname -r)/build),$(shell uname -r)))

# Modules that only tests load.
test_kmod_src	:= $(wildcard selftests/kmod/modules/*.c selftests/kmod/modules/Kbuild)
# By it, a cluster of PostgreSQL: making one takes an emulated processor 20 s.
INITDB		:= $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin/initdb)))

.PHONY: all agent cli kmod tests tests-kmod install uninstall check demo bench lint flags help clean FORCE
.DELETE_ON_ERROR:

all: agent cli kmod

agent: $(O)/bin/hoody-agent
cli: $(O)/bin/hoody
kmod: $(KERNELS:%=$(O)/kmod/%/hoody.ko)
modules_of_tests := $(KERNELS:%=$(O)/selftests/kmod/modules/%/rival.ko)
tests: $(test_bin) $(modules_of_tests) $(if $(wildcard $(INITDB)),$(O)/selftests/system/cluster.tar)
# What the module's own tests need.
tests-kmod: $(filter $(O)/selftests/kmod/%,$(test_bin)) $(modules_of_tests)

$(O)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(pkg_cflags) $(CFLAGS) $(CFLAGS_ALL) $(if $(SANITIZE),,$(HARDEN)) -MMD -MP -c -o $@ $<

$(O)/bpf/%.bpf.o: bpf/%.bpf.c $(bpf_src) Makefile
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
		$(if $(WERROR),-Werror) -I/usr/include/$(shell uname -m)-linux-gnu -c -o $@ $<

$(O)/bpf/%.skel.h: $(O)/bpf/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf >$@

$(O)/agent/kernel/bpf.o: $(O)/bpf/firewall.skel.h
$(O)/agent/kernel/bpf.o: CPPFLAGS += -I$(O)/bpf

$(O)/libagent.a: $(agent_obj)
	@rm -f $@
	$(AR) rcs $@ $^

$(O)/bin/hoody-agent: $(O)/agent/main.o $(O)/libagent.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(pkg_libs)

$(O)/bin/hoody: $(cli_obj) $(O)/libagent.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(pkg_libs)

$(test_bin): $(O)/%: $(O)/%.o $(O)/libagent.a
	$(CC) $(CFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(pkg_libs)

-include $(agent_obj:.o=.d) $(cli_obj:.o=.d) $(test_bin:=.d) $(O)/agent/main.d

# A module is built from a copy of its source, so that kernels do not share
# objects: kbuild's MO= is newer than the oldest supported kernel. Our O= on the
# command line must not reach kbuild, to which it means another thing.
$(O)/kmod/%/hoody.ko: $(kmod_src)
	@mkdir -p $(@D)/uapi/linux
	cp -u kmod/*.c kmod/*.h kmod/Kbuild kmod/VERSION $(@D)/
	cp -u kmod/uapi/linux/hoody.h $(@D)/uapi/linux/
	env -u MAKEOVERRIDES MAKEFLAGS= $(MAKE) -C /lib/modules/$*/build M=$(abspath $(@D)) W=1 $(if $(SPARSE),KBUILD_CHECKSRC=2 CF="-Wsparse-error -include $(abspath tools/sparse.h)") $(if $(WERROR),KCFLAGS=-Werror) $(if $(KCOV),KCOV_INSTRUMENT=y) modules

# rival.ko stands for all of them.
$(O)/selftests/kmod/modules/%/rival.ko: $(test_kmod_src)
	@mkdir -p $(@D)
	cp -u $(test_kmod_src) $(@D)/
	env -u MAKEOVERRIDES MAKEFLAGS= $(MAKE) -C /lib/modules/$*/build M=$(abspath $(@D)) W=1 $(if $(WERROR),KCFLAGS=-Werror) modules

$(O)/selftests/system/cluster.tar:
	@mkdir -p $(@D)
	dir=$$(mktemp -d) && chown postgres "$$dir" && cd "$$dir" && \
		setpriv --reuid postgres --regid postgres --clear-groups $(INITDB) -D "$$dir/cluster" \
			--no-sync --no-instructions --wal-segsize=1 -A trust >"$$dir/log" && \
		tar -cf $(abspath $@) -C "$$dir" cluster && cd / && rm -r "$$dir"

include tools/packaging/install.mk
include selftests/targets.mk

DEVROOT		:= tools/devroot run

check:
	$(if $(HOODY_DEVROOT),,$(DEVROOT)) selftests/run check $(if $(T),'$(T)')

demo:
	$(if $(HOODY_DEVROOT),,$(DEVROOT)) selftests/run demo $(KERNEL)

bench:
	$(if $(HOODY_DEVROOT),,$(DEVROOT)) selftests/run bench $(if $(T),'$(T)')

lint:
	$(if $(HOODY_DEVROOT),,$(DEVROOT)) selftests/run lint

# What programs that read the source need to be told.
flags:
	@:$(info $(CPPFLAGS) $(pkg_cflags) $(CFLAGS_ALL) -I$(O)/bpf)

help:
	@echo 'make              build agent, command line and, where kernel headers are, the module'
	@echo 'make demo         the main job, shown in a virtual machine (KERNEL=6.12|7 chooses)'
	@echo 'make check        all tests, on the oldest and the newest kernel (T=pattern: a part;'
	@echo '                  T=faults_day, which takes minutes, is run by name alone)'
	@echo 'make bench        tables and plots: kernel side in instructions, the agent beside its peers'
	@echo 'make lint         static checks, with those of make check; its compilers take some 20 minutes'
	@sed -n 's/^#: //p' selftests/targets.mk
	@echo 'make install      into PREFIX (/usr) below DESTDIR; make uninstall undoes it'
	@echo 'make clean        remove build/'

clean:
	rm -rf build
