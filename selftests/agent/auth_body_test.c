// SPDX-License-Identifier: Apache-2.0
/*
 * Permission bodies: what is accepted, what is refused and under which field's
 * name, what is shown and what is stored of it, and how a PATCH merges. In the
 * bodies below ' stands for ".
 */
#include "auth/permissions.h"
#include "tap.h"

#include <errno.h>
#include <string.h>

#define PROJECT "67e89abc123def456789abcd"
#define CONTAINER "890abcdef12345678901cdef"
#define EC_PEM "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHacYza+D+KiYd38Gr3Bl860+5/ud\\nQEvAZ+qknJOOkxfJanW+JkeAXkME6iEMEysHjuI1/xfjJppNYYgz81onrw==\\n-----END PUBLIC KEY-----\\n"
#define S32 "0123456789abcdef0123456789abcdef"
#define S64 S32 S32

static struct action_table actions;
static uint8_t project_id[ID_LEN], container_id[ID_LEN];

static ssize_t no_file(void *context, const char *name, char *out, size_t size)
{
	return -ENOENT;
}

static struct permissions_source source = {
	.actions = &actions, .project = project_id, .container = container_id,
	.jwks_load = no_file,
};

static struct permissions *read_body(const char *body, const struct permissions *existing,
				     bool patch, struct permissions_error *error)
{
	struct permissions *result;
	char *copy = strdup(body);
	struct permissions_source from = source;

	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	memset(error, 0, sizeof(*error));
	from.existing = existing;
	result = patch ? permissions_patch(copy, strlen(copy), &from, error) :
			 permissions_parse(copy, strlen(copy), &from, error);
	free(copy);
	return result;
}

