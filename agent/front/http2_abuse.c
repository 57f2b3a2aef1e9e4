/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client may do to an HTTP/2 connection before it has to go. Every limit
 * ends in GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 7) and a counter of its own.
 *
 *	streams begun and thrown away	rapid reset (CVE-2023-44487), and streams
 *					that we have to reset for it (CVE-2025-8671)
 *	frames that do nothing		PING, SETTINGS, PRIORITY_UPDATE, empty DATA
 *					(nghttp2 skips PRIORITY and unknown ones)
 *	CONTINUATION			by nghttp2, per header block
 *	header lists			by size, see block.c; the table that
 *					multiplies them has 4 KiB
 *	acknowledgements not read	by nghttp2
 */
#include "front/http2.h"

/*
 * A browser that leaves a page resets all its streams at once, twice in a row at
 * the worst; what goes on at more than this pace is no browser.
 */
#define RESETS_BURST		(2 * FRONT_HTTP2_STREAMS_MAX)
#define RESETS_PER_SECOND	32
/* gRPC and the like measure with a PING a round trip. */
#define CONTROLS_BURST		1000
#define CONTROLS_PER_SECOND	100
/* Acknowledgements that may wait for a client which does not read. */
#define ACKNOWLEDGEMENTS_MAX	1000
#define SETTINGS_MAX		32	/* entries of one frame */
/* Of one header block: with the first frame 16 KiB each, twice the largest head. */
#define CONTINUATIONS_MAX	8
/* RFC 7541 4.2: the size that needs no words; of either direction. */
#define TABLE_BYTES		4096

bool front_http2_count_reset(struct front_connection *connection)
{
	struct front_http2 *http2 = connection->http2;

	if (front_bucket_take(&http2->resets, connection->thread->loop.now, RESETS_BURST,
			      RESETS_PER_SECOND))
		return true;
	front_count(connection->thread, http2_reset_floods);
	http2->fault = NGHTTP2_ENHANCE_YOUR_CALM;
	return false;
}

bool front_http2_count_control(struct front_connection *connection)
{
	struct front_http2 *http2 = connection->http2;

	if (front_bucket_take(&http2->controls, connection->thread->loop.now, CONTROLS_BURST,
			      CONTROLS_PER_SECOND))
		return true;
	front_count(connection->thread, http2_control_floods);
	http2->fault = NGHTTP2_ENHANCE_YOUR_CALM;
	return false;
}

uint32_t front_http2_fault(struct front_connection *connection, ssize_t err)
{
	/* Said, and counted, where it was found. */
	if (connection->http2->fault)
		return connection->http2->fault;
	switch (err) {
	case NGHTTP2_ERR_FLOODED:
		front_count(connection->thread, http2_control_floods);
		return NGHTTP2_ENHANCE_YOUR_CALM;
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		front_count(connection->thread, http2_continuation_floods);
		return NGHTTP2_ENHANCE_YOUR_CALM;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		front_count(connection->thread, http2_protocol_errors);
		return NGHTTP2_PROTOCOL_ERROR;
	default:
		front_count(connection->thread, http2_protocol_errors);
		return NGHTTP2_INTERNAL_ERROR;
	}
}

void front_http2_limits(nghttp2_option *option)
{
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, ACKNOWLEDGEMENTS_MAX);
	nghttp2_option_set_max_settings(option, SETTINGS_MAX);
	nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
	nghttp2_option_set_max_deflate_dynamic_table_size(option, TABLE_BYTES);
	/* Ours counts what we have to reset as well, and says why it ends. */
	nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
	nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
}
