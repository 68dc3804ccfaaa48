//! Who is told who we are, and what for.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hostile::{Asked, Hostile, Wire, answer};
use super::{Puller, honest, reference};
use crate::registry::RegistryError;

fn basic(user_and_password: &str) -> Option<String> {
    Some(format!("Basic {}", STANDARD.encode(user_and_password)))
}

/// A registry that takes a token, and names a token service.
fn wants_token(realm: String, token: &'static str) -> impl Fn(&Asked, &mut dyn Wire) + Send + Sync {
    move |asked, to| {
        if asked.authorization.as_deref() == Some(&format!("Bearer {token}")) {
            return honest(asked, to);
        }
        // It proposes more than we are here for.
        let challenge = format!(
            r#"Bearer realm="{realm}",service="the registry",scope="repository:other:push,pull registry:catalog:*""#
        );
        answer(to, "401 Unauthorized", &[("www-authenticate", &challenge)], b"");
    }
}

#[test]
fn a_token_is_asked_for_with_the_password_and_for_the_one_repository() {
    let service = Hostile::start(|_, to| answer(to, "200 OK", &[], br#"{"token": "t0ken"}"#));
    let registry = Hostile::start(wants_token(format!("http://{}/token?x=y", service.host()), "t0ken"));
    let mut puller = Puller::new(&[&service, &registry]);
    puller.log_in(&registry.host(), "user:hunter2");
    puller.pull(&reference(&registry.host())).unwrap();
    let [asked] = &service.asked()[..] else { panic!("one token serves for all: {:?}", service.asked()) };
    assert_eq!(asked.authorization, basic("user:hunter2"));
    assert_eq!(asked.path, "/token?x=y&service=the%20registry&scope=repository%3Adesk-7%2Fema%3Apull");
    let told: Vec<_> = registry.asked().into_iter().map(|asked| (asked.method, asked.authorization)).collect();
    let token = Some("Bearer t0ken".to_owned());
    assert_eq!(
        told,
        [None, token.clone(), token].map(|authorization| ("GET".to_owned(), authorization)),
        "never the password"
    );
}

#[test]
fn a_public_repository_gets_a_token_without_a_password() {
    let service = Hostile::start(|asked, to| match asked.authorization {
        None => answer(to, "200 OK", &[], br#"{"access_token": "t0ken"}"#),
        Some(_) => answer(to, "500 Oh", &[], b""),
    });
    let registry = Hostile::start(wants_token(format!("http://{}/token", service.host()), "t0ken"));
    let mut puller = Puller::new(&[&service, &registry]);
    puller.log_in("another.example", "user:hunter2");
    puller.pull(&reference(&registry.host())).unwrap();
}

#[test]
fn a_token_service_without_tls_is_told_nothing() {
    let service = Hostile::start(|_, to| answer(to, "200 OK", &[], br#"{"token": "t0ken"}"#));
    for realm in [
        format!("http://registry.invalid:{}/token", service.port),
        "file:///etc/passwd".to_owned(),
        "/token".to_owned(),
    ] {
        let registry = Hostile::start(wants_token(realm.clone(), "t0ken"));
        let mut puller = Puller::new(&[&registry]);
        puller.log_in(&registry.host(), "user:hunter2");
        let error = puller.pull(&reference(&registry.host())).unwrap_err();
        assert!(matches!(error, RegistryError::Redirect { .. }), "{realm}: {error}");
    }
    assert_eq!(service.asked().len(), 0);
}

#[test]
fn what_is_no_token_is_refused_and_not_shown() {
    for body in [
        "s3cret".to_owned(),
        r#"{"token": ["s3cret"]}"#.to_owned(),
        r#"{"token": "s3cret\r\nx-injected: yes"}"#.to_owned(),
        r#"{"token": ""}"#.to_owned(),
        format!(r#"{{"token": "{}"}}"#, "s3cret".repeat(50_000)),
    ] {
        let service = Hostile::start(move |_, to| answer(to, "200 OK", &[], body.as_bytes()));
        let registry = Hostile::start(wants_token(format!("http://{}/token", service.host()), "t0ken"));
        let error = Puller::new(&[&service, &registry]).pull(&reference(&registry.host())).unwrap_err().to_string();
        assert!(!error.contains("s3cret") && error.contains("token"), "{error}");
    }
}

#[test]
fn who_is_not_let_in_is_told_what_there_was_of_credentials_and_no_password_is_in_it() {
    let registry =
        Hostile::start(|_, to| answer(to, "401 Unauthorized", &[("www-authenticate", "Basic realm=\"x\"")], b""));
    let reference = reference(&registry.host());
    let mut puller = Puller::new(&[&registry]);
    let error = |puller: &Puller| {
        let error = puller.pull(&reference).unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorised { .. }), "{error}");
        error.to_string()
    };
    assert!(error(&puller).contains("--registry-config"));
    puller.log_in("another.example", "user:hunter2");
    assert!(error(&puller).contains("config.json has none for it"));
    puller.log_in(&registry.host(), "user:hunter2");
    let text = error(&puller);
    assert!(text.contains("does not take those in") && !text.contains("hunter2"), "{text}");
    assert_eq!(registry.asked().last().unwrap().authorization, basic("user:hunter2"));
    for challenge in ["Negotiate", "Bearer service=x", ""] {
        let registry =
            Hostile::start(move |_, to| answer(to, "401 Unauthorized", &[("www-authenticate", challenge)], b""));
        let mut puller = Puller::new(&[&registry]);
        puller.log_in(&registry.host(), "user:hunter2");
        let error = puller.pull(&super::reference(&registry.host())).unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorised { .. }), "{error}");
        assert!(registry.asked().iter().all(|asked| asked.authorization.is_none()), "{challenge}");
    }
}

#[test]
fn a_password_that_was_changed_in_the_file_is_used_with_the_next_pull() {
    let right = Arc::new(basic("user:new"));
    let registry = Hostile::start(move |asked, to| match asked.authorization == *right {
        true => honest(asked, to),
        false => answer(to, "401 Unauthorized", &[("www-authenticate", "Basic realm=\"x\"")], b""),
    });
    let mut puller = Puller::new(&[&registry]);
    puller.log_in(&registry.host(), "user:old");
    puller.pull(&reference(&registry.host())).unwrap_err();
    puller.log_in(&registry.host(), "user:new");
    puller.pull(&reference(&registry.host())).unwrap();
}

#[test]
fn a_file_of_credentials_that_is_not_there_is_named_and_nothing_is_tried_without_it() {
    let registry =
        Hostile::start(|_, to| answer(to, "401 Unauthorized", &[("www-authenticate", "Basic realm=\"x\"")], b""));
    let mut puller = Puller::new(&[&registry]);
    puller.config.credentials = Some(puller.folder.join("gone.json"));
    let error = puller.pull(&reference(&registry.host())).unwrap_err().to_string();
    assert!(error.contains("gone.json cannot be read"), "{error}");
}
