"""Computes the golden token of token_tests.rs from the format's description, with Python's standard library."""
import base64, hashlib, hmac, struct

def hkdf(secret, info):
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()

identity = hkdf(b"\x11" * 32, b"homing/1 identity golden")
signing = hkdf(b"\x33" * 32, b"homing/1 sign golden")
upstream = hmac.new(identity, b"app-1", hashlib.sha256).digest()[:8]
body = bytes([1 << 4 | 5]) + upstream + struct.pack(">QIHHB", 0x0123456789ABCDEF, 1_700_000_000, 258, 7, 7)
tag = hmac.new(signing, body, hashlib.sha256).digest()[:16]
print("id", upstream.hex())
print("token", base64.urlsafe_b64encode(body + tag).decode())
