# SPDX-License-Identifier: Apache-2.0
"""
Makes tokens and the permission bodies to hold them against; see auth_jwt_check.c
for the lines. The JSON web token part is written here from the RFCs, the
arithmetic is Python's cryptography: nothing is shared with the agent.
"""
import base64, hashlib, hmac, json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NOW = 1_800_000_000
SECRET = "a secret of more than sixty-four bytes, as HS512 asks for by the RFC's text"
OTHER = "another secret of more than sixty-four bytes, for those who would forge tokens"
HASH = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def num(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def sign(alg, key, data):
    if alg == "none":
        return b""
    if alg == "EdDSA":
        return key.sign(data)
    digest = HASH[alg[2:]]()
    if alg.startswith("HS"):
        raw = key.encode() if isinstance(key, str) else key
        return hmac.new(raw, data, "sha" + alg[2:]).digest()
    if alg.startswith("RS"):
        return key.sign(data, padding.PKCS1v15(), digest)
    if alg.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def token(alg, key, claims=None, header=None, raw_header=None, raw_payload=None):
    head = {"alg": alg, "typ": "JWT"}
    head.update(header or {})
    body = {"exp": NOW + 600, "iat": NOW - 10}
    body.update(claims or {})
    body = {k: v for k, v in body.items() if v is not None}
    head_text = raw_header if raw_header is not None else json.dumps(head)
    body_text = raw_payload if raw_payload is not None else json.dumps(body)
    data = b64(head_text.encode()) + "." + b64(body_text.encode())
    return data + "." + b64(sign(alg, key, data.encode()))


def group(**members):
    return json.dumps({"groups": {"j": {"type": "jwt", **members}},
                       "permissions": {"j": {"http": True}}, "default": "deny"})


def line(name, want, body, text, now=NOW):
    assert "\t" not in body + text and "\n" not in body + text
    print(name, want, now, body, text, sep="\t")


rsa_key = rsa.generate_private_key(65537, 2048)
rsa_other = rsa.generate_private_key(65537, 2048)
ec_keys = {"ES256": ec.generate_private_key(ec.SECP256R1()),
           "ES384": ec.generate_private_key(ec.SECP384R1()),
           "ES512": ec.generate_private_key(ec.SECP521R1())}
ed_key, ed_other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
ed448_key = ed448.Ed448PrivateKey.generate()
keys = {**{"HS" + n: SECRET for n in HASH}, **{"RS" + n: rsa_key for n in HASH},
        **{"PS" + n: rsa_key for n in HASH}, **ec_keys, "EdDSA": ed_key}
others = {**{"HS" + n: OTHER for n in HASH}, **{"RS" + n: rsa_other for n in HASH},
          **{"PS" + n: rsa_other for n in HASH},
          **{a: ec.generate_private_key(k.curve) for a, k in ec_keys.items()}, "EdDSA": ed_other}


def config(alg, **more):
    if alg.startswith("HS"):
        return group(secret=SECRET, algorithms=[alg], **more)
    return group(public_key=pem(keys[alg]), algorithms=[alg], **more)


# Every algorithm: right; wrong key; each part changed; cut; another algorithm's name.
for alg, key in keys.items():
    good = token(alg, key)
    head, body, signature = good.split(".")
    line(f"jwt_{alg}_right", "in", config(alg), good)
    line(f"jwt_{alg}_other_key", "out", config(alg), token(alg, others[alg]))
    flipped = bytearray(base64.urlsafe_b64decode(signature + "=="))
    flipped[len(flipped) // 2] ^= 1
    line(f"jwt_{alg}_signature_flipped", "out", config(alg), f"{head}.{body}.{b64(bytes(flipped))}")
    line(f"jwt_{alg}_signature_cut", "out", config(alg),
         f"{head}.{body}.{b64(bytes(flipped)[:-1])}")
    line(f"jwt_{alg}_signature_zero", "out", config(alg),
         f"{head}.{body}.{b64(bytes(len(flipped)))}")
    changed = b64(json.dumps({"exp": NOW + 600, "admin": True}).encode())
    line(f"jwt_{alg}_payload_changed", "out", config(alg), f"{head}.{changed}.{signature}")
    renamed = b64(json.dumps({"alg": alg, "typ": "JWT", "x": 1}).encode())
    line(f"jwt_{alg}_header_changed", "out", config(alg), f"{renamed}.{body}.{signature}")

# A DER signature is not a JWS signature; an all-zero one is the "psychic" one.
data = token("ES256", ec_keys["ES256"]).rsplit(".", 1)[0]
der = ec_keys["ES256"].sign(data.encode(), ec.ECDSA(hashes.SHA256()))
line("jwt_ES256_der_signature", "out", config("ES256"), data + "." + b64(der))

# Algorithm confusion: the public key's text as a shared secret; none; other names.
for alg in ("RS256", "ES256", "EdDSA"):
    line(f"jwt_confusion_{alg}_pem_as_secret", "out",
         group(public_key=pem(keys[alg])), token("HS256", pem(keys[alg])))
    spki = keys[alg].public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    line(f"jwt_confusion_{alg}_der_as_secret", "out",
         group(public_key=pem(keys[alg])), token("HS256", spki))
for name in ("none", "None", "NONE", "nOnE"):
    line(f"jwt_confusion_{name}", "out", config("HS256"),
         token("none", None, raw_header=json.dumps({"alg": name})))
    line(f"jwt_confusion_{name}_signed", "out", config("HS256"),
         token("HS256", SECRET, header={"alg": name}))
line("jwt_confusion_other_hash", "out", config("HS256"), token("HS384", SECRET))
line("jwt_confusion_RS_for_PS", "out", config("PS256"), token("RS256", rsa_key))
line("jwt_confusion_PS_for_RS", "out", config("RS256"), token("PS256", rsa_key))
line("jwt_confusion_PS_named_RS", "out", group(public_key=pem(rsa_key)),
     token("PS256", rsa_key, header={"alg": "RS256"}))
line("jwt_confusion_default_of_a_secret_is_HS256", "out", group(secret=SECRET),
     token("HS512", SECRET))
line("jwt_default_of_a_secret", "in", group(secret=SECRET), token("HS256", SECRET))
line("jwt_default_of_rsa_PS", "in", group(public_key=pem(rsa_key)), token("PS512", rsa_key))
line("jwt_default_of_ed448", "in", group(public_key=pem(ed448_key)), token("EdDSA", ed448_key))
line("jwt_list_of_algorithms", "in", group(secret=SECRET, algorithms=["HS256", "HS512"]),
     token("HS512", SECRET))

# Times.
for name, want, claims, more in (
        ("expired", "out", {"exp": NOW - 31}, {}),
        ("expired_now", "out", {"exp": NOW}, {"leeway": 0}),
        ("expired_within_leeway", "in", {"exp": NOW - 29}, {}),
        ("expires_next_second", "in", {"exp": NOW + 1}, {"leeway": 0}),
        ("exp_fraction", "in", {"exp": NOW + 0.5}, {"leeway": 0}),
        ("exp_text", "out", {"exp": str(NOW + 600)}, {}),
        ("exp_true", "out", {"exp": True}, {}),
        ("exp_negative", "out", {"exp": -1}, {}),
        ("exp_huge", "in", {"exp": 1e300}, {}),
        ("exp_missing", "out", {"exp": None}, {}),
        ("exp_missing_allowed", "in", {"exp": None}, {"require_exp": False}),
        ("expired_though_not_required", "out", {"exp": NOW - 600}, {"require_exp": False}),
        ("nbf_past", "in", {"nbf": NOW - 1}, {}),
        ("nbf_future", "out", {"nbf": NOW + 31}, {}),
        ("nbf_within_leeway", "in", {"nbf": NOW + 29}, {}),
        ("nbf_text", "out", {"nbf": "0"}, {}),
        ("iat_future", "out", {"iat": NOW + 600}, {}),
        ("iat_missing", "in", {"iat": None}, {}),
        ("leeway_300", "in", {"exp": NOW - 299}, {"leeway": 300})):
    line("jwt_time_" + name, want, config("HS256", **more), token("HS256", SECRET, claims))

# Claims.
for name, want, claims, asked in (
        ("iss", "in", {"iss": "https://a"}, {"iss": "https://a"}),
        ("iss_wrong", "out", {"iss": "https://b"}, {"iss": "https://a"}),
        ("iss_longer", "out", {"iss": "https://ab"}, {"iss": "https://a"}),
        ("iss_shorter", "out", {"iss": "https:"}, {"iss": "https://a"}),
        ("iss_missing", "out", {}, {"iss": "https://a"}),
        ("iss_case", "out", {"iss": "HTTPS://A"}, {"iss": "https://a"}),
        ("iss_number", "out", {"iss": 1}, {"iss": "1"}),
        ("aud", "in", {"aud": "me"}, {"aud": "me"}),
        ("aud_list", "in", {"aud": ["you", "me"]}, {"aud": "me"}),
        ("aud_any_of", "in", {"aud": "me"}, {"aud": ["us", "me"]}),
        ("aud_list_any_of", "in", {"aud": ["x", "us"]}, {"aud": ["us", "me"]}),
        ("aud_wrong", "out", {"aud": ["you"]}, {"aud": "me"}),
        ("aud_empty", "out", {"aud": []}, {"aud": "me"}),
        ("aud_not_asked_for", "out", {"aud": "me"}, {"iss": None}),
        ("sub", "in", {"sub": "u1"}, {"sub": ["u1", "u2"]}),
        ("number", "in", {"level": 3}, {"level": 3}),
        ("number_as_fraction", "in", {"level": 3.0}, {"level": 3}),
        ("number_wrong", "out", {"level": 4}, {"level": 3}),
        ("number_text", "out", {"level": "3"}, {"level": 3}),
        ("true", "in", {"admin": True}, {"admin": True}),
        ("true_is_no_one", "out", {"admin": 1}, {"admin": True}),
        ("true_is_no_text", "out", {"admin": "true"}, {"admin": True}),
        ("false", "in", {"admin": False}, {"admin": False}),
        ("null", "out", {"admin": None}, {"admin": True}),
        ("nested", "in", {"realm_access": {"roles": ["a", "operator"]}},
         {"realm_access": {"roles": "operator"}}),
        ("nested_wrong", "out", {"realm_access": {"roles": ["a"]}},
         {"realm_access": {"roles": "operator"}}),
        ("nested_flat", "out", {"realm_access": "operator"},
         {"realm_access": {"roles": "operator"}}),
        ("nested_name_with_dot", "out", {"realm_access.roles": "operator"},
         {"realm_access": {"roles": "operator"}}),
        ("url_name", "in", {"https://x.example/r": "o"}, {"https://x.example/r": "o"}),
        ("all_of", "in", {"iss": "a", "sub": "b"}, {"iss": "a", "sub": "b"}),
        ("all_of_one_wrong", "out", {"iss": "a", "sub": "c"}, {"iss": "a", "sub": "b"}),
        ("value_in_object", "out", {"sub": {"x": "b"}}, {"sub": "b"}),
        ("list_in_list", "out", {"aud": [["me"]]}, {"aud": "me"}),
        ("unicode", "in", {"sub": "M\u00fcller"}, {"sub": "M\u00fcller"})):
    asked = {k: v for k, v in asked.items() if v is not None}
    more = {"claims": asked} if asked else {}
    line("jwt_claim_" + name, want, config("HS256", **more), token("HS256", SECRET, claims))

# Twice the same name: parsers disagree about which one counts.
twice = '{"exp":%d,"iss":"a","iss":"b"}' % (NOW + 600)
for value in "ab":
    line(f"jwt_claim_twice_{value}", "out", config("HS256", claims={"iss": value}),
         token("HS256", SECRET, raw_payload=twice))
line("jwt_exp_twice", "out", config("HS256"), token(
    "HS256", SECRET, raw_payload='{"exp":1,"exp":%d}' % (NOW + 600)))
line("jwt_alg_twice", "out", config("HS256"), token(
    "HS256", SECRET, raw_header='{"alg":"none","alg":"HS256"}'))

# Headers and form.
good = token("HS256", SECRET)
for name, want, text in (
        ("crit", "out", token("HS256", SECRET, header={"crit": ["exp"], "exp": 1})),
        ("b64_false", "out", token("HS256", SECRET, header={"crit": ["b64"], "b64": False})),
        ("jwk_in_header", "out", token("HS256", OTHER, header={"jwk": {"kty": "oct", "k": b64(OTHER.encode())}})),
        ("jku_in_header", "out", token("HS256", OTHER, header={"jku": "https://evil.example/keys"})),
        ("kid_ignored_without_names", "in", token("HS256", SECRET, header={"kid": "any"})),
        ("kid_number", "out", token("HS256", SECRET, header={"kid": 7})),
        ("kid_path", "in", token("HS256", SECRET, header={"kid": "../../dev/null"})),
        ("no_alg", "out", token("HS256", SECRET, raw_header='{"typ":"JWT"}')),
        ("alg_number", "out", token("HS256", SECRET, raw_header='{"alg":256}')),
        ("alg_case", "out", token("HS256", SECRET, header={"alg": "hs256"})),
        ("no_typ", "in", token("HS256", SECRET, raw_header='{"alg":"HS256"}')),
        ("header_list", "out", token("HS256", SECRET, raw_header='["HS256"]')),
        ("payload_list", "out", token("HS256", SECRET, raw_payload="[1]")),
        ("payload_text", "out", token("HS256", SECRET, raw_payload='"x"')),
        ("payload_no_json", "out", token("HS256", SECRET, raw_payload="{")),
        ("padded", "out", good + "="),
        ("four_parts", "out", good + ".x"),
        ("five_parts", "out", good + ".x.y"),
        ("two_parts", "out", good.rsplit(".", 1)[0]),
        ("no_signature", "out", good.rsplit(".", 1)[0] + "."),
        ("dots", "out", ".."),
        ("blank_inside", "out", good[:5] + " " + good[5:]),
        ("standard_alphabet", "out", good[:-1] + "/"),
        ("leftover_bits", "out", good[:-1] + chr(ord(good[-1]) + 1)),
        ("huge", "out", token("HS256", SECRET, {"x": "y" * 9000}))):
    line("jwt_form_" + name, want, config("HS256"), text)

# Key sets.
rsa_numbers = rsa_key.public_key().public_numbers()
ec_numbers = ec_keys["ES256"].public_key().public_numbers()
raw = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
jwks = {"keys": [
    {"kty": "RSA", "kid": "r", "use": "sig", "n": num(rsa_numbers.n), "e": num(rsa_numbers.e)},
    {"kty": "EC", "kid": "e", "crv": "P-256", "x": num(ec_numbers.x, 32), "y": num(ec_numbers.y, 32)},
    {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": b64(ed_key.public_key().public_bytes(*raw))},
    {"kty": "oct", "kid": "s", "alg": "HS256", "k": b64(SECRET.encode())},
    {"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"},
    {"kty": "future", "kid": "f"},
    {"kty": "EC", "crv": "secp256k1", "x": "AQAB", "y": "AQAB"}]}
body = group(jwks=jwks)
for kid, alg in (("r", "RS256"), ("r", "PS384"), ("e", "ES256"), ("o", "EdDSA"), ("s", "HS256")):
    line(f"jwks_{kid}_{alg}", "in", body, token(alg, keys[alg], header={"kid": kid}))
    line(f"jwks_without_kid_{alg}", "in", body, token(alg, keys[alg]))
    line(f"jwks_wrong_kid_{alg}", "out", body, token(alg, keys[alg], header={"kid": "z"}))
    line(f"jwks_kid_of_another_{alg}", "out", body,
         token(alg, keys[alg], header={"kid": "e" if kid != "e" else "r"}))
    line(f"jwks_other_key_{alg}", "out", body, token(alg, others[alg], header={"kid": kid}))
line("jwks_alg_of_key_binds", "out", body, token("HS512", SECRET, header={"kid": "s"}))
line("jwks_algorithms_bind", "out", group(jwks=jwks, algorithms=["ES256"]),
     token("RS256", rsa_key, header={"kid": "r"}))
line("jwks_confusion_public_number_as_secret", "out", body,
     token("HS256", num(rsa_numbers.n), header={"kid": "r"}))