static const struct {
	const char *body, *field;
} bad[] = {
	/* the text */
	{ "", "" }, { "{", "" }, { "[]", "" }, { "null", "" }, { "'x'", "" }, { "{}{}", "" },
	{ "{'groups':{},}", "" }, { "{'default':'deny'}x", "" },
	{ "{'default':'deny','default':'allow'}", "default" },
	{ "{'groups':{'a':{'type':'ip','range':'10.0.0.0/8'},'a':{'type':'ip','range':'0.0.0.0/0'}}}", "groups.a" },
	{ "{'groups':{'a':{'type':'ip','range':'10.0.0.0/8','range':'0.0.0.0/0'}}}", "groups.a.range" },
	{ "{'groups':{'a':[[[[[[[[[[[[1]]]]]]]]]]]]}}", "groups.a[0][0][0][0][0][0][0][0]" },
	/* the top level */
	{ "{'group':{}}", "group" }, { "{'Default':'deny'}", "Default" },
	{ "{'permission':{}}", "permission" }, { "{'':1}", "" },
	{ "{'default':'Deny'}", "default" }, { "{'default':true}", "default" },
	{ "{'default':null}", "default" }, { "{'default':'deny\\u0000'}", "default" },
	{ "{'project':'x'}", "project" }, { "{'project':7}", "project" },
	{ "{'project':'67e89abc123def456789abce'}", "project" },
	{ "{'container':'" PROJECT "'}", "container" }, { "{'container':null}", "container" },
	{ "{'groups':[]}", "groups" }, { "{'groups':null}", "groups" },
	{ "{'permissions':[]}", "permissions" }, { "{'permissions':true}", "permissions" },
	/* names and types of groups */
	{ "{'groups':{'':{'type':'ip','range':'10.0.0.0/8'}}}", "groups." },
	{ "{'groups':{'a b':{'type':'ip','range':'10.0.0.0/8'}}}", "groups.a b" },
	{ "{'groups':{'a.b':{'type':'ip','range':'10.0.0.0/8'}}}", "groups.a.b" },
	{ "{'groups':{'-a':{'type':'ip','range':'10.0.0.0/8'}}}", "groups.-a" },
	{ "{'groups':{'a\\u0007':{'type':'ip','range':'10.0.0.0/8'}}}", "groups.a?" },
	{ "{'groups':{'a\\u0000':{'type':'ip','range':'10.0.0.0/8'}}}", "groups.a" },
	{ "{'groups':{'" S64 "':{'type':'ip','range':'10.0.0.0/8'}}}", "groups." S64 },
	{ "{'groups':{'a':true}}", "groups.a" }, { "{'groups':{'a':null}}", "groups.a" },
	{ "{'groups':{'a':{}}}", "groups.a.type" },
	{ "{'groups':{'a':{'type':'IP','range':'10.0.0.0/8'}}}", "groups.a.type" },
	{ "{'groups':{'a':{'type':1}}}", "groups.a.type" },
	{ "{'groups':{'a':{'type':'oauth'}}}", "groups.a.type" },
	/* ip */
	{ "{'groups':{'office':{'type':'ip'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':7}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':''}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/33'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/08'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/-1'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8 '}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.1/8'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0/8'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'010.0.0.1'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'256.0.0.0/8'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'example.com'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'2001:db8::/129'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'2001:db8::1/64'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'::ffff:10.0.0.0/104'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'fe80::1%eth0'}}}", "groups.office.range" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8','ranges':['10.0.0.0/8']}}}", "groups.office.ranges" },
	{ "{'groups':{'office':{'type':'ip','ranges':[]}}}", "groups.office.ranges" },
	{ "{'groups':{'office':{'type':'ip','ranges':'10.0.0.0/8'}}}", "groups.office.ranges" },
	{ "{'groups':{'office':{'type':'ip','ranges':['10.0.0.0/8','x']}}}", "groups.office.ranges[1]" },
	{ "{'groups':{'office':{'type':'ip','ranges':['10.0.0.0/8',null]}}}", "groups.office.ranges[1]" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8','value':'x'}}}", "groups.office.value" },
	{ "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8','Range':'x'}}}", "groups.office.Range" },
	/* token */
	{ "{'groups':{'ci':{'type':'token'}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':null}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':12345678}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':''}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':'short'}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':'with a blank'}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':'t\\u00f6ken-token'}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':'abcdefgh\\n'}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','value':'abcdefgh\\u0000i'}}}", "groups.ci.value" },
	{ "{'groups':{'ci':{'type':'token','token':'secret-production-token'}}}", "groups.ci.token" },
	{ "{'groups':{'ci':{'type':'token','value':'secret-production-token','value_sha256':'00'}}}", "groups.ci.value_sha256" },
	{ "{'groups':{'ci':{'type':'token','value':'secret-production-token','range':'::/0'}}}", "groups.ci.range" },
	/* password */
	{ "{'groups':{'p':{'type':'password'}}}", "groups.p.username" },
	{ "{'groups':{'p':{'type':'password','username':'u'}}}", "groups.p.password" },
	{ "{'groups':{'p':{'type':'password','password':'p'}}}", "groups.p.username" },
	{ "{'groups':{'p':{'type':'password','username':'','password':'p'}}}", "groups.p.username" },
	{ "{'groups':{'p':{'type':'password','username':'a:b','password':'p'}}}", "groups.p.username" },
	{ "{'groups':{'p':{'type':'password','username':'a\\tb','password':'p'}}}", "groups.p.username" },
	{ "{'groups':{'p':{'type':'password','username':7,'password':'p'}}}", "groups.p.username" },
	{ "{'groups':{'p':{'type':'password','username':'u','password':''}}}", "groups.p.password" },
	{ "{'groups':{'p':{'type':'password','username':'u','password':7}}}", "groups.p.password" },
	{ "{'groups':{'p':{'type':'password','username':'u','password':null}}}", "groups.p.password" },
	{ "{'groups':{'p':{'type':'password','username':'u','password_hash':'x'}}}", "groups.p.password_hash" },
	{ "{'groups':{'p':{'type':'password','user':'u','password':'p'}}}", "groups.p.user" },
	{ "{'groups':{'p':{'type':'password','username':'u','password':'" S64 S64 S64 S64 "x'}}}", "groups.p.password" },
	{ "{'groups':{'a':{'type':'password','username':'u','password':'p'},'b':{'type':'password','username':'u','password':'p'},'c':{'type':'password','username':'u','password':'p'},'d':{'type':'password','username':'u','password':'p'},'e':{'type':'password','username':'u','password':'p'}}}", "groups.e.username" },
	/* jwt: keys */
	{ "{'groups':{'j':{'type':'jwt'}}}", "groups.j.secret" },
	{ "{'groups':{'j':{'type':'jwt','secret':'short'}}}", "groups.j.secret" },
	{ "{'groups':{'j':{'type':'jwt','secret':null}}}", "groups.j.secret" },
	{ "{'groups':{'j':{'type':'jwt','secret':{}}}}", "groups.j.secret" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','public_key':'x'}}}", "groups.j.public_key" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','jwks':{}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','public_key':'x'}}}", "groups.j.public_key" },
	{ "{'groups':{'j':{'type':'jwt','public_key':'-----BEGIN PRIVATE KEY-----'}}}", "groups.j.public_key" },
	{ "{'groups':{'j':{'type':'jwt','jwks':7}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[7]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[{'kty':'RSA','n':'AQAB','e':'AQAB'}]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[{'kty':'EC','crv':'P-256','x':'AQAB','y':'AQAB'}]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[{'kty':'OKP','crv':'Ed25519','x':'AQAB'}]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[{'kty':'OKP','crv':'X25519','x':'AQAB'}]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[{'kty':'oct','k':'AQAB'}]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':{'keys':[{'kty':'OKP','crv':'Ed25519','d':'AQAB','x':'AQAB'}]}}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':'../shadow'}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':'/etc/passwd'}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':'.hidden'}}}", "groups.j.jwks" },
	{ "{'groups':{'j':{'type':'jwt','jwks':'missing.json'}}}", "groups.j.jwks" },
	/* jwt: algorithms, options, claims */
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':[]}}}", "groups.j.algorithms" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':'HS256'}}}", "groups.j.algorithms" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':['none']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':['NoNe']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':['HS256','hs384']}}}", "groups.j.algorithms[1]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':['HS256','HS256']}}}", "groups.j.algorithms[1]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':['HS512']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':['RS256']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','algorithms':[7]}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','public_key':'" EC_PEM "','algorithms':['HS256']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','public_key':'" EC_PEM "','algorithms':['ES384']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','public_key':'" EC_PEM "','algorithms':['RS256']}}}", "groups.j.algorithms[0]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','leeway':301}}}", "groups.j.leeway" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','leeway':-1}}}", "groups.j.leeway" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','leeway':1.5}}}", "groups.j.leeway" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','require_exp':1}}}", "groups.j.require_exp" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':[]}}}", "groups.j.claims" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{}}}}", "groups.j.claims" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'aud':null}}}}", "groups.j.claims.aud" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'aud':[]}}}}", "groups.j.claims.aud" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'aud':['a',{}]}}}}", "groups.j.claims.aud[1]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'aud':['a',['b']]}}}}", "groups.j.claims.aud[1]" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'exp':7}}}}", "groups.j.claims.exp" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'':7}}}}", "groups.j.claims." },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'a':{}}}}}", "groups.j.claims.a" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'a':{'b':{'c':{'d':{'e':1}}}}}}}}", "groups.j.claims.a.b.c.d" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','claims':{'a':1,'b':1,'c':1,'d':1,'e':1,'f':1,'g':1,'h':1,'i':1,'j':1,'k':1,'l':1,'m':1,'n':1,'o':1,'p':1,'q':1}}}}", "groups.j.claims.q" },
	{ "{'groups':{'j':{'type':'jwt','secret':'" S32 "','issuer':'x'}}}", "groups.j.issuer" },
	/* permissions */
	{ "{'permissions':{'ghost':{'terminal':true}}}", "permissions.ghost" },
