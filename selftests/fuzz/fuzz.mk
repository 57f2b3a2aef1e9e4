# SPDX-License-Identifier: Apache-2.0
#
# Fuzz targets: one file each, with the files of the agent that it needs, all compiled
# by clang for coverage, addresses and undefined behaviour. See docs/fuzzing.md.
#
# fuzz_src_TARGET names the files of the small ones; the targets in fuzz_whole get the worker.

fuzz_auth := $(wildcard agent/auth/*.c) \
	     agent/lib/address.c agent/lib/http.c agent/lib/id.c
fuzz_src_action		:= agent/auth/action.c agent/auth/action_table.c agent/lib/http.c
fuzz_src_api_body	:= $(addprefix agent/control/,json_list.c limits_json.c services_json.c container_json.c container.c \
			   firewall_json.c firewall_rules.c network_settings.c wireguard_file.c \
			   cgroup.c config.c config_keys.c) agent/firewall/text.c agent/relay/exit.c \
			   agent/names/name.c agent/auth/base64.c agent/lib/address.c agent/lib/id.c agent/lib/utf8.c
fuzz_src_blob		:= $(fuzz_auth)
fuzz_src_dns		:= agent/names/message.c
fuzz_src_handshake	:= agent/relay/handshake.c agent/auth/base64.c agent/lib/address.c
fuzz_src_hello		:= agent/relay/hello.c agent/relay/quic_initial.c agent/names/name.c \
			   selftests/fuzz/lib/initial.c
fuzz_src_host		:= agent/route/host.c agent/lib/id.c
fuzz_src_http1_head	:= agent/lib/http1.c agent/lib/http1_chunk.c agent/lib/http1_encode.c agent/lib/http.c \
			   selftests/fuzz/lib/memory.c
fuzz_src_image		:= agent/lib/image.c agent/lib/image_builder.c agent/lib/id.c
fuzz_src_jwt		:= agent/auth/jwt.c agent/auth/jwt_key.c agent/auth/jwk.c agent/auth/base64.c agent/auth/secret.c
fuzz_src_netlink	:= $(addprefix agent/kernel/genl,.c _requests.c _profile.c _ksm.c _watch.c)
fuzz_src_permissions	:= $(fuzz_auth)
fuzz_src_profile	:= $(wildcard agent/profile/*.c)
fuzz_src_relay_policy	:= agent/relay/policy.c agent/relay/exit.c agent/relay/strict.c agent/relay/way.c agent/relay/hello.c \
			   agent/names/name.c agent/lib/address.c agent/lib/id.c
fuzz_src_tls13		:= agent/front/tls13.c agent/front/tls13_record.c selftests/fuzz/lib/memory.c
fuzz_src_wireguard_file	:= agent/control/wireguard_file.c agent/auth/base64.c agent/names/name.c agent/lib/address.c

fuzz_front		:= selftests/fuzz/lib/front.c selftests/fuzz/lib/memory.c
fuzz_src_http1		:= $(fuzz_front)
fuzz_src_http2		:= $(fuzz_front)
fuzz_src_http3		:= $(fuzz_front)
fuzz_src_quic		:= $(fuzz_front) $(fuzz_src_hello)
fuzz_whole		:= http1 http2 http3 quic

comma	:= ,
fuzz_wrap = $(addprefix -Wl$(comma)--wrap=,$(1))
fuzz_ld_netlink	:= $(call fuzz_wrap,nl_send_auto genl_connect nl_recvmsgs nl_recvmsgs_default nla_get_u32)
fuzz_ld_tls13	:= $(call fuzz_wrap,recv send SSL_version SSL_has_pending SSL_get_current_cipher \
			SSL_SESSION_get_max_fragment_length)
fuzz_ld_http1	:= $(call fuzz_wrap,up_connect pthread_create)
fuzz_ld_http2	:= $(fuzz_ld_http1)
fuzz_ld_http3	:= $(fuzz_ld_http1) $(call fuzz_wrap,$(addprefix ngtcp2_conn_,get_pto open_uni_stream \
			get_stream_user_data set_stream_user_data extend_max_offset extend_max_stream_offset \
			shutdown_stream shutdown_stream_read set_keep_alive_timeout) \
			$(addprefix quic_connection_,write closed free))
fuzz_ld_quic	:= $(fuzz_ld_http1) $(call fuzz_wrap,recvmmsg sendmsg clock_gettime)

fuzz_all	:= $(patsubst selftests/fuzz/%.c,%,$(wildcard selftests/fuzz/*.c))
fuzz_pure	:= $(filter-out $(fuzz_whole),$(fuzz_all))
fuzz_bin	:= $(fuzz_all:%=$(O)/fuzz/%)

FUZZ_CFLAGS	:= -std=gnu11 -O1 -g1 -fno-omit-frame-pointer -fno-strict-aliasing -Wall -Wextra -Wno-unused-parameter \
		   -Wno-sign-compare -Wno-missing-field-initializers -Iselftests/fuzz $(if $(WERROR),-Werror) \
		   -fno-sanitize-recover=all
FUZZ_SANITIZE	:= address,undefined

.PHONY: fuzz-build fuzz-pure fuzz-names
fuzz-build: $(fuzz_bin)
fuzz-pure: $(fuzz_pure:%=$(O)/fuzz/%)
# For selftests/agent/fuzz.sh, which runs these.
fuzz-names:
	@echo $(fuzz_pure)

$(O)/fuzz/obj/%.o: %.c selftests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(pkg_cflags) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SANITIZE) -MMD -MP -c -o $@ $<

# The worker, without its process.
fuzz_agent_src	:= $(filter-out agent/front/worker.c agent/front/sandbox.c,$(wildcard $(addprefix agent/,front/*.c lib/*.c \
		   route/*.c auth/*.c upstream/*.c)))
fuzz_agent_obj	:= $(fuzz_agent_src:%.c=$(O)/fuzz/obj/%.o)
$(O)/fuzz/libworker.a: $(fuzz_agent_obj)
	@rm -f $@
	$(AR) rcs $@ $^

# The kernel's coverage guides it, not the compiler's. See selftests/fuzz/kernel/run.
$(O)/fuzz/kernel/module: selftests/fuzz/kernel/module.c selftests/fuzz/kernel/cover.c $(wildcard selftests/fuzz/*.h \
		selftests/fuzz/kernel/*.h selftests/lib/*.h) kmod/uapi/linux/hoody.h
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.c,$^) -lmnl

# fuzz_rule TARGET
define fuzz_rule
$(O)/fuzz/$(1): $(O)/fuzz/obj/selftests/fuzz/$(1).o $(fuzz_src_$(1):%.c=$(O)/fuzz/obj/%.o) \
		$(if $(filter $(1),$(fuzz_whole)),$(O)/fuzz/libworker.a)
	$(CLANG) -fsanitize=fuzzer,$(FUZZ_SANITIZE) $(fuzz_ld_$(1)) -o $$@ $$^ $$(pkg_libs)
endef
$(foreach target,$(fuzz_all),$(eval $(call fuzz_rule,$(target))))

-include $(fuzz_agent_obj:.o=.d) $(fuzz_all:%=$(O)/fuzz/obj/selftests/fuzz/%.d)
