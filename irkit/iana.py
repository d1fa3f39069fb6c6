"""Names of TLS numbers, from the IANA registry "Transport Layer Security (TLS) Parameters"."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ALERTS", "CIPHERS", "PROTOCOLS", "SCHEMES", "alert_name", "cipher_name", "scheme_name"]

PROTOCOLS: Mapping[int, str] = MappingProxyType(
    {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
)

SCHEMES: Mapping[int, str] = MappingProxyType(
    {
        0x0201: "rsa_pkcs1_sha1", 0x0202: "dsa_sha1", 0x0203: "ecdsa_sha1", 0x0301: "rsa_pkcs1_sha224",
        0x0302: "dsa_sha224", 0x0303: "ecdsa_sha224", 0x0401: "rsa_pkcs1_sha256", 0x0402: "dsa_sha256",
        0x0403: "ecdsa_secp256r1_sha256", 0x0501: "rsa_pkcs1_sha384", 0x0502: "dsa_sha384",
        0x0503: "ecdsa_secp384r1_sha384", 0x0601: "rsa_pkcs1_sha512", 0x0602: "dsa_sha512",
        0x0603: "ecdsa_secp521r1_sha512", 0x0804: "rsa_pss_rsae_sha256", 0x0805: "rsa_pss_rsae_sha384",
        0x0806: "rsa_pss_rsae_sha512", 0x0807: "ed25519", 0x0808: "ed448", 0x0809: "rsa_pss_pss_sha256",
        0x080A: "rsa_pss_pss_sha384", 0x080B: "rsa_pss_pss_sha512", 0x081A: "ecdsa_brainpoolP256r1tls13_sha256",
        0x081B: "ecdsa_brainpoolP384r1tls13_sha384", 0x081C: "ecdsa_brainpoolP512r1tls13_sha512",
        0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
    }
)  # fmt: skip

ALERTS: Mapping[int, str] = MappingProxyType(
    {
        0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed",
        22: "record_overflow", 30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate",
        42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
        46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
        51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
        86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension",
        110: "unsupported_extension", 112: "unrecognized_name", 113: "bad_certificate_status_response",
        115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol", 121: "ech_required",
    }
)  # fmt: skip

# Every suite that OpenSSL ever offered and that carries a certificate: neither anonymous, PSK, SRP nor NULL.
_CIPHERS = """
0x0004 RSA_WITH_RC4_128_MD5
0x0005 RSA_WITH_RC4_128_SHA
0x0007 RSA_WITH_IDEA_CBC_SHA
0x000A RSA_WITH_3DES_EDE_CBC_SHA
0x0013 DHE_DSS_WITH_3DES_EDE_CBC_SHA
0x0016 DHE_RSA_WITH_3DES_EDE_CBC_SHA
0x002F RSA_WITH_AES_128_CBC_SHA
0x0032 DHE_DSS_WITH_AES_128_CBC_SHA
0x0033 DHE_RSA_WITH_AES_128_CBC_SHA
0x0035 RSA_WITH_AES_256_CBC_SHA
0x0038 DHE_DSS_WITH_AES_256_CBC_SHA
0x0039 DHE_RSA_WITH_AES_256_CBC_SHA
0x003C RSA_WITH_AES_128_CBC_SHA256
0x003D RSA_WITH_AES_256_CBC_SHA256
0x0040 DHE_DSS_WITH_AES_128_CBC_SHA256
0x0041 RSA_WITH_CAMELLIA_128_CBC_SHA
0x0044 DHE_DSS_WITH_CAMELLIA_128_CBC_SHA
0x0045 DHE_RSA_WITH_CAMELLIA_128_CBC_SHA
0x0067 DHE_RSA_WITH_AES_128_CBC_SHA256
0x006A DHE_DSS_WITH_AES_256_CBC_SHA256
0x006B DHE_RSA_WITH_AES_256_CBC_SHA256
0x0084 RSA_WITH_CAMELLIA_256_CBC_SHA
0x0087 DHE_DSS_WITH_CAMELLIA_256_CBC_SHA
0x0088 DHE_RSA_WITH_CAMELLIA_256_CBC_SHA
0x0096 RSA_WITH_SEED_CBC_SHA
0x0099 DHE_DSS_WITH_SEED_CBC_SHA
0x009A DHE_RSA_WITH_SEED_CBC_SHA
0x009C RSA_WITH_AES_128_GCM_SHA256
0x009D RSA_WITH_AES_256_GCM_SHA384
0x009E DHE_RSA_WITH_AES_128_GCM_SHA256
0x009F DHE_RSA_WITH_AES_256_GCM_SHA384
0x00A2 DHE_DSS_WITH_AES_128_GCM_SHA256
0x00A3 DHE_DSS_WITH_AES_256_GCM_SHA384
0x00BA RSA_WITH_CAMELLIA_128_CBC_SHA256
0x00BD DHE_DSS_WITH_CAMELLIA_128_CBC_SHA256
0x00BE DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256
0x00C0 RSA_WITH_CAMELLIA_256_CBC_SHA256
0x00C3 DHE_DSS_WITH_CAMELLIA_256_CBC_SHA256
0x00C4 DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256
0x1301 AES_128_GCM_SHA256
0x1302 AES_256_GCM_SHA384
0x1303 CHACHA20_POLY1305_SHA256
0x1304 AES_128_CCM_SHA256
0x1305 AES_128_CCM_8_SHA256
0xC007 ECDHE_ECDSA_WITH_RC4_128_SHA
0xC008 ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA
0xC009 ECDHE_ECDSA_WITH_AES_128_CBC_SHA
0xC00A ECDHE_ECDSA_WITH_AES_256_CBC_SHA
0xC011 ECDHE_RSA_WITH_RC4_128_SHA
0xC012 ECDHE_RSA_WITH_3DES_EDE_CBC_SHA
0xC013 ECDHE_RSA_WITH_AES_128_CBC_SHA
0xC014 ECDHE_RSA_WITH_AES_256_CBC_SHA
0xC023 ECDHE_ECDSA_WITH_AES_128_CBC_SHA256
0xC024 ECDHE_ECDSA_WITH_AES_256_CBC_SHA384
0xC027 ECDHE_RSA_WITH_AES_128_CBC_SHA256
0xC028 ECDHE_RSA_WITH_AES_256_CBC_SHA384
0xC02B ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
0xC02C ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
0xC02F ECDHE_RSA_WITH_AES_128_GCM_SHA256
0xC030 ECDHE_RSA_WITH_AES_256_GCM_SHA384
0xC050 RSA_WITH_ARIA_128_GCM_SHA256
0xC051 RSA_WITH_ARIA_256_GCM_SHA384
0xC052 DHE_RSA_WITH_ARIA_128_GCM_SHA256
0xC053 DHE_RSA_WITH_ARIA_256_GCM_SHA384
0xC056 DHE_DSS_WITH_ARIA_128_GCM_SHA256
0xC057 DHE_DSS_WITH_ARIA_256_GCM_SHA384
0xC05C ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256
0xC05D ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384
0xC060 ECDHE_RSA_WITH_ARIA_128_GCM_SHA256
0xC061 ECDHE_RSA_WITH_ARIA_256_GCM_SHA384
0xC072 ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256
0xC073 ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384
0xC076 ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256
0xC077 ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384
0xC09C RSA_WITH_AES_128_CCM
0xC09D RSA_WITH_AES_256_CCM
0xC09E DHE_RSA_WITH_AES_128_CCM
0xC09F DHE_RSA_WITH_AES_256_CCM
0xC0A0 RSA_WITH_AES_128_CCM_8
0xC0A1 RSA_WITH_AES_256_CCM_8
0xC0A2 DHE_RSA_WITH_AES_128_CCM_8
0xC0A3 DHE_RSA_WITH_AES_256_CCM_8
0xC0AC ECDHE_ECDSA_WITH_AES_128_CCM
0xC0AD ECDHE_ECDSA_WITH_AES_256_CCM
0xC0AE ECDHE_ECDSA_WITH_AES_128_CCM_8
0xC0AF ECDHE_ECDSA_WITH_AES_256_CCM_8
0xCCA8 ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
0xCCA9 ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
0xCCAA DHE_RSA_WITH_CHACHA20_POLY1305_SHA256
"""

CIPHERS: Mapping[int, str] = MappingProxyType(
    {int(number, 16): f"TLS_{name}" for number, name in (line.split() for line in _CIPHERS.split("\n") if line)}
)


def cipher_name(number: int) -> str:
    """The suite's name, or its number as `0x1A2B`."""
    return CIPHERS.get(number, f"0x{number:04X}")


def scheme_name(number: int) -> str:
    """The signature scheme's name, or its number as `0x1A2B`."""
    return SCHEMES.get(number, f"0x{number:04X}")


def alert_name(number: int) -> str:
    """The alert's name, or `alert 123`."""
    return ALERTS.get(number, f"alert {number}")