#define A "{'groups':{'a':{'type':'ip','range':'::/0'}},'permissions':{'a':"
	{ A "true}}", "permissions.a" }, { A "[]}}", "permissions.a" },
	{ A "{'terminal':null}}}", "permissions.a.terminal" },
	{ A "{'terminal':1}}}", "permissions.a.terminal" },
	{ A "{'terminal':'execute'}}}", "permissions.a.terminal" },
	{ A "{'terminal':[]}}}", "permissions.a.terminal" },
	{ A "{'terminal':['write']}}}", "permissions.a.terminal[0]" },
	{ A "{'terminal':['read','read']}}}", "permissions.a.terminal[1]" },
	{ A "{'terminal':['read',7]}}}", "permissions.a.terminal[1]" },
	{ A "{'files':['read','write','delete','execute']}}}", "permissions.a.files[3]" },
	{ A "{'sqlite':['Query']}}}", "permissions.a.sqlite[0]" },
	{ A "{'display':['view','']}}}", "permissions.a.display[1]" },
	{ A "{'http':['read']}}}", "permissions.a.http" },
	{ A "{'Terminal':true}}}", "permissions.a.Terminal" },
	{ A "{'terminal-1':true}}}", "permissions.a.terminal-1" },
	{ A "{'1http':true}}}", "permissions.a.1http" }, { A "{'':true}}}", "permissions.a." },
	{ A "{'" S64 "a':true}}}", "permissions.a." S64 "a" },
};

