//! `CKA_ID`, which is any bytes, and IDs of the API, which are short texts.

const LONGEST: usize = 128;
/// What precedes the bytes in hex, in IDs that nethsm-pkcs11 makes too.
const HEX_PREFIX: &str = "0---";

/// Returns the API's ID for a `CKA_ID`: the same text if it is a legal one, else its bytes in hex.
pub fn api_id(cka_id: &[u8]) -> Option<String> {
    if is_legal(cka_id) {
        return String::from_utf8(cka_id.to_vec()).ok();
    }
    let id = format!("{HEX_PREFIX}{}", to_hex(cka_id));
    (!cka_id.is_empty() && id.len() <= LONGEST).then_some(id)
}

/// Returns the `CKA_ID` for an ID of the API.
pub fn cka_id(api_id: &str) -> Vec<u8> {
    let bytes = api_id.strip_prefix(HEX_PREFIX).and_then(from_hex);
    bytes.unwrap_or_else(|| api_id.as_bytes().to_vec())
}

/// Returns bytes in hex.
pub fn to_hex(octets: &[u8]) -> String {
    base16ct::lower::encode_string(octets)
}

/// Returns the bytes of a text in hex, which is not empty.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    base16ct::mixed::decode_vec(text).ok().filter(|octets| !octets.is_empty())
}

/// Says whether the API takes this as an ID of a key or a user, also if it means something else.
pub fn is_name(id: &[u8]) -> bool {
    let is_word = |octet: &u8| octet.is_ascii_alphanumeric() || b"_.-".contains(octet);
    id.len() <= LONGEST
        && id.first().is_some_and(u8::is_ascii_alphanumeric)
        && id.iter().all(is_word)
}

fn is_legal(id: &[u8]) -> bool {
    is_name(id) && !id.starts_with(HEX_PREFIX.as_bytes()) && id != b"generate"
}

#[cfg(test)]
#[path = "../../tests/unit/objects_ids.rs"]
mod tests;
