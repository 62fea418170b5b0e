//! The `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::password;
use super::user_name::MAX_USER_NAME;

/// The most bytes of a basic credential in base64: the longest name and password, in characters of four
/// bytes.
const MAX_BASIC: usize = (MAX_USER_NAME + 1 + 4 * password::MAX_LENGTH).div_ceil(3) * 4;
/// The longest token that is parsed, in bytes; tokens of this server are much shorter.
const MAX_TOKEN: usize = 16 << 10;

/// The credential in an `Authorization` header.
pub enum Header<'h> {
    /// A name and a password (RFC 7617).
    Basic(Basic),
    /// A registry token (RFC 6750).
    Bearer(&'h str),
}

/// A name and a password.
pub struct Basic {
    /// The text before the first colon.
    pub name: String,
    /// The text after it.
    pub password: String,
}

impl<'h> Header<'h> {
    /// Parses the value of the header; `None` when it is neither of them.
    pub fn parse(header: &'h str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return (!rest.is_empty() && rest.len() <= MAX_TOKEN).then_some(Self::Bearer(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") || rest.len() > MAX_BASIC {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        Some(Self::Basic(Basic { name: name.to_owned(), password: password.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_header_is_read_whatever_the_case_of_its_scheme() {
        let Some(Header::Basic(basic)) = Header::parse("bAsIc YWRtaW46YTpi") else { panic!("not read") };
        assert_eq!((basic.name.as_str(), basic.password.as_str()), ("admin", "a:b"));
        assert!(matches!(Header::parse("BEARER a.b.c"), Some(Header::Bearer("a.b.c"))));
    }

    #[test]
    fn headers_of_other_forms_are_not_read() {
        for header in
            ["", "Basic", "Bearer ", "Digest YWRtaW46YTpi", "Basic ***", "Basic YWRtaW4=", "Basic /w=="]
        {
            assert!(Header::parse(header).is_none(), "{header}");
        }
        assert!(Header::parse(&format!("Basic {}", STANDARD.encode("a".repeat(4000)))).is_none());
    }
}