/* Every body that the product's own papers show, with ids put in. */
static const char *const promised[] = {
	"{'project':'" PROJECT "','container':'" CONTAINER "',"
	"'groups':{'office':{'type':'ip','range':'10.0.0.0/8'},"
	"'ci':{'type':'token','value':'secret-production-token'}},"
	"'permissions':{'office':{'http':true,'files':true},'ci':{'http':true,'exec':true}},"
	"'default':'deny'}",
	"{'project':'" PROJECT "','container':'" CONTAINER "',"
	"'groups':{'office':{'type':'ip','range':'203.0.113.0/24'},"
	"'ci':{'type':'token','value':'ci-secret-token'}},"
	"'permissions':{'office':{'terminal':true,'display':true,'files':true},"
	"'ci':{'terminal':true,'exec':true,'files':true}},'default':'deny'}",
	"{'groups':{'office':{'type':'ip','range':'203.0.113.0/24'}},"
	"'permissions':{'office':{'terminal':true,'files':true,'display':true}},'default':'deny'}",
	/* "Terminal: execute allowed, but files: read-only. Display: view allowed, but
	 * control denied. Database: query allowed, but modify denied." */
	"{'groups':{'a':{'type':'ip','range':'::/0'}},'permissions':{'a':{'terminal':['execute'],"
	"'files':['read'],'display':['view'],'sqlite':['query']}},'default':'deny'}",
	"{'groups':{'clinic':{'type':'ip','ranges':['198.51.100.0/24','2001:db8::/32','192.0.2.7']}},"
	"'permissions':{'clinic':{'files':['read','write','delete']}},'default':'deny'}",
	"{'groups':{'web':{'type':'password','username':'Anna M\\u00fcller','password':'correct horse'}},"
	"'permissions':{'web':{'http':true}},'default':'deny'}",
	"{'groups':{'api':{'type':'jwt','secret':'" S32 "','algorithms':['HS256'],"
	"'claims':{'iss':'https://issuer.example','aud':['a','b'],'level':3,'admin':true,"
	"'realm_access':{'roles':'operator'}},'leeway':0,'require_exp':false}},"
	"'permissions':{'api':{'http':true}},'default':'deny'}",
	"{'groups':{'api':{'type':'jwt','public_key':'" EC_PEM "'}},'permissions':{'api':{'http':true}}}",
	"{'default':'allow'}", "{'default':'deny'}", "{}",
	"{'groups':{},'permissions':{}}",
};

static void test_bad(void)
{
	struct permissions_error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct permissions *got = read_body(bad[i].body, NULL, false, &error);
		bool right = !got && errno == EINVAL && !strcmp(error.field, bad[i].field) &&
			     error.message[0];

		if (!tap_ok(right, "body_refused_%zu %.60s", i, bad[i].field))
			tap_note("%s -> %s '%s' %s", bad[i].body, got ? "accepted" : "refused",
				 error.field, error.message);
		permissions_free(got);
	}
}

static struct permissions *must_read(const char *body, const struct permissions *existing,
				     bool patch)
{
	struct permissions_error error;
	struct permissions *got = read_body(body, existing, patch, &error);

	if (!got) {
		tap_note("%s -> %s: %s", body, error.field, error.message);
		tap_ok(false, "a body that has to be accepted");
		exit(1);
	}
	return got;
}

/* Shown, sent back, and stored and read again: the same each time. */
static void test_promised(void)
{
	for (size_t i = 0; i < sizeof(promised) / sizeof(promised[0]); i++) {
		struct permissions *first = must_read(promised[i], NULL, false), *again, *stored;
		struct permissions_error error;
		struct permissions_source from = source;
		char *shown, *shown_again, *text, *text_again;
		bool sealed = permissions_seal(first) == 0;

		shown = permissions_format(first, PERMISSIONS_SHOW, project_id, container_id);
		again = must_read(shown, first, false);
		shown_again = permissions_format(again, PERMISSIONS_SHOW, project_id,
						 container_id);
		text = permissions_format(first, PERMISSIONS_STORE, NULL, NULL);
		from.stored = true;
		stored = permissions_parse(text, strlen(text), &from, &error);
		text_again = stored ? permissions_format(stored, PERMISSIONS_STORE, NULL, NULL) :
				      NULL;
		if (!tap_ok(sealed && !strcmp(shown, shown_again) && text_again &&
				    !strcmp(text, text_again) && !strstr(shown, "token'") &&
				    !strstr(shown, "-token") && !strstr(shown, "horse") &&
				    !strstr(shown, S32) && !strstr(text, "-token") &&
				    !strstr(text, "horse"),
			    "body_promised_%zu_round_trip", i))
			tap_note("%s\n# %s\n# %s\n# %s", shown, shown_again, text, text_again);
		free(shown);
		free(shown_again);
		free(text);
		free(text_again);
		permissions_free(first);
		permissions_free(again);
		permissions_free(stored);
	}
}

