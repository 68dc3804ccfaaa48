//! What a registry answers to who has not said who they are: `WWW-Authenticate`, read as far as it is needed.

use http::{HeaderMap, header};

/// Longest header that is looked at: an address and two names.
const HEADER_BYTES_MAX: usize = 4_096;

/// How to say who we are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token from there.
    Bearer {
        /// The token service's address.
        realm: String,
        /// What the service calls the registry.
        service: Option<String>,
    },
    /// With user and password.
    Basic,
}

/// The best of the ways that are offered; `None` where none is known here.
///
/// The rights that a registry proposes (`scope`) are not read: a token is asked for the one repository that is wanted.
pub(super) fn read(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    for value in values.filter(|value| value.len() <= HEADER_BYTES_MAX) {
        for (scheme, params) in challenges(value) {
            let param = |name: &str| {
                let own = params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                own.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = param("realm")
            {
                return Some(Challenge::Bearer { realm, service: param("service") });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Params = Vec<(String, String)>;

/// Schemes with their parameters, in the order in which they stand. What is written wrongly ends the list.
fn challenges(text: &str) -> Vec<(&str, Params)> {
    let mut found: Vec<(&str, Params)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        match (after.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, params))) => {
                let Some((value, after)) = value_of(value) else { break };
                params.push((word.to_owned(), value));
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                found.push((word, Params::new()));
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

/// A word or a text in quotes, and what follows.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let values = values.iter().map(|value| (header::WWW_AUTHENTICATE, value.parse().unwrap()));
        read(&values.collect())
    }

    #[test]
    fn a_token_is_preferred_however_the_challenges_are_written() {
        let bearer =
            Some(Challenge::Bearer { realm: "https://auth.example/token".into(), service: Some("a \"b\"".into()) });
        let text = r#"Bearer realm="https://auth.example/token",service="a \"b\"",scope="repository:x:pull,push""#;
        assert_eq!(of(&[text]), bearer);
        assert_eq!(of(&[&format!("Basic realm=\"x\", {}", text.replace(',', " , "))]), bearer);
        assert_eq!(of(&["Basic realm=\"x\"", &text.replacen("Bearer", "bEARER", 1)]), bearer);
        assert_eq!(of(&["basic realm=x"]), Some(Challenge::Basic));
    }

    #[test]
    fn what_is_written_wrongly_or_is_unknown_is_no_challenge() {
        for text in
            ["", ",", "realm=\"x\"", "Bearer", "Bearer realm=\"https://auth.example", "Negotiate", "Bearer service=a"]
        {
            assert_eq!(of(&[text]), None, "{text}");
        }
        assert_eq!(of(&[&format!("Bearer realm=\"{}\"", "x".repeat(5_000))]), None);
    }
}