#define BASE "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8'}," \
	     "'ci':{'type':'token','value':'first-token'}}," \
	     "'permissions':{'office':{'http':true,'files':['read']},'ci':{'http':true}}," \
	     "'default':'deny'}"

static const struct {
	const char *name, *patch, *shown;
} patches[] = {
	{ "nothing", "{}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'ip','range':'10.0.0.0/8'}},'permissions':{'ci':{'http':true},'office':{'files':['read'],'http':true}},'default':'deny'}" },
	{ "default", "{'default':'allow'}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'ip','range':'10.0.0.0/8'}},'permissions':{'ci':{'http':true},'office':{'files':['read'],'http':true}},'default':'allow'}" },
	{ "default_null", "{'default':null}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'ip','range':'10.0.0.0/8'}},'permissions':{'ci':{'http':true},'office':{'files':['read'],'http':true}}}" },
	{ "member", "{'groups':{'office':{'range':'192.0.2.0/24'}}}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'ip','range':'192.0.2.0/24'}},'permissions':{'ci':{'http':true},'office':{'files':['read'],'http':true}},'default':'deny'}" },
	{ "range_to_ranges", "{'groups':{'office':{'ranges':['192.0.2.0/24','::1']}}}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'ip','ranges':['192.0.2.0/24','::1']}},'permissions':{'ci':{'http':true},'office':{'files':['read'],'http':true}},'default':'deny'}" },
	{ "group_gone_with_permissions", "{'groups':{'ci':null}}",
	  "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8'}},'permissions':{'office':{'files':['read'],'http':true}},'default':'deny'}" },
	{ "type_replaces", "{'groups':{'office':{'type':'token','value':'other-token'}}}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'token','value':null}},'permissions':{'ci':{'http':true},'office':{'files':['read'],'http':true}},'default':'deny'}" },
	{ "service_gone", "{'permissions':{'office':{'http':null,'exec':true}}}",
	  "{'groups':{'ci':{'type':'token','value':null},'office':{'type':'ip','range':'10.0.0.0/8'}},'permissions':{'ci':{'http':true},'office':{'exec':true,'files':['read']}},'default':'deny'}" },
	{ "all_gone", "{'groups':null,'default':null}", "{'groups':{},'permissions':{}}" },
	{ "new_group", "{'groups':{'b':{'type':'ip','range':'::1'}},'permissions':{'b':{'http':false}}}",
	  "{'groups':{'b':{'type':'ip','range':'::1'},'ci':{'type':'token','value':null},'office':{'type':'ip','range':'10.0.0.0/8'}},'permissions':{'b':{'http':false},'ci':{'http':true},'office':{'files':['read'],'http':true}},'default':'deny'}" },
};

static const struct {
	const char *patch, *field;
} bad_patches[] = {
	{ "{'groups':{'ci':{'type':'token'}}}", "groups.ci.value" },
	{ "{'groups':{'office':{'range':null}}}", "groups.office.range" },
	{ "{'groups':{'office':{'rnage':null}}}", "groups.office.rnage" },
	{ "{'groups':{'new':{'range':'::1'}}}", "groups.new.type" },
	{ "{'permissions':{'new':{'http':true}}}", "permissions.new" },
	{ "{'permissions':{'office':{'files':['reed']}}}", "permissions.office.files[0]" },
	{ "{'bogus':null}", "bogus" },
	{ "{'default':'maybe'}", "default" },
	{ "{'groups':{'new':{'type':'token','value':null}}}", "groups.new.value" },
	{ "{'groups':7}", "groups" },
	{ "[]", "" },
};

static void test_patches(void)
{
	struct permissions *base = must_read(BASE, NULL, false);

	for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
		struct permissions *got = must_read(patches[i].patch, base, true);
		char *shown = permissions_format(got, PERMISSIONS_SHOW, NULL, NULL);

		for (char *c = shown; *c; c++)
			*c = *c == '"' ? '\'' : *c;
		if (!tap_ok(!strcmp(shown, patches[i].shown), "patch_%s", patches[i].name))
			tap_note("got %s", shown);
		free(shown);
		permissions_free(got);
	}
	for (size_t i = 0; i < sizeof(bad_patches) / sizeof(bad_patches[0]); i++) {
		struct permissions_error error;
		struct permissions *got = read_body(bad_patches[i].patch, base, true, &error);

		if (!tap_ok(!got && errno == EINVAL && !strcmp(error.field, bad_patches[i].field),
			    "patch_refused_%zu %s", i, bad_patches[i].field))
			tap_note("%s: %s", error.field, error.message);
		permissions_free(got);
	}
	permissions_free(base);
}

static void test_secrets_kept(void)
{
	struct permissions *base = must_read(BASE, NULL, false);
	struct permissions *kept = must_read("{'groups':{'ci':{'type':'token','value':null}}}", base,
					     true);
	struct permissions *moved = must_read("{'groups':{'ci':{'value':'second-token'}}}", base,
					      true);
	uint8_t second[SECRET_HASH_LEN];

	secret_token_hash("second-token", 12, second);
	tap_ok(!memcmp(permissions_group_find(base, "ci")->token,
		       permissions_group_find(kept, "ci")->token, SECRET_HASH_LEN),
	       "patch_null_secret_is_kept");
	tap_ok(!memcmp(permissions_group_find(moved, "ci")->token, second, SECRET_HASH_LEN),
	       "patch_secret_is_replaced");
	permissions_free(kept);
	permissions_free(moved);
	permissions_free(base);
}

static void test_levels(void)
{
	struct permissions *project = must_read("{'default':'deny'}", NULL, false);
	struct permissions *container = must_read("{'default':'allow'}", NULL, false);
	struct permissions *empty = must_read("{}", NULL, false);
	struct permissions *group = must_read("{'groups':{'a':{'type':'ip','range':'::/0'}}}", NULL,
					      false);

	tap_ok(permissions_effective(project, container) == container, "level_container_overrides");
	tap_ok(permissions_effective(project, empty) == project, "level_empty_container_inherits");
	tap_ok(permissions_effective(project, NULL) == project, "level_project_holds_alone");
	tap_ok(!permissions_effective(empty, NULL) && !permissions_effective(NULL, NULL),
	       "level_nothing_is_open");
	tap_ok(!permissions_default_allow(group), "level_a_group_without_default_denies");
	tap_ok(permissions_default_allow(container), "level_default_allow");
	permissions_free(project);
	permissions_free(container);
	permissions_free(empty);
	permissions_free(group);
}

static void test_bounds(void)
{
	size_t size = PERMISSIONS_BODY_MAX + 64, used;
	char *body = malloc(size), *at;
	struct permissions_error error;
	struct permissions *got;

	memset(body, ' ', size);
	memcpy(body, "{}", 2);
	body[PERMISSIONS_BODY_MAX + 1] = '\0';
	got = read_body(body, NULL, false, &error);
	tap_ok(!got && strstr(error.message, "larger"), "bounds_body_size");
	permissions_free(got);
	for (int count = PERMISSIONS_GROUPS_MAX; count <= PERMISSIONS_GROUPS_MAX + 1; count++) {
		at = body + sprintf(body, "{'groups':{");
		for (int i = 0; i < count; i++)
			at += sprintf(at, "%s'g%d':{'type':'ip','range':'::1'}", i ? "," : "", i);
		strcpy(at, "}}");
		got = read_body(body, NULL, false, &error);
		tap_ok(!!got == (count == PERMISSIONS_GROUPS_MAX), "bounds_groups_%d", count);
		permissions_free(got);
	}
	used = sprintf(body, "{'groups':{'a':{'type':'ip','ranges':['::1'");
	for (int i = 0; i < PERMISSIONS_RANGES_MAX; i++)
		used += sprintf(body + used, ",'::1'");
	strcpy(body + used, "]}}}");
	got = read_body(body, NULL, false, &error);
	tap_ok(!got && !strcmp(error.field, "groups.a.ranges"), "bounds_ranges");
	permissions_free(got);
	free(body);
}

int main(void)
{
	size_t count = sizeof(bad) / sizeof(bad[0]) + sizeof(promised) / sizeof(promised[0]) +
		       sizeof(patches) / sizeof(patches[0]) +
		       sizeof(bad_patches) / sizeof(bad_patches[0]);

	tap_plan((int)count + 2 + 6 + 4);
	action_table_default(&actions);
	id_parse(PROJECT, 24, project_id);
	id_parse(CONTAINER, 24, container_id);
	test_bad();
	test_promised();
	test_patches();
	test_secrets_kept();
	test_levels();
	test_bounds();
	return tap_done();
}
